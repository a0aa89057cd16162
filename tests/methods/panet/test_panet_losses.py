"""PANet's losses and targets are equal to what its authors' code gave."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from golden_factory import Golden, bits
from model_factory import PREDICT, SIZES, as_they_are, build
from torch import Tensor, nn

from bcnet.models.masks.losses import mask_losses
from bcnet.models.masks.roi_mask_branch import RoIMaskBranch, of_class
from bcnet.models.segmenter import Segmenter
from bcnet.params import methods

GOLDEN = Golden("panet")
LAST = torch.tensor([0.0, 0, 1, 1])  # their boxes end at their last pixel

CLASSES = 80  # theirs are counted from 1, 0 is the background


@pytest.fixture(params=GOLDEN.read("losses")["cases"], ids=lambda case: case["note"].split(";")[0][:40])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture(scope="module")
def in_training() -> Segmenter:
    """A model with 80 categories, whose losses are compared."""
    torch.manual_seed(0)
    variant = methods.variant(method="panet", detector="faster_rcnn", backbone="efficientnet_lite0")
    return build(variant, SIZES, PREDICT, CLASSES).train()


def test_losses_are_the_authors(case: dict[str, Any], in_training: Segmenter) -> None:
    """In boxes with the pixels of the picture, whatever its scale: as they are after the proposals were ours."""
    generator = torch.Generator().manual_seed(case["seed"])
    count, masks = len(case["rois"]), len(case["mask_rois"])
    scores, deltas = (torch.randn(count, width, generator=generator) for width in (CLASSES + 1, 4 * CLASSES + 4))
    logits = 4 * torch.randn(masks, CLASSES + 1, 28, 28, generator=generator)

    labels = torch.tensor(case["labels"])
    rois = Instances((500, 500), proposal_boxes=Boxes(torch.tensor(case["rois"]) + LAST))
    rois.gt_boxes = Boxes((torch.tensor(case["gt_boxes"]) + LAST)[case["roi_gt"]])
    rois.gt_classes = torch.where(labels > 0, labels - 1, CLASSES)
    predictor: Any = in_training.get_submodule("roi_heads.box_predictor")
    targets = predictor.box2box_transform.get_deltas(rois.proposal_boxes.tensor, rois.gt_boxes.tensor)
    for target, expected in zip(targets[labels > 0], case["box_targets_of_label"], strict=False):
        np.testing.assert_allclose(target, expected, rtol=1e-5, atol=1e-6)
    with EventStorage(0):
        losses = predictor.losses((scores.roll(-1, 1), deltas[:, 4:]), [rois])
    assert losses["loss_cls"].item() == pytest.approx(case["loss_cls"], rel=1e-6)
    assert losses["loss_box_reg"].item() == pytest.approx(case["loss_bbox"], rel=1e-6)

    own = labels[labels > 0]
    chosen = of_class(logits[: len(own)], own)
    loss = mask_losses({"target_mask": chosen}, bits(case["mask_targets_hex"]))["loss_mask"]
    # without a foreground RoI theirs is 0/0
    assert loss.item() == pytest.approx(case["loss_mask"] if len(own) else 0, rel=1e-6)


def test_targets_of_masks_are_the_authors(case: dict[str, Any], in_training: Segmenter) -> None:
    """Where a RoI's object is also the one whose box overlaps it most, as in all of these cases."""
    foreground = torch.tensor(case["labels"]) > 0
    chosen, count = torch.tensor(case["roi_gt"])[foreground], int(foreground.sum())
    polygons = PolygonMasks([[np.array(part) for part in parts] for parts in case["polygons"]])
    rois = Instances((500, 500), proposal_boxes=Boxes(torch.tensor(case["rois"])[foreground]))
    rois.gt_classes, rois.gt_masks = torch.tensor(case["labels"])[foreground] - 1, polygons[chosen]
    learned: list[Tensor] = []

    def noted(outputs: dict[str, Tensor], *masks: Tensor) -> dict[str, Tensor]:
        learned.extend(masks)
        return {}

    own: Any = in_training.get_submodule("roi_heads.mask_head")
    branch = RoIMaskBranch(as_they_are, nn.Identity(), noted, own.learned).train()
    branch({"p2": {"target_mask": torch.zeros(count, CLASSES, 28, 28)}}, [rois])
    assert len(learned) == 1
    assert torch.equal(learned[0], bits(case["mask_targets_hex"]))


def test_losses_of_proposals_are_the_authors(in_training: Segmenter) -> None:
    golden = GOLDEN.read("losses")["rpn"]
    generator = torch.Generator().manual_seed(golden["seed"])
    logits, deltas, labels, targets = [], [], [], []
    for side in (8, 4, 2, 1, 1):

        def values(made: Tensor, side: int = side) -> Tensor:
            """(2, 3 times V, side, side) to (2, anchors, V), in the order of anchors."""
            return made.view(2, 3, -1, side, side).permute(0, 3, 4, 1, 2).flatten(1, 3)

        logits.append(values(torch.randn(2, 3, side, side, generator=generator)).squeeze(2))
        deltas.append(values(torch.randn(2, 12, side, side, generator=generator)))
        labels.append(values(torch.randint(-1, 2, (2, 3, side, side), generator=generator)).squeeze(2))
        targets.append(values(torch.randn(2, 12, side, side, generator=generator)))
    proposals: Any = in_training.get_submodule("proposal_generator")
    anchors = Boxes(torch.tensor([[-50.0, -50, 50, 50]]))
    every = Boxes(anchors.tensor.expand(sum(len(of_level[0]) for of_level in logits), 4))
    truth = [proposals.box2box_transform.apply_deltas(of_picture, every.tensor) for of_picture in torch.cat(targets, 1)]
    with EventStorage(0):
        losses = proposals.losses([every], logits, list(torch.cat(labels, 1)), deltas, truth)
    assert losses["loss_rpn_cls"].item() == pytest.approx(sum(golden["loss_rpn_cls"]), rel=1e-6)
    assert losses["loss_rpn_loc"].item() == pytest.approx(sum(golden["loss_rpn_bbox"]), rel=1e-5)
