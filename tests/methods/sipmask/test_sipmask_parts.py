"""SipMask's layers and its loss by another route, and how it trains and finds."""

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from model_factory import item, with_boxes
from sipmask_golden import LOSSES, model

from bcnet.inference.detect import detect
from bcnet.methods.sipmask import FeatureAlignment, SipMaskModel
from bcnet.models.detections import View
from bcnet.models.detectors.fcos_targets import iou_loss
from bcnet.models.masks.sub_regions import assembled
from bcnet.params.entries.sipmask import SipMask
from bcnet.params.models import FcosPredict, Predict
from bcnet.weights.model_file import ModelFile


def bilinear(channel: np.ndarray, y: float, x: float) -> float:
    """Between cells, with zeros around the map."""
    value = 0.0
    for row, column in np.ndindex(2, 2):
        i, j = int(np.floor(y)) + row, int(np.floor(x)) + column
        if 0 <= i < channel.shape[0] and 0 <= j < channel.shape[1]:
            value += channel[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return value


def test_the_aligned_convolution_by_loops() -> None:
    """Kernel position by position: where the predicted box moves it, in four groups of channels."""
    torch.manual_seed(0)
    layer = FeatureAlignment(32, bias=True).double()
    torch.nn.init.normal_(layer.offsets.weight, std=0.5)
    torch.nn.init.normal_(layer.convolution.bias)
    features, distances = torch.randn(1, 32, 4, 5).double(), torch.rand(1, 4, 4, 5).double()
    found = layer.convolution(features, layer.offsets(distances))[0].detach().numpy()
    offsets = np.einsum("oc,chw->ohw", layer.offsets.weight[:, :, 0, 0].detach().numpy(), distances[0].numpy())
    weight, bias = layer.convolution.weight.detach().numpy(), layer.convolution.bias.detach().numpy()
    for y, x in np.ndindex(4, 5):
        seen = np.zeros((32, 9))
        for channel, place in np.ndindex(32, 9):
            down, across = offsets[18 * (channel // 8) + 2 * place :][:2, y, x]
            row, column = divmod(place, 3)
            seen[channel, place] = bilinear(features[0, channel].numpy(), y + row - 1 + down, x + column - 1 + across)
        np.testing.assert_allclose(found[:, y, x], (weight.reshape(32, 32, 9) * seen).sum((1, 2)) + bias, atol=1e-10)


def test_alignment_starts_as_a_plain_convolution_and_moves_no_box() -> None:
    torch.manual_seed(0)
    layer = FeatureAlignment(32, bias=False)
    features = torch.randn(2, 32, 5, 6)
    distances = torch.rand(2, 4, 5, 6, requires_grad=True)
    plain = torch.conv2d(features, layer.convolution.weight, padding=1)
    aligned = layer(features, distances)
    torch.testing.assert_close(aligned, layer.norm(plain).relu())
    aligned.sum().backward()
    assert distances.grad is None
    assert layer.offsets.weight.grad.abs().max() > 0


def test_the_iou_loss_by_areas() -> None:
    """Of boxes around a point, in strides, their last cell counted; predicted ones may miss the point."""
    random = np.random.default_rng(0)
    predicted, target = random.uniform(-1, 4, (50, 4)), random.uniform(0, 4, (50, 4))
    predicted[0] = [-3, -3, 3.5, 3.5]  # with no cell in common with the next
    target[0] = [2, 2, 0, 0]
    found = iou_loss(torch.from_numpy(predicted), torch.from_numpy(target))
    for loss, ours, theirs in zip(found.tolist(), predicted, target, strict=True):
        corners = [np.array([-each[0], -each[1], each[2] + 1, each[3] + 1]) for each in (ours, theirs)]
        low, high = np.maximum(*corners)[:2], np.minimum(*corners)[2:]
        common = np.prod(np.maximum(high - low, 0))
        area, other = (np.prod(each[2:] - each[:2]) for each in corners)
        assert loss == pytest.approx(-np.log(max(common / (area + other - common), 1e-6)), rel=1e-9)


def instances_of(boxes: list[list[float]], probabilities: list[float], learner: SipMaskModel) -> Instances:
    """Locations that learn the first object, whose box is 16 cells wide."""
    count = len(boxes)
    coefficients = torch.randn(count, *learner.coefficients, generator=torch.Generator().manual_seed(0))
    return Instances(
        (64, 64),
        boxes=torch.tensor(boxes),
        true_boxes=torch.tensor([[4.0, 4, 20, 20]]).repeat(count, 1),
        probabilities=torch.tensor(probabilities),
        coefficients=coefficients,
        objects=torch.zeros(count, dtype=torch.int64),
    )


@pytest.mark.parametrize(("edition", "kept"), [("benchmark", [0, 3]), ("mmdetection", [0, 1, 3])])
def test_which_locations_train_their_masks(edition: str, kept: list[int]) -> None:
    """The second box overlaps the first, which is surer, by 10 / 11 with 1 added to sides (without: 9 / 10, which is no
    more than the limit); the third has less than a cell.
    """
    learner = model(edition=edition)
    basis, masks = torch.rand(32, 32, 32, generator=torch.Generator().manual_seed(1)), torch.ones(1, 32, 32) > 0
    boxes = [[4.0, 4, 13, 13], [4, 4, 13, 14], [5, 5, 6, 5.9], [2, 3, 14, 16]]
    instances = instances_of(boxes, [0.9, 0.6, 0.8, 0.3], learner)
    sides = np.array([[10.0, 10], [10, 11], [0, 0], [13, 14]])
    overlap = np.array([10 * 10, 10 * 11, 0, 11 * 13])
    weights = np.array([0.9, 0.6, 0, 0.3]) * overlap / (sides.prod(1) + 17 * 17 - overlap)
    weights = weights / (weights.sum() + (1e-4 if edition == "mmdetection" else 0)) * 3
    expected = 0.0
    for index in kept:
        mask = assembled(basis, instances.coefficients[index], instances.boxes[index]).double().numpy()
        cells = mask[mask > 0]
        width, height = (instances.boxes[index, 2:] - instances.boxes[index, :2]).tolist()
        expected += weights[index] * -np.log(cells).sum() / (width * height) / len(kept)
    assert float(learner.mask_loss(basis, learner.with_weights(instances), masks)) == pytest.approx(expected, rel=1e-5)


def test_weighting_can_be_switched_off() -> None:
    learner = model(edition="mmdetection", mask_weighting=False)
    basis, masks = torch.rand(32, 32, 32, generator=torch.Generator().manual_seed(1)), torch.ones(1, 32, 32) > 0
    both = instances_of([[4.0, 4, 20, 20], [2, 3, 14, 16]], [0.9, 0.2], learner)
    alone = [
        float(learner.mask_loss(basis, learner.with_weights(both[index : index + 1]), masks)) for index in range(2)
    ]
    assert float(learner.mask_loss(basis, learner.with_weights(both), masks)) == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.mark.parametrize("values", [[0.2, 1.4], [1.4, 1.4]], ids=str)
@pytest.mark.parametrize(("edition", "limit"), [("benchmark", 1.0), ("mmdetection", np.inf)])
def test_a_large_mask_loss_counts_half(
    edition: str, limit: float, values: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the mean of the images that is large or not."""
    learner, of_images = model(classes=3, edition=edition).train(), iter(values)
    monkeypatch.setattr(learner, "mask_loss", lambda basis, *_: basis.sum() * 0 + next(of_images))
    mean = sum(values) / 2
    loss = float(learner([item(), item()])["loss_mask"].detach())
    assert loss == pytest.approx(mean / 2 if mean > limit else mean)


# --- training and what is found


def test_masks_teach_neither_boxes_nor_categories() -> None:
    """They weigh the masks and cut them out; the basis and the coefficients learn."""
    learner = with_boxes(model(classes=3)).train()
    loss = learner([item()])["loss_mask"]
    head = learner.fcos.head
    silent = [head.bbox_pred.weight, head.cls_logits.weight, head.centerness.weight]
    assert torch.autograd.grad(loss, silent, retain_graph=True, allow_unused=True) == (None, None, None)
    taught = torch.autograd.grad(loss, [learner.basis.refine.weight, head.top.weight, head.bbox_tower[0].weight])
    assert all(gradient.abs().max() > 0 for gradient in taught)


def test_mixed_precision_has_the_aligned_convolution_and_the_masks_in_single() -> None:
    """Neither exists in half precision on every device; what surrounds them moves the losses by some percent."""
    learner = with_boxes(model(classes=3)).train()
    plain = learner([item()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = learner([item()])
    for name, loss in mixed.items():
        assert loss.dtype == torch.float32
        assert float(loss.detach()) == pytest.approx(float(plain[name].detach()), rel=0.05)


def test_without_alignment_the_tower_has_a_fourth_layer() -> None:
    with_it, without = model(classes=3), model(classes=3, feature_alignment=False)
    assert len(with_it.fcos.head.cls_tower) == 9
    assert (len(without.fcos.head.cls_tower), without.fcos.head.align) == (12, None)
    assert set(without.train()([item()])) == set(LOSSES)


def test_a_fresh_model_starts_with_the_weights_of_fcos_whatever_its_own_are() -> None:
    first, second = (model(classes=3, **keys).state_dict() for keys in ({}, {"bases": 5, "sub_regions": 3}))
    shared = {name for name in first if not name.startswith(("basis.", "fcos.head.top."))}
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_coefficients_and_bases_start_as_in_each_code_base() -> None:
    """Of uniform numbers up to a, the deviation is a / √3."""
    starts = {"benchmark": 1 / np.sqrt(3 * 32 * 9), "mmdetection": 0.001}
    for edition, deviation in starts.items():
        assert float(model(edition=edition).fcos.head.top.weight.detach().std()) == pytest.approx(deviation, rel=0.05)
    small = model(edition="mmdetection").basis
    assert float(small.refine.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert small.merge.bias.abs().max() == 0


@pytest.mark.parametrize(("edition", "count"), [("benchmark", 5), ("mmdetection", 15)])
def test_candidates_are_locations_with_one_category_or_with_all(edition: str, count: int) -> None:
    """One of each level, none of which is suppressed."""
    detector = with_boxes(model(classes=3, edition=edition)).eval()
    detector.fcos.settings = FcosPredict(score_threshold=0, nms=1.0, candidates=1)
    with torch.no_grad():
        found = detector.detect([View(item()["image"], flipped=False)], (64, 64))
    assert len(found.scores) == count


def test_masks_end_where_boxes_do() -> None:
    """But for a pixel on each side, which resizing blurs."""
    detector = model(classes=3).eval()
    torch.nn.init.constant_(detector.fcos.head.bbox_pred.bias, 2.0)
    everything = Predict(short_side=64, max_side=64, fcos=FcosPredict(score_threshold=0))
    detector.fcos.settings = everything.fcos
    categories = [{"id": number, "name": str(number)} for number in range(3)]
    variant = SipMask(method="sipmask", backbone="efficientnet_lite0")
    image = item()["image"].permute(1, 2, 0).numpy()
    found = detect(ModelFile(detector, variant, everything, categories, {}), image)
    assert np.asarray(found.masks).any((1, 2)).sum() > 50
    for mask, box in zip(found.masks, found.boxes, strict=True):
        y, x = np.nonzero(mask)
        outside = np.concatenate([box[0] - x, x - box[2], box[1] - y, y - box[3]])
        assert outside.max(initial=-1) <= 1
