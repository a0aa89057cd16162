"""Mask Scoring R-CNN: Mask R-CNN and a head that scores its masks (Huang, Huang, Gong, Huang, Wang, CVPR 2019)."""

from collections.abc import Mapping

from torch import Tensor, nn

from bcnet.models.detectors.roi_detectors import with_mask_branch
from bcnet.models.layers import convolutions
from bcnet.models.masks.losses import mask_losses
from bcnet.models.masks.map_predictor import Predictor
from bcnet.models.masks.mask_iou import MaskIoUHead
from bcnet.models.masks.roi_mask_branch import RoIFeatures, RoIMaskBranch
from bcnet.models.names.maskrcnn_benchmark import FASTER_RCNN
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.mask_scoring_rcnn import MaskScoringRCNN

_HEAD = "roi_heads.mask_head."
OFFICIAL_NAMES = FASTER_RCNN | {
    **{f"roi_heads.mask.feature_extractor.mask_fcn{n}.": f"{_HEAD}head.layers.{2 * n - 2}." for n in range(1, 5)},
    "roi_heads.mask.predictor.conv5_mask.": f"{_HEAD}head.predictor.upsample.",
    "roi_heads.mask.predictor.mask_fcn_logits.": f"{_HEAD}head.predictor.predict.",
    **{
        f"roi_heads.maskiou.feature_extractor.maskiou_fcn{n}.": f"{_HEAD}mask_iou.convolutions.{2 * n - 2}."
        for n in range(1, 5)
    },
    **{
        f"roi_heads.maskiou.feature_extractor.maskiou_fc{n}.": f"{_HEAD}mask_iou.connected.{2 * n - 2}." for n in (1, 2)
    },
    "roi_heads.maskiou.predictor.maskiou.": f"{_HEAD}mask_iou.predict.",
}


def build(spec: Spec[MaskScoringRCNN]) -> RoISegmenter:
    """Mask R-CNN's head on RoIs of 14x14, and a head that sees the same RoI features and the mask."""
    sizes, masks = spec.sizes, 1 if spec.variant.one_mask else spec.classes

    def branch(strides: Mapping[str, int]) -> RoIMaskBranch:
        head = MaskHead(sizes.fpn_channels, masks)
        scored = MaskIoUHead(sizes.fpn_channels, sizes.box_channels, spec.classes)
        return RoIMaskBranch(RoIFeatures(strides, conventions=spec.conventions), head, mask_losses, mask_iou=scored)

    return with_mask_branch(spec, branch)


class MaskHead(nn.Module):
    """Mask R-CNN's: four 3x3 convolutions with ReLU, then maps of twice the resolution.

    Args:
        channels: of the RoI features and of every layer.
        masks: of a RoI: one for all categories, or one for each.
    """

    def __init__(self, channels: int, masks: int) -> None:
        super().__init__()
        self.layers = convolutions.four(channels)
        self.predictor = Predictor(channels, masks)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(N, C, 14, 14) to logits (N, masks, 28, 28) under `target_mask`."""
        return {"target_mask": self.predictor(self.layers(features))}
