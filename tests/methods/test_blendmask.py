"""BlendMask computes what its authors' code does, and blends as the formula says, one instance at a time."""

from typing import Any

import adelaidet_golden as golden
import numpy as np
import places
import pytest
import torch
from detectron2.layers import paste_masks_in_image
from detectron2.structures import BitMasks, PolygonMasks
from model_factory import item
from torch import nn

from bcnet import methods
from bcnet.methods.blendmask import BlendMaskModel, blend, cropped, mask_loss, painted_categories
from bcnet.models.detections import View
from bcnet.models.detectors.fcos import STRIDES
from bcnet.models.detectors.fcos_targets import locate
from bcnet.models.segmenter import Spec
from bcnet.params.entries.blendmask import BlendMask
from bcnet.params.models import Model, Predict
from bcnet.weights.model_file import ModelFile

GOLDEN = places.GOLDEN / "blendmask"


def variant(**keys: Any) -> BlendMask:
    return BlendMask(method="blendmask", backbone="efficientnet_lite0", **keys)


def model(classes: int = 80, **keys: Any) -> BlendMaskModel:
    torch.manual_seed(0)
    return methods.build(Spec(variant(**keys), Model(), Predict(short_side=64, max_side=64), classes))


# --- the authors' numbers


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("blendmask", tmp_path_factory.mktemp("blendmask"), deviate=False)


