"""detectron2's Faster R-CNN, put together from its parts, with a mask head of ours or its own."""

from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, GeneralizedRCNN, StandardROIHeads
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers
from detectron2.structures import Instances
from torch import Tensor, nn

from bcnet.models.backbones import BACKBONES
from bcnet.models.pointrend import PointRendHead
from bcnet.models.processes import over_all_rois
from bcnet.params.models import Model, Predict, Variant

POOLED = ("p2", "p3", "p4", "p5")  # the levels that RoIs are pooled from; the proposals use p6 as well


class BoxPredictor(FastRCNNOutputLayers):
    """detectron2's, whose losses are means over the RoIs of all processes."""

    def losses(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> dict[str, Tensor]:
        return over_all_rois(super().losses(predictions, proposals), proposals)


def faster_rcnn(
    pyramid: FPN, mask_head: nn.Module, classes: int, variant: Variant, sizes: Model, predict: Predict
) -> GeneralizedRCNN:
    """The two-stage detector with detectron2's own defaults, in the sizes that `params.yaml` names.

    Args:
        pyramid: backbone with levels p2 to p6.
        mask_head: what detectron2's RoI heads call as mask head.
        classes: number of categories, background not counted.
        variant: its backbone's input.
        sizes: widths and numbers of RoIs.
        predict: score threshold, NMS and number of detections of test time.
    """
    shapes = pyramid.output_shape()
    levels = list(shapes)
    spec = BACKBONES[variant.backbone]
    scales = tuple(1 / shapes[level].stride for level in POOLED)
    channels = sizes.fpn_channels
    proposals = RPN(
        in_features=levels,
        head=StandardRPNHead(in_channels=channels, num_anchors=3),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[size] for size in sizes.anchor_sizes],
            aspect_ratios=[0.5, 1.0, 2.0],
            strides=[shapes[level].stride for level in levels],
            offset=0.0,
        ),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_topk=(2 * sizes.proposals_train, sizes.proposals_test),
        post_nms_topk=(sizes.proposals_train, sizes.proposals_test),
        nms_thresh=0.7,
    )
    point_rend = isinstance(mask_head, PointRendHead)
    roi_heads = StandardROIHeads(
        num_classes=classes,
        batch_size_per_image=sizes.rois,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=list(POOLED),
        box_pooler=ROIPooler(output_size=7, scales=scales, sampling_ratio=0, pooler_type="ROIAlignV2"),
        box_head=FastRCNNConvFCHead(
            ShapeSpec(channels=channels, height=7, width=7), conv_dims=[], fc_dims=[sizes.box_channels] * 2
        ),
        box_predictor=BoxPredictor(
            ShapeSpec(channels=sizes.box_channels),
            box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
            num_classes=classes,
            test_score_thresh=predict.score_threshold,
            test_nms_thresh=predict.nms,
            test_topk_per_image=predict.detections,
        ),
        mask_in_features=list(POOLED),
        mask_pooler=None if point_rend else ROIPooler(14, scales=scales, sampling_ratio=0, pooler_type="ROIAlignV2"),
        mask_head=mask_head,
        train_on_pred_boxes=point_rend,  # as its configurations have it: on what the box head makes of the proposals
    )
    return GeneralizedRCNN(
        backbone=pyramid,
        proposal_generator=proposals,
        roi_heads=roi_heads,
        pixel_mean=spec.pixel_mean,
        pixel_std=spec.pixel_std,
        input_format=spec.channel_order,
    )
