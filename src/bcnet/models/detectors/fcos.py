"""FCOS: a detector that predicts a box from each location (Tian et al., ICCV 2019), as BCNet's released code has it.

A method whose masks depend on the location uses its parts: `FCOS.predict`, whose outputs have the towers' features and
those of a `top` of the method's own; `FCOS.learned`, which object each location learns; `FCOS.losses`; `FCOS.detect`,
whose detections have their `levels`, `locations`, `points` and rows of the top. Where its authors' FCOS is another than
that of BCNet's, it says so with an `FcosEdition`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.conventions import DETECTRON2, Conventions
from bcnet.models.detectors.fcos_detections import decode
from bcnet.models.detectors.fcos_edition import RELEASED, FcosEdition
from bcnet.models.detectors.fcos_head import FCOSHead, LevelOutput, by_location
from bcnet.models.detectors.fcos_targets import Locations, assign, distances_to, fcos_losses, locate
from bcnet.models.detectors.mask_roi_heads import MaskROIHeads
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.models import FcosPredict

STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}  # of all levels, in pixels
TRAINING_DETECTIONS = 100  # of a picture, whatever `predict` says


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
        top: a method's own layer on a tower.
        edition: whose FCOS it is.
        conventions: of the code base that trained it.
        align: a method's own last layer of the tower of categories, which sees the boxes: see `FCOSHead`.
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
        edition: FcosEdition = RELEASED,
        conventions: Conventions = DETECTRON2,
        align: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.head = FCOSHead(channels, classes, len(strides), top, edition, align)
        self.strides, self.propose, self.edition, self.conventions = strides, propose, edition, conventions
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
        return [
            assign(self.conventions.to_code_base(target.gt_boxes.tensor), places, at, target.gt_boxes.area())
            for target, at in zip(targets, chosen, strict=True)
        ]

    def losses(
        self, outputs: list[LevelOutput], places: Locations, targets: list[Instances], learned: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses of a batch, whose pictures have `gt_boxes` and `gt_classes`: see `fcos_losses`."""
        edition, classes, distances = self.edition, [], []
        unit = 1 if edition.in_pixels else places.strides
        for target, index in zip(targets, learned, strict=True):
            boxes = self.conventions.to_code_base(target.gt_boxes.tensor)
            # -1, the background, takes the row that is added at the end
            classes.append(F.pad(target.gt_classes, (0, 1), value=-1)[index])
            distances.append(distances_to(F.pad(boxes, (0, 0, 0, 1))[index], places.points) / unit)
        logits = by_location([output.logits for output in outputs]).flatten(0, 1)
        predicted = by_location([output.distances for output in outputs]).flatten(0, 1)
        centre = by_location([output.centerness for output in outputs]).flatten()
        wanted = torch.cat(classes), torch.cat(distances)
        images = len(targets) if edition.images_count else 0
        return fcos_losses(logits, predicted, centre, *wanted, edition.box_weight, edition.box_loss, images)

    @torch.no_grad()
    def detect(self, outputs: list[LevelOutput], places: Locations, sizes: list[tuple[int, int]]) -> list[Instances]:
        """What `decode` gives for each picture; in training with the edition's settings, whatever `predict` says."""
        tested = self.settings, self.detections
        chosen = (self.edition.training, TRAINING_DETECTIONS) if self.training else tested
        of_code_base = self.edition, self.conventions
        return [decode(outputs, places, picture, size, *chosen, *of_code_base) for picture, size in enumerate(sizes)]


def fcos(spec: Spec[Any], mask_branch: nn.Module, edition: FcosEdition = RELEASED) -> RoISegmenter:
    """FCOS with a mask branch on its boxes.

    Args:
        spec: of the model; its variant says which RoIs train the mask branch.
        mask_branch: gets the features of all levels of `STRIDES` by name, and instances: RoIs that train it, or
            detections. Gives named losses, or the detections with `pred_masks`.
        edition: whose FCOS it is.
    """
    sizes, predict, conventions = spec.sizes, spec.predict, spec.conventions
    backbone = pyramid_from_p3(spec.variant.backbone, sizes.fpn_channels, sizes.freeze_at, spec.variant.neck)
    conventions.prepare(backbone)
    detector = FCOS(
        sizes.fpn_channels,
        spec.classes,
        STRIDES,
        sizes.fcos_ranges,
        predict.fcos,
        predict.detections,
        propose=spec.variant.mask_rois == "proposals",
        edition=edition,
        conventions=conventions,
    )
    roi_heads = MaskROIHeads(mask_branch, sizes.rois // 4 if edition.draws_rois else None)
    return RoISegmenter(spec, backbone, detector, roi_heads, predict.fcos.nms)
