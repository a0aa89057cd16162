"""SOLOv2 computes what its authors' code does; `test_solov2_parts.py` has its rules by themselves."""

from typing import Any

import adelaidet_golden as golden
import numpy as np
import places
import pytest
import torch
from detectron2.structures import ImageList, Instances
from solov2_factory import model
from torch import nn

from bcnet.data.masks.segmentation import decode
from bcnet.inference.detect import detect
from bcnet.methods.solov2 import quartered
from bcnet.models.masks.grid_targets import GridObjects, assign, ranges_of
from bcnet.models.masks.image_masks import centres_of_mass
from bcnet.models.masks.matrix_nms import decays, ious_above, peaks
from bcnet.params.models import Model, SOLOv2Predict
from bcnet.weights.model_file import ModelFile

GOLDEN = places.GOLDEN / "solov2"
GRIDS = (40, 36, 24, 16, 12)
CASES = golden.read("solov2", "losses")["cases"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("solov2", tmp_path_factory.mktemp("solov2"), deviate=False)


@pytest.fixture(scope="module")
def deviating(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return golden.imported("solov2", tmp_path_factory.mktemp("solov2"), deviate=True)


def test_the_head_is_theirs(theirs: ModelFile) -> None:
    expected = np.load(GOLDEN / "head.npz")
    generator = torch.Generator().manual_seed(101)
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    features = {f"p{n}": torch.randn(1, 256, *size, generator=generator) for n, size in enumerate(sizes, 2)}
    with torch.no_grad():
        logits, kernels = theirs.module.head(features)
        shared = theirs.module.mask_features(features)
    far = {"mask_feats": golden.apart(shared[:, ::8], expected["mask_feats"])}
    far["mask_feats_mean"] = golden.apart(shared.mean((0, 2, 3)), expected["mask_feats_mean"])
    for level in range(5):
        thin = (1, 8) if level == 4 else (4, 32)  # what they stored: every fourth cell, and few channels
        some = (8 if level < 4 else 1, thin[0], thin[0])
        for name, maps, (channels, *cells) in (
            ("cate", logits[level], some),
            ("kernel", kernels[level], (thin[1], thin[0], thin[0])),
        ):
            part = maps[:, ::channels, :: cells[0], :: cells[1]]
            far[f"{name}_{level}"] = golden.apart(part, expected[f"{name}_{level}"])
            far[f"{name}_mean_{level}"] = golden.apart(maps.mean((0, 2, 3)), expected[f"{name}_mean_{level}"])
    assert max(far.values()) < 1e-5, far


def test_the_scores_after_nms_are_theirs() -> None:
    expected = np.load(GOLDEN / "head.npz")
    generator = torch.Generator().manual_seed(101)
    for size in [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]:
        torch.randn(1, 256, *size, generator=generator)
    coarse = torch.randn(12, 1, 4, 5, generator=generator)
    masks = nn.functional.interpolate(coarse, (24, 32), mode="bilinear", align_corners=False).flatten(1) > 0.3
    classes = torch.randint(0, 3, (12,), generator=generator)
    scores = torch.rand(12, generator=generator).sort(descending=True)[0]
    assert masks.sum(1).tolist() == expected["nms_areas"].tolist()
    for kind in ("gaussian", "linear"):
        result = scores * decays(ious_above(masks, classes), SOLOv2Predict(nms=kind))
        assert golden.apart(result, expected[f"nms_{kind}"]) < 1e-6
    heat = torch.rand(1, 3, 5, 6, generator=generator)
    heat[0, 0, 2, 2] = heat[0, 0, 2, 3]
    assert torch.equal(peaks(heat), torch.from_numpy(expected["point_nms"]))


def objects_of(target: Instances) -> GridObjects:
    masks = target.gt_masks.tensor
    return GridObjects(target.gt_boxes.tensor, target.gt_classes, centres_of_mass(masks), masks.flatten(1).any(1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_cells_and_the_masks_that_they_learn_are_theirs(case: dict[str, Any]) -> None:
    """Cells in their order, the pixels of each mask, and the categories."""
    for picture, objects in enumerate(case["images"]):
        target = golden._objects(objects, bitmaps=True)
        learned = assign(objects_of(target), (256, 320), GRIDS, ranges_of(Model().solov2_ranges))
        pixels = quartered(target.gt_masks.tensor, (64, 80)).flatten(1).sum(1)[learned.objects]
        start = 0
        for level, grid in enumerate(GRIDS):
            own = (learned.cells >= start) & (learned.cells < start + grid**2)
            assert (learned.cells[own] - start).tolist() == case["grid_order"][picture][level]
            assert pixels[own].tolist() == case["mask_target_pixels"][picture][level]
            classes = learned.classes[start : start + grid**2].tolist()
            learnt = {str(cell): category for cell, category in enumerate(classes) if category >= 0}
            assert learnt == case["cells"][picture][level]
            start += grid**2


@pytest.mark.parametrize("bitmaps", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_losses_are_theirs(case: dict[str, Any], bitmaps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of given outputs, with their gradients."""
    learner, count = model().eval(), len(case["images"])
    generator = torch.Generator().manual_seed(case["seed"])
    logits = [(torch.randn(count, 80, grid, grid, generator=generator) - 3).requires_grad_() for grid in GRIDS]
    kernels = [(0.1 * torch.randn(count, 256, grid, grid, generator=generator)).requires_grad_() for grid in GRIDS]
    shared = torch.randn(count, 256, 64, 80, generator=generator).requires_grad_()
    monkeypatch.setattr(learner.head, "forward", lambda _: (logits, kernels))
    monkeypatch.setattr(learner.mask_features, "forward", lambda _: shared)
    images = ImageList(torch.zeros(count, 3, 256, 320), [(256, 320)] * count)
    losses = learner.losses(images, {}, [golden._objects(objects, bitmaps) for objects in case["images"]])
    losses = {"loss_cate": losses["loss_cls"], "loss_ins": losses["loss_mask"] / 3}
    names = {f"{key.removesuffix(' (before weight)')}": norm for key, norm in case["grad_norms"].items()}
    about = {"losses": case["losses_before_weight"], "grad_norms": names}
    far = golden.losses_apart(about, losses, {"cate": logits, "kernel": kernels, "mask_feats": [shared]})
    assert len(far) == 5
    assert max(far.values()) < 1e-5, far


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("run", ["full", "crop"])
def test_the_whole_model_finds_what_theirs_does(run: str, layout: torch.memory_format, deviating: ModelFile) -> None:
    """With the convolutions that theirs had, and with those that predict here.

    These round otherwise. So a cell whose probability is 0.5 - 6e-6 joins a mask, whose IoU with others changes by
    6e-4, and Matrix NMS changes three scores by up to 1.3e-4: the others by less than 1e-5.
    """
    about, expected = golden.read("solov2", "recipe")["runs"][run], np.load(GOLDEN / "infer.npz")
    classes, scores, areas = (expected[f"{run}_{name}"] for name in ("classes", "scores", "areas"))
    deviating.module.to(memory_format=layout)
    result, size = golden.detections(deviating, about), tuple(about["output_hw"])
    masks = result.masks.paste(size).numpy()
    assert result.boxes is None
    assert (result.scores.diff() <= 0).all()
    apart = abs(masks.sum((1, 2))[:, None] - areas) + 100 * abs(result.scores.numpy()[:, None] - scores)
    apart[result.classes.numpy()[:, None] != classes] = np.inf
    theirs = apart.argmin(1)
    assert sorted(theirs) == list(range(len(areas)))  # each once
    far = abs(result.scores.numpy() - scores[theirs])
    assert far.max() < 3e-4
    assert np.median(far) < 1e-5
    assert (abs(masks.sum((1, 2)) - areas[theirs]) <= 1 + 2e-4 * areas[theirs]).all()
    for ours, place in zip(masks, theirs, strict=True):
        if place < len(about["masks"]):
            mask = decode(about["masks"][place], *size)
            assert (ours & mask).sum() >= 0.999 * (ours | mask).sum() > 0


def test_boxes_are_those_around_the_masks(deviating: ModelFile) -> None:
    picture = golden.PICTURE[:120, :150]
    small = deviating.predict.model_copy(update={"short_side": 120, "max_side": 150})
    result = detect(ModelFile(deviating.module, deviating.variant, small, deviating.categories, {}), picture)
    assert len(result.scores) == len(result.boxes) == len(result.masks) > 20
    for (left, top, right, bottom), mask in zip(result.boxes.astype(int), result.masks, strict=True):
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top].any()
        assert mask[bottom - 1].any()
        assert mask[:, left].any()
        assert mask[:, right - 1].any()
