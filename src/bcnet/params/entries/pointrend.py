"""PointRend in the table of methods."""

from typing import Literal

from bcnet.params.method import OF_DETECTRON2, Method, Official
from bcnet.params.variants import OnDetector


class PointRend(OnDetector):
    """PointRend, which samples level P2 of Faster R-CNN's pyramid, and bitmaps at points."""

    method: Literal["pointrend"]
    detector: Literal["faster_rcnn"]
    mask_targets: Literal["bitmaps"] = "bitmaps"


ENTRY = Method(
    "PointRend",
    PointRend,
    "bcnet.methods.pointrend",
    (
        Official(
            "model-zoo PointRend",
            ("roi_heads.mask_head.coarse_head.prediction.weight", "roi_heads.mask_coarse_head.prediction.weight"),
            "faster_rcnn",
            OF_DETECTRON2,
        ),
    ),
)
