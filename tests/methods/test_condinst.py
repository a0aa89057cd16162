"""CondInst computes what its authors' code does, and its heads draw what a network of each instance's own would."""

from typing import Any

import adelaidet_golden as golden
import numpy as np
import places
import pytest
import torch
from detectron2.structures import BitMasks, PolygonMasks
from model_factory import item
from torch import nn

from bcnet import methods
from bcnet.methods.condinst import INSTANCES, CondInstModel, DynamicHead, categories_of, dice_loss, learning
from bcnet.models.detectors.fcos import STRIDES
from bcnet.models.detectors.fcos_targets import locate
from bcnet.models.masks.image_masks import centres_of_mass, rasterised, sampled
from bcnet.models.segmenter import Spec
from bcnet.params.entries.condinst import CondInst
from bcnet.params.models import Model, Predict
from bcnet.weights.model_file import ModelFile

GOLDEN = places.GOLDEN / "condinst"
REACHES = [64, 128, 256, 512, 1024]


def variant(**keys: Any) -> CondInst:
    return CondInst(method="condinst", backbone="efficientnet_lite0", **keys)


def model(classes: int = 80, **keys: Any) -> CondInstModel:
    torch.manual_seed(0)
    return methods.build(Spec(variant(**keys), Model(), Predict(short_side=64, max_side=64), classes))


# --- the authors' numbers


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("condinst", tmp_path_factory.mktemp("condinst"), deviate=False)


