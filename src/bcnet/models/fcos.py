"""FCOS: a detector that predicts a box from each location (Tian et al., ICCV 2019), as BCNet's released code has it.

A method whose masks depend on the location uses its parts: `FCOS.predict`, whose outputs have the towers' features and
those of a `top` of the method's own; `FCOS.learned`, which object each location learns; `FCOS.losses`; `FCOS.detect`,
whose detections have their `levels`, `locations` and rows of the top.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.fcos_targets import Locations, assign, distances_to, fcos_losses, locate
from bcnet.models.mask_roi_heads import MaskROIHeads
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.models import FcosPredict

STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}  # of all levels, in pixels
PRIOR = 0.01  # the probability that a category's classifier starts with (focal loss)
TRAINING = FcosPredict()  # how the RoIs that train a mask head are found: as released, whatever `predict` says
TRAINING_DETECTIONS = 100


class LevelOutput(NamedTuple):
    """The head's output on a level of stride s, for N pictures: H = height / s, W = width / s, rounded up."""

    logits: Tensor  # (N, categories, H, W)
    distances: Tensor  # (N, 4, H, W) ≥ 0, in strides, to the left, top, right and lower side
    centerness: Tensor  # (N, 1, H, W) logits
    cls_features: Tensor  # (N, C, H, W), of the tower of categories
    box_features: Tensor  # (N, C, H, W), of the tower of boxes
    top: Tensor | None = None  # (N, T, H, W), what a method's own layer makes of these


