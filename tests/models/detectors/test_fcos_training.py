"""FCOS with a mask branch trains: from which RoIs, to a lower loss, and when resumed to the same weights."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from fcos_factory import PREDICT, item, model, restless

from bcnet.models.detectors.mask_roi_heads import training_rois
from bcnet.params.models import FcosPredict, Schedule
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer

SCHEDULE = Schedule(
    iterations=60, batch=2, lr=3e-3, optimizer="adamw", warmup=0, decay="cosine", short_side=(90,), max_side=128
)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As training on a CPU is."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def proposals_of(boxes: Any) -> Instances:
    return Instances((90, 121), pred_boxes=Boxes(torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)))


def test_training_rois_are_what_overlaps_an_object_and_the_objects() -> None:
    targets = item(0)["instances"]
    targets.gt_boxes = Boxes(torch.tensor([[10.0, 10, 50, 50], [40, 10, 80, 50], [10, 60, 30, 80]]))
    near = [[10.0, 10, 50, 30], [10, 10, 50, 29], [42, 10, 82, 50], [0, 0, 90, 90], [10, 60, 30, 90]]  # IoU .5, .475, …
    rois = training_rois(proposals_of(near), targets, 99)
    expected = [near[0], near[2], near[4], *targets.gt_boxes.tensor.tolist()]
    assert rois.proposal_boxes.tensor.tolist() == expected
    learnt = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.equal(rois.gt_classes, targets.gt_classes[learnt])
    assert torch.equal(rois.gt_masks.tensor, targets.gt_masks.tensor[learnt])
    assert torch.equal(rois.gt_occluder_masks.tensor, targets.gt_occluder_masks.tensor[learnt])

    torch.manual_seed(0)
    drawn = training_rois(proposals_of(near), targets, 4).proposal_boxes.tensor.tolist()
    assert len(drawn) == 4
    assert all(box in expected for box in drawn)
    assert drawn != training_rois(proposals_of(near), targets, 4).proposal_boxes.tensor.tolist()

    assert training_rois(proposals_of([]), targets, 99).proposal_boxes.tensor.tolist() == expected[3:]
    assert len(training_rois(proposals_of(near), item(0, objects=0)["instances"], 99)) == 0


def test_training_proposals_are_at_the_scale_of_the_picture_and_as_released() -> None:
    """The same as detections with the released settings, whatever `predict` says."""
    other = PREDICT.model_copy(update={"fcos": FcosPredict(score_threshold=0.9, nms=0.1), "detections": 3})
    trained, tested = restless(model(predict=other)).train(), restless(model())
    batch = [item(1), item(2, 60, 96)]
    images = tested.preprocess_image(batch)
    with torch.no_grad():
        features = tested.backbone(images.tensor)
        found, losses = trained.proposal_generator(images, features, [each["instances"] for each in batch])
        expected, none = tested.proposal_generator(images, features)
    assert set(losses) == {"loss_fcos_cls", "loss_fcos_box", "loss_fcos_centerness"}
    assert not none
    for mine, theirs in zip(found, expected, strict=True):
        assert len(theirs) > 20
        assert torch.equal(mine.pred_boxes.tensor, theirs.pred_boxes.tensor)


def test_rois_of_ground_truth_only() -> None:
    """What the released code does in effect: proposals, however good, train nothing."""
    batch = [item(1), item(2)]
    targets = [each["instances"] for each in batch]
    for mask_rois, more in (("ground_truth", False), ("proposals", True)):
        detector = restless(model(mask_rois=mask_rois)).train()
        images = detector.preprocess_image(batch)
        features = detector.backbone(images.tensor)
        proposals, _ = detector.proposal_generator(images, features, targets)
        assert not proposals[0].pred_boxes.tensor.requires_grad
        if more:  # weights are random: put one that fits among them
            proposals[0].pred_boxes.tensor[7] = targets[0].gt_boxes.tensor[1] + torch.tensor([1.0, 0, 0, 1])
        rois, _ = detector.roi_heads(images, features, proposals, targets)
        boxes = rois[0].proposal_boxes.tensor.tolist()
        assert all(box in boxes for box in targets[0].gt_boxes.tensor.tolist())
        assert (len(boxes) > 3) == more


@pytest.mark.parametrize("method", ["mask_rcnn", "bcnet"])
@pytest.mark.parametrize("objects", [(0, 3), (0,)])
def test_a_picture_without_an_object(method: str, objects: tuple[int, ...]) -> None:
    """Every loss is finite and has a gradient, which several processes need."""
    detector = model(method).train()
    losses = detector([item(number, objects=count) for number, count in enumerate(objects)])
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    assert all(math.isfinite(value) for value in values.values())
    assert values["loss_fcos_cls"] > 0
    assert (values["loss_fcos_box"] > 0) == (max(objects) > 0)
    sum(losses.values()).backward()
    parameters = dict(detector.proposal_generator.named_parameters())
    assert all(parameter.grad is not None for parameter in parameters.values())


def trained(batch: list[Any], iterations: int, stop_at: int = 0, **switches: Any) -> tuple[Any, list[dict[str, float]]]:
    """A model after so many iterations on the same pictures, saved and loaded anew after `stop_at`; and the losses."""
    detector, history = model(**switches).train(), []
    optimizer = make_optimizer(detector, SCHEDULE)
    scaler = torch.amp.GradScaler(enabled=False)
    for iteration in range(iterations):
        if stop_at and iteration == stop_at:
            saved = detector.state_dict(), optimizer.state_dict()
            detector = model(**switches).train()
            detector.load_state_dict(saved[0])
            optimizer = make_optimizer(detector, SCHEDULE)
            optimizer.load_state_dict(saved[1])
        torch.manual_seed(iteration)
        losses = step(detector, batch, optimizer, scaler, SCHEDULE, iteration)
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    return detector.eval(), history


@pytest.mark.usefixtures("deterministic")
def test_it_learns_a_picture() -> None:
    picture = item(1, 64, 96)
    detector, history = trained([picture], 60)
    for name, share in (("loss_fcos_cls", 0.1), ("loss_fcos_box", 0.5), ("loss_target_mask", 0.8)):
        assert history[-1][name] < share * history[0][name], name
    with torch.no_grad():
        (found,) = detector.inference([picture], do_postprocess=False)
    objects = picture["instances"]
    overlap = pairwise_iou(objects.gt_boxes, found.pred_boxes)
    overlap[objects.gt_classes[:, None] != found.pred_classes] = 0
    assert float(overlap.amax(1).min()) > 0.6


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("method", ["mask_rcnn", "bcnet"])
def test_a_resumed_training_ends_with_the_same_weights(method: str) -> None:
    batch = [item(1), item(2)]
    undisturbed, losses = trained(batch, 6, method=method)
    resumed, again = trained(batch, 6, stop_at=3, method=method)
    assert losses == again
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
