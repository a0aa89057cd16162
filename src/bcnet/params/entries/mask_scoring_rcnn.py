"""Mask Scoring R-CNN in the table of methods."""

from typing import Any, Literal

from bcnet.params.entries.bcnet import BCNet
from bcnet.params.method import Method, Official
from bcnet.params.variants import OnAnyDetector


class MaskScoringRCNN(OnAnyDetector):
    """Mask R-CNN's head, and one that scores its masks."""

    method: Literal["mask_scoring_rcnn"]

    def as_trained(self) -> dict[str, Any]:
        """It counts as the BCNet of a single layer that scores its masks, so that one switch leads to the next."""
        own = self.model_dump(exclude_unset=True, exclude={"method", "class_agnostic"})
        plain = {"structure": "single", "depth": 4, "layer": "fcn", "target": {"contour": False}, "mask_iou": True}
        return BCNet(method="bcnet", class_agnostic=self.one_mask, **plain, **own).as_trained()


ENTRY = Method(
    "Mask Scoring R-CNN",
    MaskScoringRCNN,
    "bcnet.methods.mask_scoring_rcnn",
    (
        Official(
            "authors' Mask Scoring R-CNN",
            ("roi_heads.maskiou.predictor.maskiou.weight",),
            "faster_rcnn",
            ("roi_heads.box.predictor.cls_score.weight", 1),
            lacks=("roi_heads.mask.feature_extractor.spatialAtt.",),
            conventions="maskrcnn_benchmark",
            background_first=(
                "roi_heads.box.predictor.",
                "roi_heads.mask.predictor.mask_fcn_logits.",
                "roi_heads.maskiou.predictor.",
            ),
        ),
    ),
)
