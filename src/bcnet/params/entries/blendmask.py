"""BlendMask in the table of methods."""

from typing import Literal

from pydantic import Field

from bcnet.params.method import Method, Official
from bcnet.params.models import FcosPredict
from bcnet.params.variants import OnFcos


class BlendMask(OnFcos):
    """BlendMask; the defaults are those of its authors' configuration."""

    method: Literal["blendmask"]
    bases: int = Field(4, ge=1, le=1024)  # maps that all objects share, and a mask is blended from
    attention_size: int = Field(14, ge=1, le=56)  # cells of an object's attention to each, along x and y
    semantic_loss: bool = True  # an auxiliary head on P3 tells the category of each pixel in training


ENTRY = Method(
    "BlendMask",
    BlendMask,
    "bcnet.methods.blendmask",
    (
        Official(
            "released BlendMask",
            ("top_layer.weight",),
            "fcos",
            ("proposal_generator.fcos_head.cls_logits.weight", 0),
            fcos=FcosPredict(score_threshold=0.05),
        ),
    ),
    merges_views=False,
)
