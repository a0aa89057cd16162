"""Mask R-CNN in the table of methods."""

from typing import Any, Literal

from bcnet.params.entries.bcnet import BCNet
from bcnet.params.method import OF_DETECTRON2, Method, Official
from bcnet.params.variants import OnAnyDetector


class MaskRCNN(OnAnyDetector):
    """Mask R-CNN's head."""

    method: Literal["mask_rcnn"]

    def as_trained(self) -> dict[str, Any]:
        """It counts as the BCNet of a single layer that has its convolutions, so that one switch leads to the next."""
        own = self.model_dump(exclude_unset=True, exclude={"method", "class_agnostic"})
        plain = {"structure": "single", "depth": 4, "layer": "fcn", "target": {"contour": False}}
        return BCNet(method="bcnet", class_agnostic=self.one_mask, **plain, **own).as_trained()


ENTRY = Method(
    "Mask R-CNN",
    MaskRCNN,
    "bcnet.methods.mask_rcnn",
    (
        Official(
            "model-zoo Mask R-CNN",
            ("roi_heads.mask_head.deconv.weight",),
            "faster_rcnn",
            OF_DETECTRON2,
            lacks=("roi_heads.mask_head.spatialAtt.",),
        ),
    ),
)
