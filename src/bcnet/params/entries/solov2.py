"""SOLOv2 in the table of methods."""

from typing import Annotated, Literal

from pydantic import Field

from bcnet.params.method import Method, Official
from bcnet.params.variants import Variant

Cells = Annotated[int, Field(ge=1, le=1000)]


class SOLOv2(Variant):
    """SOLOv2, which has no detector; the defaults are those of its authors' configuration."""

    method: Literal["solov2"]
    grids: tuple[Cells, Cells, Cells, Cells, Cells] = (40, 36, 24, 16, 12)  # cells along x and y, finest level first


ENTRY = Method(
    "SOLOv2",
    SOLOv2,
    "bcnet.methods.solov2",
    (Official("released SOLOv2", ("ins_head.kernel_pred.weight",), None, ("ins_head.cate_pred.weight", 0)),),
    merges_views=False,
)