@pytest.fixture(scope="module")
def deviating(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("blendmask", tmp_path_factory.mktemp("blendmask"), deviate=True)


def test_the_head_is_theirs(theirs: ModelFile) -> None:
    assert theirs.predict.fcos.score_threshold == 0.05
    expected = np.load(GOLDEN / "head.npz")
    features = golden.levels(torch.Generator().manual_seed(101))
    with torch.no_grad():
        outputs, _ = theirs.module.fcos.predict(features)
        bases = theirs.module.basis_module(features)
        semantics = theirs.module.basis_module.seg_head(features["p3"])
    far = golden.head_apart(outputs, expected, "attn", lambda level: slice(None, None, 49 if level < "p5" else 1))
    far |= {"bases": golden.apart(bases, expected["bases"]), "sem": golden.apart(semantics, expected["sem_logits"])}
    assert max(far.values()) < 1e-5, far


def test_the_blender_is_theirs() -> None:
    expected = np.load(GOLDEN / "head.npz")
    generator = torch.Generator().manual_seed(101)
    golden.levels(generator)
    bases = torch.randn(2, 4, 64, 80, generator=generator)
    attention = 2 * torch.randn(5, 784, generator=generator)
    boxes = [torch.tensor(each) for each in golden.read("blendmask", "recipe")["head"]["boxes"]]
    blender = model(classes=3)
    assert golden.apart(blender.blended(bases, boxes, attention), expected["blend_logits"]) < 1e-5


@pytest.mark.parametrize("case", golden.read("blendmask", "losses")["cases"], ids=lambda case: case["name"])
def test_the_losses_are_theirs(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of given outputs, with their gradients, and that of the semantic head on given features."""
    learner = model().eval()
    module = learner.basis_module
    start = "basis_module.seg_head."
    tensors = {name: tensor for name, tensor in golden.checkpoint("blendmask").items() if name.startswith(start)}
    module.seg_head.load_state_dict({name.removeprefix(start): tensor for name, tensor in tensors.items()})
    generator = torch.Generator().manual_seed(case["seed"])
    given = golden.case_of(case, "attn", 784, generator)
    bases = torch.randn(len(given.targets), 4, 64, 80, generator=generator).requires_grad_()
    p3 = torch.randn(len(given.targets), 256, *golden.LEVELS[0], generator=generator)
    locations = locate(golden.LEVELS, list(STRIDES.values()), learner.fcos.ranges, torch.device("cpu"))
    monkeypatch.setattr(learner.fcos, "predict", lambda _: (given.outputs, locations))
    monkeypatch.setattr(module, "forward", lambda _: bases)
    losses = learner.losses(given.images, {"p3": p3}, given.targets)
    names = {ours: f"loss_fcos_{name}" for ours, name in golden.LOSSES.items()}
    names["loss_semantic"] = "loss_basis_sem_before_weight"
    losses["loss_semantic"] = losses["loss_semantic"] / 0.3
    losses = {names.get(name, name): loss for name, loss in losses.items()}
    assert losses.keys() == case["losses"].keys()
    far = golden.losses_apart(case, losses, {**given.leaves, "bases": [bases]})
    assert max(far.values()) < 1e-5, far


@pytest.mark.parametrize("run", ["full", "crop"])
def test_the_whole_model_finds_what_theirs_does(run: str, deviating: ModelFile) -> None:
    """Where a box leaves the padded picture the bases are zero, and the probability is 0.5 up to rounding: what counts
    there as the object, from 0.5 on, is chance in the authors' code as well. Such pixels are left out of the masks.
    """
    about = golden.read("blendmask", "recipe")["runs"][run]
    found = golden.detections(deviating, about)
    low, high = (
        paste_masks_in_image(found.masks.maps[:, 0], found.boxes, tuple(about["output_hw"]), 0.5 + change)
        for change in (-2e-6, 2e-6)
    )
    agreement = golden.compared("blendmask", run, found, (low ^ high).numpy())
    assert agreement.boxes < 1e-3, agreement
    assert agreement.scores < 1e-5, agreement
    assert agreement.mask_ious[0] >= 0.999, agreement
    assert agreement.areas <= 1, agreement  # as rounding alone moves theirs
    with_all = golden.compared("blendmask", run, found)
    assert with_all.mask_ious[0] >= 0.98, with_all
    assert sum(iou >= 0.999 for iou in with_all.mask_ious) >= 12, with_all  # of 25, those within the picture


def test_little_is_left_out_but_of_boxes_that_leave_the_picture(deviating: ModelFile) -> None:
    about = golden.read("blendmask", "recipe")["runs"]["full"]
    found = golden.detections(deviating, about)
    maps, size = found.masks.maps[:, 0], tuple(about["output_hw"])
    half = ((maps - 0.5).abs() < 2e-6).float().mean((1, 2))
    within = (found.boxes > 0).all(1) & (found.boxes[:, 2] < size[1]) & (found.boxes[:, 3] < size[0])
    assert 20 < within.sum() < 80
    assert half[within].max() < 1e-3 < half[~within].max()


# --- by another route


def blended(bases: np.ndarray, box: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """The logits of one instance, cell by cell, from the formulas.

    Args:
        bases: (K, H, W) of stride 4.
        box: (4,) in pixels.
        attention: (K, S, S).
    """

    def value(values: np.ndarray, y: float, x: float) -> float:
        """Bilinear; RoIAlign's: zero beyond one cell outside, and within it what is at the border."""
        height, width = values.shape
        if y < -1 or x < -1 or y > height or x > width:
            return 0.0
        return clamped(values, y, x)

    def clamped(values: np.ndarray, y: float, x: float) -> float:
        height, width = values.shape
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        i, j = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
        below, right = min(i + 1, height - 1), min(j + 1, width - 1)
        rows = [values[k, j] * (1 - x + j) + values[k, right] * (x - j) for k in (i, below)]
        return rows[0] * (1 - y + i) + rows[1] * (y - i)

    side = attention.shape[-1]
    logits = np.zeros((56, 56))
    for row, column in np.ndindex(56, 56):
        y = (box[1] + (box[3] - box[1]) * (row + 0.5) / 56) / 4 - 0.5
        x = (box[0] + (box[2] - box[0]) * (column + 0.5) / 56) / 4 - 0.5
        place = (row + 0.5) * side / 56 - 0.5, (column + 0.5) * side / 56 - 0.5
        weights = np.array([clamped(each, *place) for each in attention])
        weights = np.exp(weights) / np.exp(weights).sum()
        logits[row, column] = sum(weight * value(base, y, x) for weight, base in zip(weights, bases, strict=True))
    return logits


@pytest.mark.parametrize("keys", [{}, {"bases": 1, "attention_size": 3}, {"bases": 5, "attention_size": 7}])
def test_the_mask_of_each_instance_by_loops(keys: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(6)
    switches = variant(**keys)
    bases = torch.randn(2, switches.bases, 9, 12, generator=generator, dtype=torch.float64)
    attention = 2 * torch.randn(3, switches.bases * switches.attention_size**2, generator=generator).double()
    boxes = [torch.tensor([[3.0, 5, 30, 31], [-20, -9, 60, 20]]), torch.tensor([[0.0, 0, 48, 36]])]
    found = model(classes=3, **keys).blended(bases, boxes, attention)
    assert found.shape == (3, 56, 56)
    shape = (switches.bases, switches.attention_size, switches.attention_size)
    pictures = [0, 0, 1]
    for ours, picture, box, numbers in zip(found, pictures, torch.cat(boxes), attention, strict=True):
        expected = blended(bases[picture].numpy(), box.double().numpy(), numbers.reshape(shape).numpy())
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


def test_blending_does_not_depend_on_the_order_of_the_bases() -> None:
    generator = torch.Generator().manual_seed(7)
    crops, attention = torch.randn(2, 4, 56, 56, generator=generator), torch.randn(2, 4, 14, 14, generator=generator)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(blend(crops[:, order], attention[:, order]), blend(crops, attention))
    torch.testing.assert_close(blend(crops, attention + 3), blend(crops, attention))  # softmax
    same = crops[:, :1].expand(-1, 4, -1, -1)
    torch.testing.assert_close(blend(same, attention), same[:, 0])


def test_the_loss_of_masks() -> None:
    generator = torch.Generator().manual_seed(8)
    logits = torch.randn(3, 56, 56, generator=generator, dtype=torch.float64)
    masks, weights = torch.rand(3, 56, 56, generator=generator) < 0.4, torch.tensor([0.9, 0.2, 0.5])
    p = 1 / (1 + np.exp(-logits.numpy()))
    each = -np.where(masks.numpy(), np.log(p), np.log(1 - p)).mean((1, 2))
    assert float(mask_loss(logits, masks, weights)) == pytest.approx((each * weights.numpy()).sum() / 1.6, rel=1e-6)
    assert mask_loss(logits[:0], masks[:0], weights[:0]) == 0


def test_a_cell_has_the_category_of_the_object_that_is_painted_last() -> None:
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, :24, :24], masks[1, :, 8:16], masks[2, :10, :6] = True, True, True
    masks[2, 24, 24] = True
    found = painted_categories(masks, torch.tensor([5, 7, 9]))
    assert found.tolist() == [[9, 7, 5, -1], [9, 7, 5, -1], [5, 7, 5, -1], [-1, 7, -1, 9]]
    assert painted_categories(masks[:0], torch.tensor([], dtype=torch.int64)).tolist() == [[-1] * 4] * 4


def test_what_a_box_shows_of_its_objects_mask() -> None:
    """Of bitmaps and of polygons; nothing of a picture without an object."""
    square, box = [[np.array([8.0, 8, 36, 8, 36, 64, 8, 64])]], torch.tensor([[8.0, 8, 64, 64]])
    bitmap = torch.zeros(1, 96, 96, dtype=torch.bool)
    bitmap[0, 8:64, 8:36] = True
    for masks in (BitMasks(bitmap), PolygonMasks(square)):
        crop = cropped(masks, box)
        assert crop.dtype == torch.bool
        assert crop[0, :, :28].all()
        assert not crop[0, :, 28:].any()
        assert cropped(masks[torch.zeros(1, dtype=torch.bool)], box[:0]).shape == (0, 56, 56)


# --- training and what is found


def test_the_semantic_head_learns_where_there_is_one() -> None:
    losses = model(classes=3).train()([item(), item()])
    assert losses.keys() == {*golden.LOSSES, "loss_mask", "loss_semantic"}
    without = model(classes=3, semantic_loss=False)
    assert without.basis_module.seg_head is None
    assert without.train()([item(), item()]).keys() == {*golden.LOSSES, "loss_mask"}


def test_a_fresh_model_starts_with_the_weights_of_fcos_whatever_its_own_are() -> None:
    first, second = (model(classes=3, **keys).state_dict() for keys in ({}, {"bases": 2, "attention_size": 7}))
    shared = {name for name in first if not name.startswith(("basis_module.", "fcos.head.top."))}
    assert all(torch.equal(first[name], second[name]) for name in shared)
    assert float(first["fcos.head.top.weight"].std()) == pytest.approx(0.01, rel=0.05)


def test_the_map_in_a_box_is_what_is_pasted_there() -> None:
    """The bases are pooled with the box as it is predicted, and the map is pasted into what the picture has of it."""
    detector = model(classes=3).eval()
    detector.fcos.settings = detector.fcos.settings.model_copy(update={"score_threshold": 0.0})
    nn.init.constant_(detector.fcos.head.bbox_pred.bias, 2.0)
    picture = item()["image"]
    with torch.no_grad():
        found = detector.detect([View(picture, False)], (128, 128))
        images = detector._normalised([picture])
        whole = detector.find(images, detector.backbone(images.tensor))
    assert torch.equal(found.masks.maps, found.maps["target_mask"])
    assert torch.equal(found.masks.boxes, found.boxes)
    assert float(whole.boxes.min()) < 0 == float(found.boxes.min())
    assert torch.equal(whole.masks.maps, found.masks.maps)
