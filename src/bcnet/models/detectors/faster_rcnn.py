"""detectron2's Faster R-CNN, put together from its parts, with a mask branch of ours or its own."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import StandardROIHeads
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.proposal_generator.proposal_utils import find_top_rpn_proposals
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from bcnet.models.backbones import pyramid
from bcnet.models.conventions import Conventions
from bcnet.models.detections import Size
from bcnet.models.processes import over_all_rois
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}  # of the levels that RoIs are pooled from; proposals use p6 as well


class Proposals(RPN):
    """detectron2's, which cuts boxes at the border of their picture as the conventions have it."""

    def __init__(self, conventions: Conventions, **parts: Any) -> None:
        super().__init__(**parts)
        self.conventions = conventions

    @torch.no_grad()
    def predict_proposals(
        self, anchors: list[Boxes], logits: list[Tensor], deltas: list[Tensor], sizes: list[Size]
    ) -> list[Instances]:
        cut = self.conventions.clipped
        levels = [
            torch.stack([cut(boxes, size) for boxes, size in zip(level, sizes, strict=True)])
            for level in self._decode_proposals(anchors, deltas)
        ]
        most = self.pre_nms_topk[self.training], self.post_nms_topk[self.training]
        found: list[Instances] = find_top_rpn_proposals(
            levels, logits, sizes, self.nms_thresh, *most, self.min_box_size, self.training
        )
        return found


class BoxPredictor(FastRCNNOutputLayers):
    """detectron2's, whose losses are means over the RoIs of all processes; boxes are cut as the conventions have it."""

    def __init__(self, conventions: Conventions, input_shape: ShapeSpec, **parts: Any) -> None:
        super().__init__(input_shape, **parts)
        self.conventions = conventions

    def predict_boxes(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> Sequence[Tensor]:
        of_pictures = zip(super().predict_boxes(predictions, proposals), proposals, strict=True)
        return [
            self.conventions.clipped(boxes.unflatten(1, (-1, 4)), picture.image_size).flatten(1)
            for boxes, picture in of_pictures
        ]

    def losses(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> dict[str, Tensor]:
        return over_all_rois(super().losses(predictions, proposals), proposals)


def faster_rcnn(spec: Spec[Any], mask_branch: nn.Module, *, train_on_pred_boxes: bool = False) -> RoISegmenter:
    """The two-stage detector with detectron2's own defaults, in the sizes that `params.yaml` names.

    Args:
        spec: of the model.
        mask_branch: gets the features of all levels of `STRIDES` by name, and instances: RoIs that train it, or
            detections. Gives named losses, or the detections with `pred_masks`.
        train_on_pred_boxes: masks are learned in what the box head makes of the proposals, not in these.
    """
    sizes, predict, channels = spec.sizes, spec.predict, spec.sizes.fpn_channels
    backbone, conventions = pyramid(spec.variant.backbone, channels, sizes.freeze_at), spec.conventions
    conventions.prepare(backbone)
    shapes = backbone.output_shape()
    proposals = Proposals(
        conventions,
        in_features=list(shapes),
        head=StandardRPNHead(in_channels=channels, num_anchors=3),
        anchor_generator=conventions.anchors(
            sizes.anchor_sizes, [0.5, 1.0, 2.0], [shape.stride for shape in shapes.values()]
        ),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_topk=(2 * sizes.proposals_train, sizes.proposals_test),
        post_nms_topk=(sizes.proposals_train, sizes.proposals_test),
        nms_thresh=conventions.iou_limit(0.7),
    )
    roi_heads = StandardROIHeads(
        num_classes=spec.classes,
        batch_size_per_image=sizes.rois,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=list(STRIDES),
        box_pooler=conventions.pooler(7, list(STRIDES.values())),
        box_head=FastRCNNConvFCHead(
            ShapeSpec(channels=channels, height=7, width=7), conv_dims=[], fc_dims=[sizes.box_channels] * 2
        ),
        box_predictor=BoxPredictor(
            conventions,
            ShapeSpec(channels=sizes.box_channels),
            box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
            num_classes=spec.classes,
            test_score_thresh=predict.score_threshold,
            test_nms_thresh=conventions.iou_limit(predict.nms),
            test_topk_per_image=predict.detections,
        ),
        mask_in_features=list(STRIDES),
        mask_head=mask_branch,
        train_on_pred_boxes=train_on_pred_boxes,
    )
    return RoISegmenter(spec, backbone, proposals, roi_heads, predict.nms)