@pytest.fixture(scope="module")
def deviating(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("condinst", tmp_path_factory.mktemp("condinst"), deviate=True)


def test_the_head_is_theirs(theirs: ModelFile) -> None:
    assert theirs.predict.fcos.score_threshold == 0.05
    expected = np.load(GOLDEN / "head.npz")
    generator = torch.Generator().manual_seed(101)
    features = golden.levels(generator)
    with torch.no_grad():
        outputs, _ = theirs.module.fcos.predict(features)
        shared = theirs.module.mask_branch(features)
    far = golden.head_apart(outputs, expected, "params", lambda _: slice(None))
    far["mask_feats"] = golden.apart(shared, expected["mask_feats"])
    assert max(far.values()) < 1e-5, far


def test_the_heads_of_instances_draw_theirs() -> None:
    expected = np.load(GOLDEN / "head.npz")["dynamic_logits"][:, 0]
    about = golden.read("condinst", "recipe")["head"]
    generator = torch.Generator().manual_seed(101)
    golden.levels(generator)
    shared = torch.randn(2, 8, 16, 20, generator=generator)
    parameters = 0.5 * torch.randn(6, 169, generator=generator)
    points, reaches = torch.tensor(about["locations"]), torch.tensor(REACHES)[about["fpn_levels"]]
    for index, picture in enumerate(about["im_inds"]):
        one = slice(index, index + 1)
        found = DynamicHead(variant())(parameters[one], shared[picture], points[one], reaches[one])
        assert golden.apart(found, expected[one]) < 1e-5


@pytest.mark.parametrize("bitmaps", [False, True])
@pytest.mark.parametrize("case", golden.read("condinst", "losses")["cases"], ids=lambda case: case["name"])
def test_the_losses_are_theirs(case: dict[str, Any], bitmaps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of given outputs, with their gradients, and that of the semantic head on given features."""
    learner = model(semantic_loss=True).eval()
    branch = learner.mask_branch
    tensors = golden.checkpoint("condinst", "state_semantic")
    for part in ("seg_head", "logits"):
        start = f"mask_branch.{part}."
        own = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
        getattr(branch, part).load_state_dict(own)
    generator = torch.Generator().manual_seed(case["seed"])
    given = golden.case_of(case, "params", 169, generator, bitmaps)
    shared = torch.randn(len(given.targets), 8, *golden.LEVELS[0], generator=generator).requires_grad_()
    p3 = torch.randn(len(given.targets), 256, *golden.LEVELS[0], generator=generator)
    locations = locate(golden.LEVELS, list(STRIDES.values()), learner.fcos.ranges, torch.device("cpu"))
    monkeypatch.setattr(learner.fcos, "predict", lambda _: (given.outputs, locations))
    monkeypatch.setattr(branch, "forward", lambda _: shared)
    losses = learner.losses(given.images, {"p3": p3}, given.targets)
    names = {ours: f"loss_fcos_{name}" for ours, name in golden.LOSSES.items()} | {"loss_semantic": "loss_sem"}
    losses = {names.get(name, name): loss for name, loss in losses.items()}
    assert losses.keys() == case["losses"].keys()
    far = golden.losses_apart(case, losses, {**given.leaves, "mask_feats": [shared]})
    assert max(far.values()) < 1e-5, far


@pytest.mark.parametrize("run", ["full", "crop"])
def test_the_whole_model_finds_what_theirs_does(run: str, deviating: ModelFile) -> None:
    about = golden.read("condinst", "recipe")["runs"][run]
    agreement = golden.compared("condinst", run, golden.detections(deviating, about))
    assert agreement.boxes < 1e-3, agreement
    assert agreement.scores < 1e-5, agreement
    assert agreement.mask_ious[0] >= 0.999, agreement
    assert agreement.areas <= 3, agreement


# --- by another route


def doubled(maps: np.ndarray) -> np.ndarray:
    """(H, W) to (2H, 2W): cell i stands for pixel 2i + 1, between them linearly, before the first like the first."""
    for axis in (0, 1):
        cells = np.moveaxis(maps, axis, 0)
        places = np.maximum((np.arange(2 * len(cells)) - 1) / 2, 0)
        low = places.astype(int)
        high = np.minimum(low + 1, len(cells) - 1)
        share = (places - low)[:, None]
        maps = np.moveaxis(cells[low] * (1 - share) + cells[high] * share, 0, axis)
    return maps


def drawn(parameters: np.ndarray, shared: np.ndarray, point: np.ndarray, reach: float, keys: CondInst) -> np.ndarray:
    """The logits of one instance, pixel by pixel, from the formulas of the paper."""
    widths = [shared.shape[0] + 2 * keys.relative_coordinates, *[keys.channels] * (keys.layers - 1), 1]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    numbers = iter(parameters)
    weights = [np.array([[next(numbers) for _ in range(into)] for _ in range(out)]) for out, into in shapes]
    biases = [np.array([next(numbers) for _ in range(out)]) for out, _ in shapes]
    assert list(numbers) == []
    logits = np.zeros(shared.shape[1:])
    for row, column in np.ndindex(*logits.shape):
        values = shared[:, row, column]
        if keys.relative_coordinates:
            values = np.concatenate([(point - (8 * column + 4, 8 * row + 4)) / reach, values])
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            values = weight @ (np.maximum(values, 0) if number else values) + bias
        logits[row, column] = values[0]
    return doubled(logits)


@pytest.mark.parametrize(
    "keys", [{}, {"layers": 1}, {"layers": 4, "channels": 5, "mask_channels": 3}, {"relative_coordinates": False}]
)
def test_the_head_of_each_instance_by_loops(keys: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    switches = variant(**keys)
    head = DynamicHead(switches)
    shared = torch.randn(switches.mask_channels, 5, 7, generator=generator, dtype=torch.float64)
    parameters = torch.randn(4, head.parameters_each, generator=generator, dtype=torch.float64)
    points, reaches = 60 * torch.rand(4, 2, generator=generator).double(), torch.tensor([64, 64, 256, 1024])
    found = head(parameters, shared, points, reaches)
    for ours, weights, point, reach in zip(found, parameters, points, reaches, strict=True):
        expected = drawn(weights.numpy(), shared.numpy(), point.numpy(), float(reach), switches)
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_a_location_that_moves_with_the_features_draws_the_mask_that_moves_as_far() -> None:
    generator = torch.Generator().manual_seed(4)
    head = DynamicHead(variant())
    shared = torch.randn(8, 9, 9, generator=generator, dtype=torch.float64)
    parameters = torch.randn(1, 169, generator=generator, dtype=torch.float64)
    point, reach = torch.tensor([[20.0, 28.0]], dtype=torch.float64), torch.tensor([64])
    before = head(parameters, shared, point, reach)
    after = head(parameters, shared.roll((1, 2), (1, 2)), point + torch.tensor([16, 8]), reach)
    torch.testing.assert_close(after[:, 4:-2, 6:-2], before[:, 2:-4, 2:-6])


def test_masks_of_the_padded_picture_their_centres_and_their_samples() -> None:
    polygons = [
        [np.array([3.0, 2, 11, 2, 11, 9, 3, 9])],
        [np.array([0.0, 0, 4, 0, 0, 4]), np.array([6.0, 6, 9, 6, 6, 9])],
    ]
    device = torch.device("cpu")
    whole = rasterised(PolygonMasks(polygons), (16, 24), device)
    small = rasterised(PolygonMasks(polygons), (12, 14), device)
    assert torch.equal(whole, rasterised(BitMasks(small), (16, 24), device))
    empty = torch.zeros(1, 16, 24, dtype=torch.bool)
    for mask, centre in zip(whole, centres_of_mass(torch.cat([whole, empty])), strict=False):
        rows, columns = np.nonzero(mask.numpy())
        assert centre.tolist() == pytest.approx([columns.mean(), rows.mean()], rel=1e-6)
    assert centres_of_mass(empty).tolist() == [[0, 0]]
    assert sampled(whole, 4).tolist() == [
        [[bool(m[y, x]) for x in range(2, 24, 4)] for y in range(2, 16, 4)] for m in whole
    ]


def test_dice_of_each_mask() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 6, 5, generator=generator) < 0.4
    masks[2] = False
    for loss, values, mask in zip(dice_loss(logits, masks), logits.numpy(), masks.numpy(), strict=True):
        p = 1 / (1 + np.exp(-values))
        assert float(loss) == pytest.approx(1 - 2 * p[mask].sum() / ((p**2).sum() + mask.sum() + 1e-5), rel=1e-12)


def test_a_cell_has_the_category_of_the_smallest_mask_there() -> None:
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, :24, :24], masks[1, :, 8:16], masks[2, :10, :6] = True, True, True
    found = categories_of(masks, torch.tensor([5, 7, 9]))
    assert found.tolist() == [[9, 7, 5, -1], [5, 7, 5, -1], [5, 7, 5, -1], [-1, 7, -1, -1]]
    assert categories_of(masks[:0], torch.tensor([], dtype=torch.int64)).tolist() == [[-1] * 4] * 4


# --- training and its limits


def test_of_too_many_locations_some_train_masks() -> None:
    few = [torch.tensor([-1, 0, -1, 2]), torch.full((4,), -1), torch.tensor([0, 0, 0, -1])]
    assert [each.tolist() for each in learning(few)] == [[1, 3], [], [0, 1, 2]]
    many = [torch.arange(900) % 3 - 1, torch.full((900,), -1), torch.zeros(900, dtype=torch.int64)]
    torch.manual_seed(0)
    chosen = learning(many)
    assert sum(map(len, chosen)) == INSTANCES
    assert len(chosen[1]) == 0
    assert len(set(chosen[2].tolist())) == len(chosen[2]) == pytest.approx(INSTANCES * 0.6, abs=60)
    assert all(many[0][place] >= 0 for place in chosen[0].tolist())


def test_the_semantic_head_learns() -> None:
    learner = model(classes=3, semantic_loss=True).train()
    losses = learner([item(), item()])
    assert losses.keys() == {*golden.LOSSES, "loss_mask", "loss_semantic"}
    (gradient,) = torch.autograd.grad(losses["loss_semantic"], learner.mask_branch.seg_head[0][0].weight)
    assert gradient.abs().max() > 0


def test_a_fresh_model_starts_with_the_weights_of_fcos_whatever_its_own_are() -> None:
    first, second = (model(classes=3, **keys).state_dict() for keys in ({}, {"channels": 4, "semantic_loss": True}))
    shared = {name for name in first if not name.startswith(("mask_branch.", "fcos.head.top."))}
    assert all(torch.equal(first[name], second[name]) for name in shared)
    assert float(first["fcos.head.top.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert second["mask_branch.logits.bias"].tolist() == pytest.approx([-4.59512] * 3)


def test_masks_are_drawn_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, counts = model(classes=3).eval(), []
    head = detector.head.forward
    monkeypatch.setattr(detector.head, "forward", lambda tops, *rest: (counts.append(len(tops)), head(tops, *rest))[1])
    detector.fcos.settings = detector.fcos.settings.model_copy(update={"score_threshold": 0.0})
    nn.init.constant_(detector.fcos.head.bbox_pred.bias, 0.6)
    nn.init.normal_(detector.fcos.head.top.weight, std=0.3)
    with torch.no_grad():
        images = detector._normalised([item()["image"]])
        features = detector.backbone(images.tensor)
        found = detector.find(images, features)
        outputs, places = detector.fcos.predict(features)
        (instances,) = detector.fcos.detect(outputs, places, images.image_sizes)
        (shared,) = detector.mask_branch(features)
        together = head(instances.tops, shared, instances.points, detector.reaches[instances.levels]).sigmoid()
    assert max(counts) == 20 < len(together) == sum(counts)
    torch.testing.assert_close(found.masks.maps, together)
    of_level = places.points.split(places.counts)
    points = [of_level[level][place] for level, place in zip(instances.levels, instances.locations, strict=True)]
    assert torch.equal(instances.points, torch.stack(points))
