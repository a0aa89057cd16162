"""What CenterMask learns: losses of given outputs, equal to those of both editions of its authors' code."""

from typing import Any

import numpy as np
import pytest
import torch
from centermask_golden import CLASSES, EDITIONS, STRIDES, Given, Theirs, compared, near, objects_of
from detectron2.structures import Boxes, Instances
from torch import Tensor

from bcnet import methods as models
from bcnet.methods.centermask import (
    first_share,
)
from bcnet.models.detectors.fcos_head import LevelOutput
from bcnet.models.detectors.mask_roi_heads import training_rois
from bcnet.models.masks.mask_iou import MaskIoUHead, shares_inside
from bcnet.models.segmenter import Spec
from bcnet.params import methods
from bcnet.params.models import Model, Predict


class GivenIoU(MaskIoUHead):
    """A head whose numbers are given."""

    def __init__(self, predicted: Tensor, like: MaskIoUHead) -> None:
        super().__init__(1, 1, 1, like.of_polygons)
        self.predicted = predicted

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        return self.predicted


CASES = [(theirs, case) for theirs in EDITIONS.values() for case in theirs.golden.read("losses")["cases"]]
cases = pytest.mark.parametrize(("theirs", "case"), CASES, ids=[f"{t.number}-{c['name']}" for t, c in CASES])


def model_of(theirs: Theirs) -> Any:
    variant = methods.variant(method="centermask", backbone="efficientnet_lite0", edition=theirs.number)
    return models.build(Spec(variant, Model(), Predict(short_side=64, max_side=64), CLASSES, theirs.conventions))


@cases
def test_the_losses_of_fcos_are_the_authors(theirs: Theirs, case: dict[str, Any]) -> None:
    fcos, generator = model_of(theirs).train().proposal_generator, torch.Generator().manual_seed(case["seed"])
    targets = [objects_of(theirs, gt, case["image_wh"]) for gt in case["gt"]]
    logits, distances, centre = maps_of(case, generator)
    units = STRIDES if theirs.number == 2 else [1] * 5
    distances = [(0.5 * each + 3).exp() / unit for each, unit in zip(distances, units, strict=True)]
    levels = zip([each - 3 for each in logits], distances, centre, strict=True)
    outputs = [LevelOutput(*level, torch.empty(0)) for level in levels]
    sizes = case["feature_sizes_hw"]
    _, places = fcos.predict({f"p{3 + n}": torch.zeros(len(targets), 256, *size) for n, size in enumerate(sizes)})
    learned = fcos.learned(places, targets)
    counts = [int((level >= 0).sum()) for level in torch.stack(learned).split(places.counts, 1)]
    assert counts == case["expected"]["positives_per_level"]
    compared(theirs, fcos.losses(outputs, places, targets, learned), case["expected"], 1e-6)


def maps_of(case: dict[str, Any], generator: torch.Generator) -> list[list[Tensor]]:
    """Random numbers of all levels: of the categories, the distances, and centerness."""
    sizes, n = case["feature_sizes_hw"], len(case["gt"])
    return [[torch.randn(n, channels, *size, generator=generator) for size in sizes] for channels in (CLASSES, 4, 1)]


def proposals_of(theirs: Theirs, case: dict[str, Any]) -> list[np.ndarray]:
    """Of each picture, as they end at theirs."""
    if theirs.number == 1:
        return [np.array(boxes) for boxes in case["proposals"]]
    return [np.array(of_picture["boxes"]) for of_picture in case["foreground_proposals"]]


def labels_of(theirs: Theirs, case: dict[str, Any]) -> list[list[int]]:
    """Of their proposals, from 1 on; 0: background."""
    if theirs.number == 1:
        return case["expected"]["mask_labels"]
    return [[label + 1 for label in of_picture["gt_classes_0_to_79"]] for of_picture in case["foreground_proposals"]]


@cases
def test_the_losses_of_masks_are_the_authors(theirs: Theirs, case: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    maps_of(case, generator)  # their generator has made these before
    labels, rois = [], []
    for gt, proposals in zip(case["gt"], proposals_of(theirs, case), strict=True):
        objects = objects_of(theirs, gt, case["image_wh"])
        boxes = Boxes(torch.tensor(proposals + theirs.end, dtype=torch.float32))
        chosen = training_rois(Instances(objects.image_size, pred_boxes=boxes), objects, None)
        labels.append(chosen.gt_classes + 1)
        chosen = chosen[: len(chosen) - len(objects)]  # the objects' own boxes are not among their proposals
        chosen.proposal_boxes = Boxes(chosen.proposal_boxes.tensor - torch.tensor(theirs.end))
        rois.append(chosen)
    foreground = torch.tensor([label for picture in labels_of(theirs, case) for label in picture]) > 0
    assert [label for each, gt in zip(labels, case["gt"], strict=True) for label in each[: -len(gt["boxes"])]] == [
        label for picture in labels_of(theirs, case) for label in picture if label
    ]
    if theirs.number == 1:
        shares = [shares_inside(each.gt_masks, each.proposal_boxes, each.image_size, first_share) for each in rois]
        near(torch.cat(shares), np.concatenate(case["expected"]["mask_ratio"]), 1e-6)

    masks = 2 * torch.randn(len(foreground), CLASSES + theirs.first, 28, 28, generator=generator)
    predicted = torch.rand(len(foreground), CLASSES + theirs.first, generator=generator)
    branch = model_of(theirs).train().roi_heads.mask_head
    branch.roi_features = Given(torch.zeros(0))
    branch.head = Given({"target_mask": masks[foreground][:, theirs.first :]})
    branch.mask_iou = GivenIoU(predicted[foreground][:, theirs.first :], branch.mask_iou)
    compared(theirs, branch({}, rois), case["expected"], 1e-6)
