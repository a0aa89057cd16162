"""A training step of Mask R-CNN and of PointRend is detectron2's own: equal losses and gradients, bit for bit.

Both models compute in this process with the same operations, so there is no rounding to allow for: a RoI or an anchor
drawn otherwise, another target or another weight of a loss changes a bit.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor
from zoo_factory import CLASSES, SOFTER, Masks, fill, item, our_model, zoo_model

DETECTOR = ["loss_cls", "loss_box_reg"]
PROPOSALS = ["loss_rpn_cls", "loss_rpn_loc"]
LOSSES = {  # in the order of detectron2's log
    "mask_rcnn": [*DETECTOR, "loss_mask", *PROPOSALS],
    "pointrend": [*DETECTOR, "loss_mask", "loss_mask_point", *PROPOSALS],
}
# boxes stay near those that they are predicted from: PointRend learns in predicted boxes, and would find no mask there
WEIGHTS = SOFTER | {"roi_heads.box_predictor.bbox_pred.weight": 0.1}


@pytest.fixture(scope="module", autouse=True)
def deterministic() -> Iterator[None]:
    """As training on a CPU is."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class Pair(NamedTuple):
    ours: GeneralizedRCNN
    theirs: GeneralizedRCNN


@pytest.fixture(scope="module")
def pairs() -> dict[str, Pair]:
    """By mask head: a model of this project and detectron2's, with equal weights."""
    made = {head: Pair(our_model(head), zoo_model(pointrend=head == "pointrend")) for head in LOSSES}
    for model in chain(*made.values()):
        fill(model, WEIGHTS)
    return made


def batch_of(masks: Masks) -> list[dict[str, Any]]:
    """Pictures of different sizes, so that both are padded."""
    return [item(1, 160, 192, 5, masks), item(2, 192, 128, 3, masks)]


