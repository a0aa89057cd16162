"""PointRend's mask head (Kirillov, Wu, He, Girshick, CVPR 2020): detectron2's own, as its model zoo configures it."""

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from torch import Tensor

from bcnet.models.detectors.faster_rcnn import faster_rcnn
from bcnet.models.package_modules import without_init
from bcnet.models.processes import over_all_rois
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.pointrend import PointRend
from bcnet.params.models import Model

with without_init("detectron2.projects.point_rend"):
    from detectron2.projects.point_rend.config import add_pointrend_config
    from detectron2.projects.point_rend.mask_head import PointRendMaskHead

SAMPLED = {"p2": 4}  # the level that coarse masks and points are sampled from, and its stride
OFFICIAL_NAMES = {  # of files before 2021
    "roi_heads.mask_coarse_head.coarse_mask_fc": "roi_heads.mask_head.coarse_head.fc",
    "roi_heads.mask_coarse_head.": "roi_heads.mask_head.coarse_head.",
    "roi_heads.mask_point_head.": "roi_heads.mask_head.point_head.",
}


def build(spec: Spec[PointRend]) -> RoISegmenter:
    """PointRend's head on Faster R-CNN, learned in what the box head makes of the proposals, as its authors have it."""
    with torch.random.fork_rng(devices=[]):  # as `with_mask_branch`
        mask_branch = pointrend(spec.sizes, 1 if spec.variant.one_mask else spec.classes)
    return faster_rcnn(spec, mask_branch, train_on_pred_boxes=True)


class PointRendHead(PointRendMaskHead):
    """detectron2's, which also trains on a batch without an object, and on the RoIs of all processes."""

    def forward(self, features: dict[str, Tensor], instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        found = super().forward(features, instances)
        return over_all_rois(found, instances) if self.training else found

    def _sample_train_points(self, coarse_mask: Tensor, instances: list[Instances]) -> tuple[Tensor, Tensor]:
        if len(coarse_mask):
            return super()._sample_train_points(coarse_mask, instances)
        count = self.mask_point_train_num_points
        return coarse_mask.new_zeros(0, count, 2), coarse_mask.new_zeros(0, count)


def pointrend(sizes: Model, classes: int) -> PointRendHead:
    """The head: a coarse mask of 7x7 for each category, refined point by point to 224x224 at test time.

    It takes the pyramid's levels by name, not RoI features: it samples them itself. With the sizes of
    `presets/coco.yaml` it is that of detectron2's `pointrend_rcnn_R_50_FPN_3x_coco`, names of tensors included.

    Args:
        sizes: `fpn_channels` is the width of the points' layers, `box_channels` that of the coarse mask's.
        classes: number of categories; 1: one mask for all.
    """
    cfg: CfgNode = get_cfg()
    add_pointrend_config(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.POINT_HEAD.NUM_CLASSES = classes
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = cfg.MODEL.POINT_HEAD.FC_DIM = sizes.fpn_channels
    cfg.MODEL.ROI_MASK_HEAD.FC_DIM = sizes.box_channels
    levels = {name: ShapeSpec(channels=sizes.fpn_channels, stride=stride) for name, stride in SAMPLED.items()}
    return PointRendHead(cfg, levels)
