"""What reaches the model in training: weights, pictures, masks, random numbers; and what reaches the optimizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_factory import build
from PIL import Image
from safetensors.torch import load_file
from training_factory import Seen, copy_with_pasted, make_project, watch

from bcnet import params
from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode
from bcnet.files import InputError
from bcnet.training import progress
from bcnet.training.sampler import batch_indices
from bcnet.weights.imagenet import efficientnet_lite0

FLIPPED = {"flip": 1.0, "short_side": [64]}
PLAIN = {"flip": 0.0, "short_side": [64]}
SHORT = {**PLAIN, "iterations": 3, "steps": []}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


@pytest.fixture(scope="module")
def sgd(project: Path) -> Seen:
    """Mask R-CNN by SGD, as the project's parameters say: clipping at 10, two iterations of warm-up, a step at four."""
    with pytest.MonkeyPatch.context() as patch:
        return watch(patch, project, "mask-rcnn", schedule=PLAIN)


def backbone(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = "backbone.bottom_up."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def test_it_starts_from_imagenet_weights(project: Path, sgd: Seen) -> None:
    """Those of the file, which are those of the package."""
    written = load_file(project / "data/demo/weights/mask-rcnn.safetensors")
    package = efficientnet_lite0()
    found = backbone(sgd.start)
    assert found.keys() == written.keys() == package.keys()
    for name, tensor in package.items():
        assert torch.equal(found[name], tensor), name
        assert torch.equal(written[name], tensor), name


def test_all_but_the_backbone_starts_from_the_seed(project: Path, sgd: Seen) -> None:
    settings = params.load(project / "params.yaml")
    torch.manual_seed(0)
    expected = build(settings.variants["mask-rcnn"], settings.model, settings.predict, 8).state_dict()
    others = expected.keys() - {f"backbone.bottom_up.{name}" for name in backbone(expected)}
    assert others
    assert all(torch.equal(expected[name], sgd.start[name]) for name in others)


def test_frozen_stages_and_norms_stay_and_all_else_moves(sgd: Seen) -> None:
    """`freeze_at: 2`: the stem and the stage of stride 4; batch norms are fixed everywhere, statistics included."""
    before, after = backbone(sgd.start), backbone(sgd.end)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    norms = {name for name in before if name.rsplit(".", 1)[0].split(".")[-1].startswith("bn")}
    frozen = {n for n in before if n.startswith(("body.conv_stem", "body.blocks.0.", "body.blocks.1."))}
    assert frozen - norms
    assert moved == before.keys() - norms - frozen
    rest = sgd.start.keys() - {f"backbone.bottom_up.{name}" for name in before}
    still = {n for n in rest if torch.equal(sgd.start[n], sgd.end[n])}
    assert not {n for n in still if n.endswith(("weight", "bias"))}


def test_each_iteration_sees_its_pictures(project: Path, sgd: Seen) -> None:
    assert len(sgd.batches) == 12
    for iteration, batch in enumerate(sgd.batches):
        numbers = [index + 1 for index in batch_indices(0, iteration, 2, 8)]
        files = [project / f"data/demo/images/train/{number:06}.png" for number in numbers]
        for item, file in zip(batch, files, strict=True):
            picture = np.asarray(Image.open(file).convert("RGB"))
            assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), picture)