def losses_by_detectron2(model: GeneralizedRCNN, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    with EventStorage(0):
        return model(batch)


def gradients(model: GeneralizedRCNN, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    sum(losses.values()).backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()  # the memory
    return found


@pytest.mark.parametrize(
    ("method", "masks"),
    [("mask_rcnn", "bitmasks"), ("mask_rcnn", "polygons"), ("pointrend", "bitmasks")],  # which takes no polygons
)
def test_losses_and_gradients_are_detectron2s_bit_for_bit(pairs: dict[str, Pair], method: str, masks: Masks) -> None:
    pair = pairs[method]
    torch.manual_seed(7)
    ours = pair.ours(batch_of(masks))
    torch.manual_seed(7)
    theirs = losses_by_detectron2(pair.theirs, batch_of(masks))
    assert list(ours) == list(theirs) == LOSSES[method]
    for name, loss in theirs.items():
        assert loss > 0.01, name  # or there would be nothing to compare
        assert torch.equal(ours[name], loss), name
    found, expected = gradients(pair.ours, ours), gradients(pair.theirs, theirs)
    assert found.keys() == expected.keys()
    assert "backbone.bottom_up.res3.0.conv1.weight" in expected
    assert "backbone.bottom_up.res2.2.conv3.weight" not in expected  # frozen
    for name, gradient in expected.items():
        assert gradient.any(), name
        assert torch.equal(found[name], gradient), name


@pytest.mark.parametrize("method", LOSSES)
def test_a_pixel_of_the_masks_matters(pairs: dict[str, Pair], method: str) -> None:
    """Or equal losses would not show that both learn the same masks."""
    losses = []
    for shift in (0, 1):
        batch = batch_of("bitmasks")
        for each in batch:
            each["instances"].gt_masks = BitMasks(each["instances"].gt_masks.tensor.roll(shift, 2))
        torch.manual_seed(7)
        with torch.no_grad():
            losses.append(losses_by_detectron2(pairs[method].theirs, batch))
    changed = {name for name, loss in losses[0].items() if not torch.equal(loss, losses[1][name])}
    assert changed == {name for name in losses[0] if "mask" in name}


# --- what is drawn where more fits than is taken: the pictures above have too few objects to show that


def crowd(near: int) -> tuple[list[Instances], list[Instances]]:
    """Two pictures with twelve objects each: proposals, of which `near` fit an object and 600 are anywhere; targets."""
    random = np.random.default_rng(3)
    proposals, targets = [], []
    for _ in range(2):
        starts, sides = random.uniform(0, 300, (12, 2)), random.uniform(20, 150, (12, 2))
        objects = np.concatenate([starts, starts + sides], 1)
        fitting = objects[random.integers(0, 12, near)] + random.uniform(-4, 4, (near, 4))
        anywhere = random.uniform(0, 400, (600, 2))
        other = np.concatenate([anywhere, anywhere + random.uniform(5, 200, (600, 2))], 1)
        target = Instances((512, 512), gt_classes=torch.from_numpy(random.integers(0, CLASSES, 12)))
        target.gt_boxes = Boxes(torch.as_tensor(objects, dtype=torch.float32))
        boxes = Boxes(torch.as_tensor(np.concatenate([fitting, other]), dtype=torch.float32))
        proposals.append(Instances((512, 512), proposal_boxes=boxes, objectness_logits=torch.zeros(near + 600)))
        targets.append(target)
    return proposals, targets


@pytest.mark.parametrize("method", LOSSES)
@pytest.mark.parametrize("near", [20, 300])
def test_the_same_rois_are_drawn_and_at_most_a_quarter_fits(pairs: dict[str, Pair], method: str, near: int) -> None:
    drawn = []
    for model in pairs[method]:
        torch.manual_seed(11)
        with EventStorage(0):
            drawn.append(model.roi_heads.label_and_sample_proposals(*crowd(near)))
    for ours, theirs in zip(*drawn, strict=True):
        foreground = int((theirs.gt_classes < CLASSES).sum())
        assert len(theirs) == 512
        assert foreground == 128 if near == 300 else 20 < foreground < 128
        for field in ("gt_classes", "proposal_boxes", "gt_boxes"):
            mine, expected = (getattr(each, field) for each in (ours, theirs))
            if isinstance(expected, Boxes):
                mine, expected = mine.tensor, expected.tensor
            assert torch.equal(mine, expected), field


@pytest.mark.parametrize("method", LOSSES)
@pytest.mark.parametrize("objects", [1, 200])
def test_the_same_anchors_are_drawn_and_at_most_half_fit(pairs: dict[str, Pair], method: str, objects: int) -> None:
    features = [torch.zeros(1, 256, 512 // stride, 512 // stride) for stride in (4, 8, 16, 32, 64)]
    random = np.random.default_rng(4)
    starts, sides = random.uniform(0, 350, (objects, 2)), random.uniform(20, 150, (objects, 2))
    boxes = torch.as_tensor(np.concatenate([starts, starts + sides], 1), dtype=torch.float32)
    drawn = []
    for model in pairs[method]:
        proposer = model.proposal_generator
        anchors = proposer.anchor_generator(features)
        torch.manual_seed(12)
        with EventStorage(0):
            labels, matched = proposer.label_and_sample_anchors(anchors, [Instances((512, 512), gt_boxes=Boxes(boxes))])
        drawn.append((torch.cat([level.tensor for level in anchors]), labels[0], matched[0]))
    for ours, theirs in zip(*drawn, strict=True):
        assert torch.equal(ours, theirs)
    labels = drawn[1][1]
    assert int((labels >= 0).sum()) == 256
    assert int((labels == 1).sum()) == 128 if objects == 200 else 0 < int((labels == 1).sum()) < 128


def test_bcnets_detector_learns_as_that_of_detectron2s_mask_rcnn(pairs: dict[str, Pair]) -> None:
    """Its mask head has no counterpart there; what it trains with beside is the same."""
    batch = batch_of("bitmasks")
    for each in batch:
        each["instances"].gt_occluder_masks = each["instances"].gt_masks
    model = our_model("bcnet")
    fill(model, WEIGHTS)
    with torch.no_grad():
        torch.manual_seed(7)
        ours = model(batch)
        torch.manual_seed(7)
        theirs = losses_by_detectron2(pairs["mask_rcnn"].theirs, batch_of("bitmasks"))
    for name in DETECTOR + PROPOSALS:
        assert torch.equal(ours[name], theirs[name]), name
