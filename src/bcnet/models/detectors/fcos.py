"""FCOS: a detector that predicts a box from each location (Tian et al., ICCV 2019), as BCNet's released code has it.

A method whose masks depend on the location uses its parts: `FCOS.predict`, whose outputs have the towers' features and
those of a `top` of the method's own; `FCOS.learned`, which object each location learns; `FCOS.losses`; `FCOS.detect`,
whose detections have their `levels`, `locations`, `points` and rows of the top. Where its authors' FCOS is another than
that of BCNet's, it says so with an `Edition`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detectors.fcos_head import FCOSHead, LevelOutput, by_location
from bcnet.models.detectors.fcos_targets import BOX_WEIGHT, Locations, assign, distances_to, fcos_losses, locate
from bcnet.models.detectors.mask_roi_heads import MaskROIHeads
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.models import FcosPredict

STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}  # of all levels, in pixels
TRAINING = FcosPredict()  # how the RoIs that train a mask head are found: as released, whatever `predict` says
TRAINING_DETECTIONS = 100


@dataclass(frozen=True)
class Edition:
    """Where FCOS differs from one code base to the other; the defaults are those of BCNet's released code.

    Attributes:
        scales: whether each level has a learnt scale of its distances.
        box_weight: of the loss of the boxes.
        threshold_on_score: `score_threshold` is for a category's probability times centerness, not for it alone.
    """

    scales: bool = True
    box_weight: float = BOX_WEIGHT
    threshold_on_score: bool = False


RELEASED = Edition()


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
        edition: whose FCOS it is.
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
        edition: Edition = RELEASED,
    ) -> None:
        super().__init__()
        self.head = FCOSHead(channels, classes, len(strides), top, edition.scales)
        self.strides, self.propose, self.edition = strides, propose, edition
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

    def learned(
        self, places: Locations, targets: list[Instances], centres: Sequence[Tensor | None] | None = None
    ) -> list[Tensor]:
        """Which of a picture's objects each location learns, of each picture (K,) int64, -1: background: `assign`.

        Args:
            places: the locations of all levels.
            targets: the objects of each picture, with `gt_boxes`.
            centres: (G, 2) of each picture's objects, in the place of their boxes' centres.
        """
        chosen = centres or [None] * len(targets)
        return [assign(target.gt_boxes.tensor, places, at) for target, at in zip(targets, chosen, strict=True)]

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
        weight = self.edition.box_weight
        return fcos_losses(logits, predicted, centre, torch.cat(classes), torch.cat(distances), weight)

    @torch.no_grad()
    def detect(self, outputs: list[LevelOutput], places: Locations, sizes: list[tuple[int, int]]) -> list[Instances]:
        """What `decode` gives for each picture; in training with the released settings, whatever `predict` says."""
        chosen = (TRAINING, TRAINING_DETECTIONS) if self.training else (self.settings, self.detections)
        on_score = self.edition.threshold_on_score
        return [decode(outputs, places, picture, size, *chosen, on_score) for picture, size in enumerate(sizes)]


def decode(
    outputs: list[LevelOutput],
    places: Locations,
    picture: int,
    size: tuple[int, int],
    settings: FcosPredict,
    detections: int,
    threshold_on_score: bool = False,
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
        threshold_on_score: it is the probability times centerness that `score_threshold` is for.

    Returns:
        Fields `pred_boxes`, `scores` = √(category's probability · centerness), `pred_classes`, and where each
        detection comes from: `levels` (index of the level) and `locations` (index within it), both (n,) int64, and
        `points` (n, 2), x and y in pixels. Where the head has a top, `tops`: (n, T), its rows there.
    """
    found: list[tuple[Tensor, ...]] = []
    by_level = zip(outputs, places.points.split(places.counts), places.strides.split(places.counts), strict=True)
    for level, (output, points, strides) in enumerate(by_level):
        logits, distances, centerness = (
            by_location([maps[picture]]).float() for maps in (output.logits, output.distances, output.centerness)
        )
        probabilities = logits.sigmoid()
        scores = probabilities * centerness.sigmoid()
        certain = scores if threshold_on_score else probabilities
        location, category = (certain > settings.score_threshold).nonzero().unbind(1)
        score = scores[location, category]
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
    first = locations.new_tensor([0, *places.counts]).cumsum(0)  # of each level
    place = first[levels[kept]] + locations[kept]
    instances.points = places.points[place]
    if tops := [output.top[picture] for output in outputs if output.top is not None]:
        instances.tops = by_location(tops)[place]
    return instances


def fcos(spec: Spec[Any], mask_branch: nn.Module) -> RoISegmenter:
    """FCOS with a mask branch on its boxes.

    Args:
        spec: of the model; its variant says which RoIs train the mask branch.
        mask_branch: gets the features of all levels of `STRIDES` by name, and instances: RoIs that train it, or
            detections. Gives named losses, or the detections with `pred_masks`.
    """
    sizes, predict = spec.sizes, spec.predict
    backbone = pyramid_from_p3(spec.variant.backbone, sizes.fpn_channels, sizes.freeze_at, spec.variant.neck)
    propose = spec.variant.mask_rois == "proposals"
    detector = FCOS(
        sizes.fpn_channels, spec.classes, STRIDES, sizes.fcos_ranges, predict.fcos, predict.detections, propose
    )
    roi_heads = MaskROIHeads(mask_branch, sizes.rois // 4)
    return RoISegmenter(spec, backbone, detector, roi_heads, predict.fcos.nms)
