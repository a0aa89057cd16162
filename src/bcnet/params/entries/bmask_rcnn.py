"""BMask R-CNN in the table of methods."""

from typing import Literal

from bcnet.params.method import OF_DETECTRON2, Method, Official
from bcnet.params.variants import OnDetector


class BMaskRCNN(OnDetector):
    """BMask R-CNN, whose boundaries are seen on level P2 of Faster R-CNN's pyramid; defaults as its authors have it."""

    method: Literal["bmask_rcnn"]
    detector: Literal["faster_rcnn"]
    mask_rois: Literal["predicted", "proposals"] = "predicted"  # boxes that the mask head learns in
    boundary_loss: Literal["bce_dice", "bce"] = "bce_dice"


ENTRY = Method(
    "BMask R-CNN",
    BMaskRCNN,
    "bcnet.methods.bmask_rcnn",
    (
        Official(
            "authors' BMask R-CNN",
            ("roi_heads.mask_head.boundary_predictor.weight",),
            "faster_rcnn",
            OF_DETECTRON2,
        ),
    ),
)