class GroupNorm(nn.GroupNorm):
    """PyTorch's, which also takes groups of one value: what 32 channels are on a level of 1x1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class FCOSHead(nn.Module):
    """Two towers of four convolutions with GroupNorm(32), shared by all levels; centerness is on that of the boxes.

    Convolutions start with normal(0, 0.01); names are those of the released checkpoints, but for `scales`.

    Args:
        channels: of the features, and of all layers.
        classes: number of categories.
        levels: number of levels.
        top: a method's own layer on the tower of boxes, (N, C, H, W) to (N, T, H, W); it starts as it comes.
    """

    def __init__(self, channels: int, classes: int, levels: int, top: nn.Module | None = None) -> None:
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
        self.top = top

    def forward(self, features: list[Tensor]) -> list[LevelOutput]:
        """Features (N, C, H, W) of each level to its outputs."""
        outputs = []
        for level, scale in zip(features, self.scales, strict=True):
            classes, boxes = self.cls_tower(level), self.bbox_tower(level)
            distances = F.relu(scale * self.bbox_pred(boxes))
            top = None if self.top is None else self.top(boxes)
            logits, centerness = self.cls_logits(classes), self.centerness(boxes)
            outputs.append(LevelOutput(logits, distances, centerness, classes, boxes, top))
        return outputs


def _tower(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(channels, channels, kernel_size=3, padding=1), GroupNorm(32, channels), nn.ReLU()]
    return nn.Sequential(*layers)


class FCOS(nn.Module):
    """FCOS in the place of detectron2's proposal generators: its proposals are detections.

    Args:
        channels: of the levels.
        classes: number of categories.
        strides: of the levels by name, in pixels, rising.
        ranges: the largest distance to a side, in pixels, that a level learns, of all levels but the last.
        settings: how detections are chosen at test time.
        detections: at most so many a picture then.
        propose: whether training needs proposals too; otherwise they are empty.
        top: a method's own layer on the tower of boxes.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        strides: Mapping[str, int],
        ranges: tuple[int, ...],
        settings: FcosPredict,
        detections: int,
        propose: bool = False,
        top: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.head = FCOSHead(channels, classes, len(strides), top)
        self.strides, self.propose = strides, propose
        self.ranges = list(zip((0.0, *ranges), (*ranges, math.inf), strict=True))
        self.settings, self.detections = settings, detections

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Instances] | None = None
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Detections of each picture (what `decode` gives) and, in training, the losses (what `fcos_losses` gives)."""
        outputs, places = self.predict(features)
        if not self.training:
            return self.detect(outputs, places, images.image_sizes), {}
        assert targets is not None
        losses = self.losses(outputs, places, targets, self.learned(places, targets))
        if self.propose:
            return self.detect(outputs, places, images.image_sizes), losses
        none = Boxes(places.points.new_empty(0, 4))
        return [Instances(size, pred_boxes=none) for size in images.image_sizes], losses

    def predict(self, features: dict[str, Tensor]) -> tuple[list[LevelOutput], Locations]:
        """The head's output on each level, and the locations of all of them."""
        levels = [features[name] for name in self.strides]
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        return self.head(levels), locate(sizes, list(self.strides.values()), self.ranges, levels[0].device)

    def learned(self, places: Locations, targets: list[Instances]) -> list[Tensor]:
        """Which of a picture's objects each location learns, of each picture (K,) int64, -1: background: `assign`."""
        return [assign(target.gt_boxes.tensor, places) for target in targets]

    def losses(
        self, outputs: list[LevelOutput], places: Locations, targets: list[Instances], learned: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses of a batch, whose pictures have `gt_boxes` and `gt_classes`: see `fcos_losses`."""
        classes, distances = [], []
        for target, index in zip(targets, learned, strict=True):
            boxes = target.gt_boxes.tensor  # -1, the background, takes the row that is added at the end
            classes.append(F.pad(target.gt_classes, (0, 1), value=-1)[index])
            distances.append(distances_to(F.pad(boxes, (0, 0, 0, 1))[index], places.points) / places.strides)
        logits = by_location([output.logits for output in outputs]).flatten(0, 1)
        predicted = by_location([output.distances for output in outputs]).flatten(0, 1)
        centre = by_location([output.centerness for output in outputs]).flatten()
        return fcos_losses(logits, predicted, centre, torch.cat(classes), torch.cat(distances))

    @torch.no_grad()
    def detect(self, outputs: list[LevelOutput], places: Locations, sizes: list[tuple[int, int]]) -> list[Instances]:
        """What `decode` gives for each picture; in training with the released settings, whatever `predict` says."""
        chosen = (TRAINING, TRAINING_DETECTIONS) if self.training else (self.settings, self.detections)
        return [decode(outputs, places, picture, size, *chosen) for picture, size in enumerate(sizes)]


def by_location(levels: Sequence[Tensor]) -> Tensor:
    """Maps (…, C, H, W) of each level as rows (…, K, C), one for each of the K locations of all levels.

    In single precision at least: mixed precision has halves here.
    """
    rows = [maps.movedim(-3, -1).flatten(-3, -2) for maps in levels]
    return torch.cat([row.to(torch.promote_types(row.dtype, torch.float32)) for row in rows], -2)


def decode(
    outputs: list[LevelOutput],
    places: Locations,
    picture: int,
    size: tuple[int, int],
    settings: FcosPredict,
    detections: int,
) -> Instances:
    """A picture's detections, best first (released code: boxes are not clipped, and the threshold is on the category).

    Args:
        outputs: of the head on each level.
        places: the locations of all levels.
        picture: its index in the batch.
        size: its (height, width), in pixels.
        settings: a location is a candidate for each category whose probability is above `score_threshold`; of a level,
            the best `candidates` stay; `nms` is within a category.
        detections: at most, after NMS.

    Returns:
        Fields `pred_boxes`, `scores` = √(category's probability · centerness), `pred_classes`, and where each
        detection comes from: `levels` (index of the level) and `locations` (index within it), both (n,) int64. Where
        the head has a top, `tops`: (n, T), its rows there.
    """
    found: list[tuple[Tensor, ...]] = []
    by_level = zip(outputs, places.points.split(places.counts), places.strides.split(places.counts), strict=True)
    for level, (output, points, strides) in enumerate(by_level):
        logits, distances, centerness = (
            by_location([maps[picture]]).float() for maps in (output.logits, output.distances, output.centerness)
        )
        probabilities = logits.sigmoid()
        location, category = (probabilities > settings.score_threshold).nonzero().unbind(1)
        score = (probabilities * centerness.sigmoid())[location, category]
        score, best = score.topk(min(settings.candidates, len(score)))
        location, category = location[best], category[best]
        near, reach = points[location], (distances * strides)[location]
        box = torch.cat([near - reach[:, :2], near + reach[:, 2:]], 1)
        found.append((box, score.sqrt(), category, torch.full_like(location, level), location))
    boxes, scores, classes, levels, locations = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = batched_nms(boxes, scores, classes, settings.nms)[:detections]
    instances = Instances(
        size,
        pred_boxes=Boxes(boxes[kept]),
        scores=scores[kept],
        pred_classes=classes[kept],
        levels=levels[kept],
        locations=locations[kept],
    )
    if tops := [output.top[picture] for output in outputs if output.top is not None]:
        first = locations.new_tensor([0, *places.counts]).cumsum(0)  # of each level
        instances.tops = by_location(tops)[first[levels[kept]] + locations[kept]]
    return instances


def fcos(spec: Spec[Any], mask_branch: nn.Module) -> RoISegmenter:
    """FCOS with a mask branch on its boxes.

    Args:
        spec: of the model; its variant says which RoIs train the mask branch.
        mask_branch: gets the features of all levels of `STRIDES` by name, and instances: RoIs that train it, or
            detections. Gives named losses, or the detections with `pred_masks`.
    """
    sizes, predict = spec.sizes, spec.predict
    backbone = pyramid_from_p3(spec.variant.backbone, sizes.fpn_channels, sizes.freeze_at)
    propose = spec.variant.mask_rois == "proposals"
    detector = FCOS(
        sizes.fpn_channels, spec.classes, STRIDES, sizes.fcos_ranges, predict.fcos, predict.detections, propose
    )
    roi_heads = MaskROIHeads(mask_branch, sizes.rois // 4)
    return RoISegmenter(spec, backbone, detector, roi_heads, predict.fcos.nms)