def test_flips_and_sizes_reach_the_model(project: Path, sgd: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = watch(monkeypatch, project, "mask-rcnn", schedule=FLIPPED)
    for mine, plain in zip(flipped.batches, sgd.batches, strict=True):
        for item, other in zip(mine, plain, strict=True):
            assert torch.equal(item["image"], other["image"].flip(-1))
            masks = [each["instances"].gt_masks.tensor for each in (item, other)]
            assert torch.equal(masks[0], masks[1].flip(-1))
    drawn = watch(monkeypatch, project, "mask-rcnn", schedule={"short_side": [48, 64], "max_side": 60})
    sizes = {tuple(item["image"].shape[1:]) for batch in drawn.batches for item in batch}
    assert sizes == {(48, 48), (60, 60)}  # the long side is never above `max_side`


def truth(project: Path, iteration: int, key: str) -> list[np.ndarray]:
    """Masks of that key of the objects in an iteration's pictures that training takes, a picture an entry."""
    content = annotation_file.read(project / "data/demo/bilayer/train.json")
    pictures = []
    for index in batch_indices(0, iteration, 2, 8):
        objects = [a for a in content["annotations"] if a["image_id"] == index + 1]
        found = [decode(a[key], 64, 64) if a[key] else np.zeros((64, 64), bool) for a in objects]
        pictures.append(np.stack(found))
    return pictures


@pytest.mark.parametrize(
    ("masks", "target", "occluder"),
    [("visible", "segmentation", "occluder"), ("amodal", "amodal_segmentation", "amodal_occluder")],
)
def test_visible_or_amodal_masks_reach_the_model(
    project: Path, masks: str, target: str, occluder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(monkeypatch, project, "bcnet", masks=masks, schedule={**PLAIN, "iterations": 2, "warmup": 0})
    assert not all(
        np.array_equal(a, b) for a, b in zip(truth(project, 0, target), truth(project, 0, occluder), strict=True)
    )
    for iteration, batch in enumerate(seen.batches):
        for field, key in (("gt_masks", target), ("gt_occluder_masks", occluder)):
            for item, expected in zip(batch, truth(project, iteration, key), strict=True):
                found = item["instances"].get(field).tensor.numpy()
                assert np.array_equal(found, expected), field


def test_polygons_are_asked_for_where_the_variant_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The made pictures' masks are RLE, which is refused: so the key has reached the loader."""
    with pytest.raises(InputError, match="expected polygons for `mask_targets: polygons`"):
        watch(monkeypatch, project, "bcnet", mask_targets="polygons", schedule=SHORT)


def test_amodal_and_visible_masks_differ(project: Path) -> None:
    """Or the test above could not tell them apart."""
    visible, amodal = (truth(project, 0, key) for key in ("segmentation", "amodal_segmentation"))
    assert any((a & ~b).any() for a, b in zip(amodal, visible, strict=True))


def test_every_iteration_draws_other_numbers(sgd: Seen, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = watch(monkeypatch, project, "mask-rcnn", seed=1, schedule=PLAIN)
    assert len(set(sgd.draws)) == len(set(other.draws)) == 12
    assert not set(sgd.draws) & set(other.draws)


def test_on_a_cpu_every_operation_is_deterministic(sgd: Seen) -> None:
    assert sgd.deterministic == {True}


def test_updates_use_the_rate_of_their_iteration(sgd: Seen) -> None:
    """Two iterations of warm-up from 0.04 of the rate, a tenth after the fourth."""
    assert [len(set(rates)) for rates in sgd.rates] == [1] * 12
    rates = [rates[0] for rates in sgd.rates]
    assert rates == pytest.approx([0.0004, 0.0052, 0.01, 0.01] + [0.001] * 8)


def test_gradients_are_clipped_before_the_update(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = watch(monkeypatch, project, "mask-rcnn", schedule={**SHORT, "clip_gradients": None})
    most = min(free.gradient_norms) / 2
    clipped = watch(monkeypatch, project, "mask-rcnn", schedule={**SHORT, "clip_gradients": most})
    assert clipped.gradient_norms[0] == pytest.approx(most, rel=1e-4)
    assert max(clipped.gradient_norms) <= most * (1 + 1e-4)


def test_the_log_has_the_mean_of_each_loss_and_the_last_rate(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY", 5)
    seen = watch(monkeypatch, project, "mask-rcnn", schedule=PLAIN)
    lines = (project / "data/demo/models/mask-rcnn/0/training.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    assert [line["iteration"] for line in log] == [5, 10, 12]
    for line, first in zip(log, (0, 5, 10), strict=True):
        window = seen.losses[first : line["iteration"]]
        means = {name: np.mean([losses[name] for losses in window]) for name in window[0]}
        assert {name: line[name] for name in means} == pytest.approx(means, abs=1e-5)
        assert line["loss"] == pytest.approx(sum(means.values()), abs=1e-5)
        assert line["lr"] == seen.rates[line["iteration"] - 1][0]


def test_train_on_says_which_pictures(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of synthetic pictures, and nothing of train."""
    copy_with_pasted(project, tmp_path)
    seen = watch(monkeypatch, tmp_path, "mask-rcnn", schedule=SHORT)
    files = sorted((tmp_path / "data/demo/images/pasted").rglob("*.png"))
    pictures = {np.asarray(Image.open(file).convert("RGB")).tobytes() for file in files}
    shown = {item["image"].permute(1, 2, 0).numpy().tobytes() for batch in seen.batches for item in batch}
    assert len(files) == 4
    assert shown <= pictures
    assert len(shown) > 1


def test_as_many_rois_of_a_picture_as_the_parameters_say(project: Path) -> None:
    """A quarter of `model.rois` trains the mask head on FCOS, as many as are foreground at most with Faster R-CNN."""
    settings = params.load(project / "params.yaml")
    variant = settings.variants["bcnet"]
    fcos = variant.model_copy(update={"detector": "fcos"})
    assert build(fcos, settings.model, settings.predict, 8).roi_heads.rois == 4
    heads = build(variant, settings.model, settings.predict, 8).roi_heads
    assert (heads.batch_size_per_image, heads.positive_fraction) == (16, 0.25)
