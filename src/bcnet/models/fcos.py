"""FCOS: a detector that predicts a box from each location (Tian et al., ICCV 2019), as BCNet's released code has it.

Its parts are made to be put together anew: a method whose masks depend on the location writes a proposal generator of
its own from `FCOS.locate`, `FCOS.head` (whose outputs have the towers' features), `FCOS.assign` (which object each
location learns) and `decode` (whose detections have their `levels` and `locations`).
"""

import math
from typing import NamedTuple

import torch
from detectron2.layers import batched_nms
from detectron2.modeling import FPN, GeneralizedRCNN
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import BACKBONES
from bcnet.models.fcos_targets import assign, distances_to, fcos_losses, locations
from bcnet.models.mask_roi_heads import MaskROIHeads
from bcnet.params.models import FcosPredict, Model, Predict, Variant

PRIOR = 0.01  # the probability that a category's classifier starts with (focal loss)
TRAINING = FcosPredict()  # how the RoIs that train a mask head are found: as released, whatever `predict` says
TRAINING_DETECTIONS = 100


class LevelOutput(NamedTuple):
    """The head's output on a level of stride s: H = height / s, W = width / s, for N pictures."""

    logits: Tensor  # (N, categories, H, W)
    distances: Tensor  # (N, 4, H, W) ≥ 0, in strides, to the left, top, right and lower side
    centerness: Tensor  # (N, 1, H, W) logits
    cls_features: Tensor  # (N, C, H, W), of the tower of categories
    box_features: Tensor  # (N, C, H, W), of the tower of boxes


