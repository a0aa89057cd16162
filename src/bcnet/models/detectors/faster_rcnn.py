"""detectron2's Faster R-CNN, put together from its parts, with a mask branch of ours or its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import StandardROIHeads
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.proposal_generator.proposal_utils import find_top_rpn_proposals
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from bcnet.models.backbones import pyramid
from bcnet.models.conventions import Conventions
from bcnet.models.detections import Size
from bcnet.models.processes import over_all_rois
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}  # of the levels that RoIs are pooled from; proposals use p6 as well


@dataclass(frozen=True)
class FasterRCNNEdition:
    """Where a method's Faster R-CNN differs from detectron2's, whose numbers are the defaults.

    Attributes:
        norm: of FPN's own convolutions, in the place of their bias; "": none.
        box_beta: the difference up to which the loss of the box head's boxes is square, not linear.
        proposal_beta: the same of proposals.
    """

    norm: str | Callable[[int], nn.Module] = ""
    box_beta: float = 0.0
    proposal_beta: float = 0.0


DETECTRON2S = FasterRCNNEdition()


@dataclass(frozen=True)
class BoxBranch:
    """From levels to what boxes are predicted from.

    Attributes:
        pooler: a list of the levels of `STRIDES`, and the boxes of each picture, to RoI features.
        head: from these to (N, `box_channels`).
    """

    pooler: nn.Module
    head: nn.Module


class Proposals(RPN):
    """detectron2's, which cuts boxes at the border of their picture as the conventions have it."""

    def __init__(self, conventions: Conventions, **parts: Any) -> None:
        super().__init__(**parts)
        self.conventions = conventions

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Instances] | None = None
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        sizes = images.image_sizes
        if self.conventions.cut_at_padding:
            height, width = images.tensor.shape[-2:]
            images = ImageList(images.tensor, [(height, width)] * len(sizes))
        proposals, losses = super().forward(images, features, targets)
        return [
            Instances(size, **of_picture.get_fields()) for size, of_picture in zip(sizes, proposals, strict=True)
        ], losses

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
    """detectron2's, whose losses are means over the RoIs of all processes; boxes are cut as the conventions have it.

    Attributes:
        picture: (height, width) of the picture in whose pixels boxes are computed; None: of what the model sees.
    """

    picture: Size | None = None

    def __init__(self, conventions: Conventions, input_shape: ShapeSpec, **parts: Any) -> None:
        super().__init__(input_shape, **parts)
        self.conventions = conventions

    def inference(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        if self.picture is None:
            return super().inference(predictions, proposals)
        resized, picture = self.conventions.resized, self.picture
        sizes = [of_view.image_size for of_view in proposals]
        in_picture = [
            Instances(picture, proposal_boxes=resized(of_view.proposal_boxes, size, picture))
            for of_view, size in zip(proposals, sizes, strict=True)
        ]
        detections, kept = super().inference(predictions, in_picture)
        return [
            Instances(
                size,
                pred_boxes=resized(boxes.pred_boxes, picture, size),
                scores=boxes.scores,
                pred_classes=boxes.pred_classes,
            )
            for boxes, size in zip(detections, sizes, strict=True)
        ], kept

    def predict_boxes(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> Sequence[Tensor]:
        of_pictures = zip(super().predict_boxes(predictions, proposals), proposals, strict=True)
        return [
            self.conventions.clipped(boxes.unflatten(1, (-1, 4)), picture.image_size).flatten(1)
            for boxes, picture in of_pictures
        ]

    def losses(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> dict[str, Tensor]:
        return over_all_rois(super().losses(predictions, proposals), proposals)


def faster_rcnn(
    spec: Spec[Any],
    mask_branch: nn.Module,
    *,
    train_on_pred_boxes: bool = False,
    box_branch: BoxBranch | None = None,
    edition: FasterRCNNEdition = DETECTRON2S,
) -> RoISegmenter:
    """The two-stage detector with detectron2's own defaults, in the sizes that `params.yaml` names.

    Args:
        spec: of the model.
        mask_branch: gets the features of all levels of `STRIDES` by name, and instances: RoIs that train it, or
            detections. Gives named losses, or the detections with `pred_masks`.
        train_on_pred_boxes: masks are learned in what the box head makes of the proposals, not in these.
        box_branch: None: two fully connected layers on RoIs of 7x7, from the level that fits a RoI's size.
        edition: what else is not as in detectron2.
    """
    sizes, predict, channels, conventions = spec.sizes, spec.predict, spec.sizes.fpn_channels, spec.conventions
    backbone = pyramid(spec.variant.backbone, channels, sizes.freeze_at, spec.variant.neck, edition.norm)
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
        smooth_l1_beta=edition.proposal_beta,
    )
    box_branch = box_branch or _connected(channels, sizes.box_channels, conventions)
    roi_heads = StandardROIHeads(
        num_classes=spec.classes,
        batch_size_per_image=sizes.rois,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=list(STRIDES),
        box_pooler=box_branch.pooler,
        box_head=box_branch.head,
        box_predictor=BoxPredictor(
            conventions,
            ShapeSpec(channels=sizes.box_channels),
            box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
            num_classes=spec.classes,
            test_score_thresh=predict.score_threshold,
            test_nms_thresh=conventions.iou_limit(predict.nms),
            test_topk_per_image=predict.detections,
            smooth_l1_beta=edition.box_beta,
        ),
        mask_in_features=list(STRIDES),
        mask_head=mask_branch,
        train_on_pred_boxes=train_on_pred_boxes,
    )
    return RoISegmenter(spec, backbone, proposals, roi_heads, predict.nms)


def _connected(channels: int, width: int, conventions: Conventions) -> BoxBranch:
    """Faster R-CNN's: two fully connected layers on RoIs of 7x7."""
    shape = ShapeSpec(channels=channels, height=7, width=7)
    head = FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=[width] * 2)
    return BoxBranch(conventions.pooler(7, list(STRIDES.values())), head)
