"""Mask R-CNN (He, Gkioxari, Dollár, Girshick, ICCV 2017) with detectron2's own head."""

from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from detectron2.structures import Instances
from torch import Tensor

from bcnet.models.detectors.roi_detectors import with_mask_branch
from bcnet.models.masks.roi_mask_branch import RoIFeatures
from bcnet.models.processes import over_all_rois
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.mask_rcnn import MaskRCNN

OFFICIAL_NAMES: dict[str, str] = {}  # the model zoo's are the same


def build(spec: Spec[MaskRCNN]) -> RoISegmenter:
    """Four convolutions and a transposed one on RoIs of 14x14, a mask of 28x28 for each category."""
    masks = 1 if spec.variant.one_mask else spec.classes
    return with_mask_branch(
        spec, lambda strides: MaskRCNNHead(RoIFeatures(strides), spec.sizes.fpn_channels, masks=masks)
    )


class MaskRCNNHead(MaskRCNNConvUpsampleHead):
    """detectron2's head, whose loss is the mean over the RoIs of all processes.

    Args:
        roi_features: what it takes.
        channels: of the RoI features and of every layer.
        masks: of a RoI: one for all categories, or one for each.
    """

    def __init__(self, roi_features: RoIFeatures, channels: int, masks: int) -> None:
        super().__init__(ShapeSpec(channels=channels), num_classes=masks, conv_dims=[channels] * 5)
        self.roi_features = roi_features

    def forward(self, features: dict[str, Tensor], instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        """The loss in training; otherwise the instances, with `pred_masks`: arguments as of `RoIMaskBranch`."""
        result = super().forward(self.roi_features(features, instances), instances)
        return over_all_rois(result, instances) if self.training else result