class FCOSHead(nn.Module):
    """Two towers of four convolutions with GroupNorm(32), shared by all levels; centerness is on that of the boxes.

    Convolutions start with normal(0, 0.01); names are those of the released checkpoints, but for `scales`.
    """

    def __init__(self, channels: int, classes: int, levels: int) -> None:
        super().__init__()
        self.cls_tower, self.bbox_tower = _tower(channels), _tower(channels)
        self.cls_logits = nn.Conv2d(channels, classes, kernel_size=3, padding=1)
        self.bbox_pred = nn.Conv2d(channels, 4, kernel_size=3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, kernel_size=3, padding=1)
        self.scales = nn.ParameterList([torch.ones(1) for _ in range(levels)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.get_parameter("bias"))
        nn.init.constant_(self.cls_logits.get_parameter("bias"), -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: list[Tensor]) -> list[LevelOutput]:
        """Features (N, C, H, W) of each level to its outputs."""
        outputs = []
        for level, scale in zip(features, self.scales, strict=True):
            classes, boxes = self.cls_tower(level), self.bbox_tower(level)
            distances = F.relu(scale * self.bbox_pred(boxes))
            outputs.append(LevelOutput(self.cls_logits(classes), distances, self.centerness(boxes), classes, boxes))
        return outputs


def _tower(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.GroupNorm(32, channels), nn.ReLU()]
    return nn.Sequential(*layers)


class FCOS(nn.Module):
    """FCOS in the place of detectron2's proposal generators: its proposals are detections.

    Args:
        channels: of the levels.
        classes: number of categories.
        strides: of the levels by name, in pixels, rising.
        ranges: the largest distance to a side, in pixels, that a level learns, of all levels but the last.
        predict: how detections are chosen at test time.
        detections: at most so many a picture then.
        propose: whether training needs proposals too; otherwise they are empty.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        strides: dict[str, int],
        ranges: tuple[int, ...],
        predict: FcosPredict,
        detections: int,
        propose: bool,
    ) -> None:
        super().__init__()
        self.head = FCOSHead(channels, classes, len(strides))
        self.strides, self.propose = strides, propose
        self.ranges = list(zip((-1.0, *ranges), (*ranges, math.inf), strict=True))
        self.predict, self.detections = predict, detections

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Instances] | None = None
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Detections of each picture (what `decode` gives) and, in training, the losses (what `fcos_losses` gives)."""
        levels = [features[name] for name in self.strides]
        outputs, points = self.head(levels), self.locate(levels)
        if not self.training:
            return self._decoded(outputs, points, images.image_sizes, self.predict, self.detections), {}
        assert targets is not None
        if self.propose:
            with torch.no_grad():
                found = self._decoded(outputs, points, images.image_sizes, TRAINING, TRAINING_DETECTIONS)
        else:
            found = [Instances(size, pred_boxes=Boxes(levels[0].new_empty(0, 4))) for size in images.image_sizes]
        return found, self.losses(outputs, points, targets)

    def locate(self, levels: list[Tensor]) -> list[Tensor]:
        """(H * W, 2) x and y in pixels of the locations of each level (N, C, H, W), row by row."""
        sizes = [level.shape[-2:] for level in levels]
        return [
            locations(height, width, stride, levels[0].device)
            for (height, width), stride in zip(sizes, self.strides.values(), strict=True)
        ]

    def assign(self, points: list[Tensor], boxes: Tensor) -> Tensor:
        """(K,) int64: which of a picture's boxes (G, 4) each location of all levels learns; -1: background."""
        counts = torch.tensor([len(level) for level in points], device=boxes.device)
        strides = torch.tensor(list(self.strides.values()), device=boxes.device).repeat_interleave(counts)
        ranges = torch.tensor(self.ranges, device=boxes.device).repeat_interleave(counts, 0)
        return assign(boxes, torch.cat(points), strides, ranges)

    def losses(self, outputs: list[LevelOutput], points: list[Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """The losses of a batch: see `fcos_losses`."""
        strides = torch.cat([points[i].new_full((len(points[i]), 1), s) for i, s in enumerate(self.strides.values())])
        classes, distances = [], []
        for target in targets:
            boxes = target.gt_boxes.tensor
            index = self.assign(points, boxes)
            learnt = torch.cat([boxes, boxes.new_zeros(1, 4)])[index]  # index -1: the row of zeros
            classes.append(torch.cat([target.gt_classes, target.gt_classes.new_tensor([-1])])[index])
            distances.append(distances_to(learnt, torch.cat(points)) / strides)
        logits, predicted, centre = (
            torch.cat([_by_location(output[part]) for output in outputs], 1).flatten(0, 1) for part in range(3)
        )
        return fcos_losses(logits, predicted, centre[:, 0], torch.cat(classes), torch.cat(distances))

    def _decoded(
        self,
        outputs: list[LevelOutput],
        points: list[Tensor],
        sizes: list[tuple[int, int]],
        predict: FcosPredict,
        detections: int,
    ) -> list[Instances]:
        scaled = [
            (_by_location(output.logits), _by_location(output.distances) * stride, _by_location(output.centerness))
            for output, stride in zip(outputs, self.strides.values(), strict=True)
        ]
        return [
            decode([tuple(part[i] for part in level) for level in scaled], points, size, predict, detections)
            for i, size in enumerate(sizes)
        ]


def _by_location(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H * W, C) float32."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2).float()


def decode(
    levels: list[tuple[Tensor, ...]],
    points: list[Tensor],
    size: tuple[int, int],
    predict: FcosPredict,
    detections: int,
) -> Instances:
    """A picture's detections, best first (released code: boxes are not clipped, and the threshold is on the category).

    Args:
        levels: of each level logits (K, categories), distances (K, 4) in pixels, and centerness logits (K, 1).
        points: of each level x and y (K, 2), in pixels.
        size: (height, width) of the picture, in pixels.
        predict: a location is a candidate for each category whose probability is above `score_threshold`; of a level,
            the best `candidates` stay; `nms` is within a category.
        detections: at most, after NMS.

    Returns:
        Fields `pred_boxes`, `scores` = √(category's probability · centerness), `pred_classes`, and where each
        detection comes from: `levels` (index of the level) and `locations` (index within it), both (n,) int64.
    """
    boxes, scores, classes, origins, indices = [], [], [], [], []
    for number, ((logits, distances, centre), places) in enumerate(zip(levels, points, strict=True)):
        probabilities = logits.sigmoid()
        location, category = (probabilities > predict.score_threshold).nonzero().unbind(1)
        score = (probabilities * centre.sigmoid())[location, category]
        score, best = score.topk(min(predict.candidates, len(score)))
        location, category = location[best], category[best]
        near, reach = places[location], distances[location]
        boxes.append(torch.cat([near - reach[:, :2], near + reach[:, 2:]], 1))
        scores.append(score.sqrt())
        classes.append(category)
        origins.append(torch.full_like(location, number))
        indices.append(location)
    found = [torch.cat(parts) for parts in (boxes, scores, classes, origins, indices)]
    kept = batched_nms(found[0], found[1], found[2], predict.nms)[:detections]
    box, score, category, origin, index = (part[kept] for part in found)
    return Instances(size, pred_boxes=Boxes(box), scores=score, pred_classes=category, levels=origin, locations=index)


def fcos(
    pyramid: FPN, mask_head: nn.Module, classes: int, variant: Variant, sizes: Model, predict: Predict
) -> GeneralizedRCNN:
    """FCOS with a mask branch on its boxes.

    Args:
        pyramid: backbone with levels p3 to p7.
        mask_head: what `MaskROIHeads` calls as mask head.
        classes: number of categories, background not counted.
        variant: its backbone's input, and the RoIs that train the mask head.
        sizes: widths, ranges of the levels, and number of RoIs.
        predict: `fcos` and number of detections of test time.
    """
    strides = {level: shape.stride for level, shape in pyramid.output_shape().items()}
    propose = variant.mask_rois == "proposals"
    spec = BACKBONES[variant.backbone]
    return GeneralizedRCNN(
        backbone=pyramid,
        proposal_generator=FCOS(
            sizes.fpn_channels, classes, strides, sizes.fcos_ranges, predict.fcos, predict.detections, propose
        ),
        roi_heads=MaskROIHeads(strides, mask_head, sizes.rois // 4),
        pixel_mean=spec.pixel_mean,
        pixel_std=spec.pixel_std,
        input_format=spec.channel_order,
    )
