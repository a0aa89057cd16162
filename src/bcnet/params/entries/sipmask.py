"""SipMask in the table of methods."""

from typing import Literal

from pydantic import Field

from bcnet.params.method import Method, Official
from bcnet.params.models import FcosPredict
from bcnet.params.variants import OnFcos


class SipMask(OnFcos):
    """SipMask; the defaults are those of its authors' configuration."""

    method: Literal["sipmask"]
    bases: int = Field(32, ge=1, le=1024)  # maps that all objects share, and a mask is a weighted sum of
    sub_regions: int = Field(2, ge=1, le=16)  # of a box, along x and along y, each with weights of its own
    feature_alignment: bool = True  # categories and weights are predicted from where the predicted box is
    mask_weighting: bool = True  # sure and well-placed boxes count more in the loss of masks
    mask_iou: bool = False  # masks are scored, as in SipMask++
    edition: Literal["benchmark", "mmdetection"] = "benchmark"  # which of the authors' two code bases


ENTRY = Method(
    "SipMask",
    SipMask,
    "bcnet.methods.sipmask",
    (
        Official(
            "authors' SipMask",
            ("rpn.head.sip_cof.weight",),
            "fcos",
            ("rpn.head.cls_logits.weight", 0),
            fcos=FcosPredict(score_threshold=0.05),
            conventions="maskrcnn_benchmark",
        ),
        Official(
            "authors' SipMask of mmdetection",
            ("bbox_head.sip_cof.weight",),
            "fcos",
            ("bbox_head.fcos_cls.weight", 0),
            fcos=FcosPredict(score_threshold=0.05, nms=0.5),
            keys={"edition": "mmdetection"},
            conventions="mmdetection",
            names="MMDETECTION_NAMES",
        ),
    ),
    merges_views=False,
)
