"""Training: schedules, order, and that a killed training ends as an undisturbed one."""

import json
import shutil
import signal
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
import torch
from training_factory import copy_with_pasted, make_project, run, torchrun
from warm_process import ended

from bcnet import params
from bcnet.cli import main
from bcnet.files import InputError, sha256
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.params.models import Schedule
from bcnet.training.checkpoint import newest_checkpoint, save_checkpoint
from bcnet.training.sampler import BatchKeys, batch_indices
from bcnet.training.schedule import learning_rate
from bcnet.weights.model_file import load_model

RELEASED = {"batch": 16, "lr": 0.01, "warmup": 1000, "warmup_factor": 0.001, "short_side": [600], "max_side": 900}


def test_released_schedule() -> None:
    """facts: 1000 warm-up iterations from 1/1000, a tenth after 60k and 80k."""
    schedule = Schedule.model_validate({**RELEASED, "iterations": 90_000, "steps": [60_000, 80_000]})
    rates = {i: learning_rate(schedule, i) for i in (0, 500, 1000, 59_999, 60_000, 80_000, 89_999)}
    expected = {0: 1e-5, 500: 0.01 * 0.5005, 1000: 0.01, 59_999: 0.01, 60_000: 1e-3, 80_000: 1e-4, 89_999: 1e-4}
    assert rates == pytest.approx(expected, rel=1e-9)


def test_cosine_falls_from_the_rate_to_nothing() -> None:
    schedule = Schedule.model_validate({**RELEASED, "iterations": 100, "warmup": 0, "decay": "cosine"})
    rates = [learning_rate(schedule, i) for i in range(100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.01
    assert rates[50] == pytest.approx(0.005)
    assert rates[-1] < 1e-5


def test_every_epoch_sees_every_picture_once_in_another_order() -> None:
    seen = [index for iteration in range(9) for index in batch_indices(3, iteration, 4, 12)]
    epochs = [seen[i : i + 12] for i in range(0, 36, 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert seen != [index for iteration in range(9) for index in batch_indices(4, iteration, 4, 12)]


def test_fewer_pictures_than_a_batch() -> None:
    assert Counter(batch_indices(0, 5, 8, 3)).keys() == {0, 1, 2}


def test_processes_share_a_batch() -> None:
    whole = list(BatchKeys(0, 2, 6, 8, 50))
    shares = [list(BatchKeys(0, 2, 6, 8, 50, rank, 4)) for rank in range(4)]
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole
    assert [keys[0][0] for keys in whole] == [2, 3, 4, 5]


def test_a_spoilt_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for iteration in (5, 10, 15):
        save_checkpoint(tmp_path, iteration, {"iteration": iteration, "tensor": torch.ones(99)})
    newest = tmp_path / "00000015.pt"
    newest.write_bytes(newest.read_bytes()[:-200])
    newest_whole = newest_checkpoint(tmp_path)
    assert newest_whole is not None
    path, state = newest_whole
    assert (path.name, state["iteration"]) == ("00000010.pt", 10)
    assert "00000015.pt: unreadable, skipped" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000010.pt", "00000015.pt"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny made data, ready to be trained on: eight pictures of 64 pixels, twelve iterations."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


def outputs(folder: Path, variant: str = "bcnet") -> list[bytes]:
    out = folder / f"data/demo/models/{variant}/0"
    return [(out / name).read_bytes() for name in ("model.safetensors", "training.jsonl")]


def checkpoints(folder: Path) -> set[Path]:
    """Whole checkpoints; one that is still being written has a name that begins with a point."""
    return set(folder.glob("data/checkpoints/*/[0-9]*.pt"))


DIES = """
import os, signal, sys
from bcnet import cli
from bcnet.training import {module}
original = {module}.{function}
def dies(*arguments, **keywords):
    if {condition}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **keywords)
{module}.{function} = dies
cli.main(["train", "bcnet"])
"""


def killed(folder: Path, module: str, function: str, condition: str) -> None:
    """Train until that function of the training is called so, and die there by SIGKILL."""
    code = DIES.format(module=module, function=function, condition=condition)
    assert ended(folder, code).returncode == -signal.SIGKILL


def test_a_killed_training_ends_as_an_undisturbed_one(project: Path) -> None:
    run(project, "train bcnet")
    undisturbed = outputs(project)
    assert not checkpoints(project)  # a finished training needs none
    for kept in project.glob("data/checkpoints/*"):
        shutil.rmtree(kept)
    killed(project, "loop", "step", "arguments[-1] == 5")  # between two checkpoints
    assert max(int(path.stem) for path in checkpoints(project)) == 4
    killed(project, "checkpoint", "os.fsync", "True")  # while one is written
    assert max(int(path.stem) for path in checkpoints(project)) == 4
    killed(project, "loop", "step", "arguments[-1] == 8")  # right after one
    assert "resuming at iteration 8\n" in run(project, "train bcnet")
    assert outputs(project) == undisturbed
    lines = [json.loads(line) for line in undisturbed[1].splitlines()]
    assert [line["iteration"] for line in lines] == [12]
    provenance = load_model(project / "data/demo/models/bcnet/0/model.safetensors").provenance
    assert (provenance["threads"], provenance["processes"], provenance["device"]) == ([1], 1, "cpu")
    assert set(lines[0]) >= {"lr", "loss", "loss_target_mask", "loss_occluder_contour", "loss_rpn_cls"}


def test_a_training_resumes_on_another_number_of_cores(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(tmp_path / "data/checkpoints", ignore_errors=True)
    killed(tmp_path, "loop", "step", "arguments[-1] == 3")
    assert "resuming at iteration 2\n" in run(tmp_path, "train bcnet", threads=2)
    assert load_model(tmp_path / "data/demo/models/bcnet/0/model.safetensors").provenance["threads"] == [1, 2]


def test_a_finished_training_is_not_repeated_for_a_new_label_or_other_cores(project: Path, tmp_path: Path) -> None:
    """Both tools delete a stage's outputs before they run it again; what determines the numbers is the same."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    run(tmp_path, "train bcnet")
    before = outputs(tmp_path)
    shutil.rmtree(tmp_path / "data/demo/models/bcnet")
    params_file = tmp_path / "params.yaml"
    params_file.write_text(params_file.read_text().replace("label: BCNet", "label: Ours"))
    assert "bcnet: already trained" in run(tmp_path, "train bcnet")
    assert outputs(tmp_path) == before
    shutil.rmtree(tmp_path / "data/demo/models/bcnet")
    run(tmp_path, "clean --yes")
    assert "bcnet: already trained" in run(tmp_path, "train bcnet", threads=2)
    assert outputs(tmp_path) == before
    with (tmp_path / "data/demo/models/bcnet/0/model.safetensors").open("r+b") as file:
        file.truncate(1000)  # what is kept is linked to it
    assert "already trained" not in run(tmp_path, "train bcnet")
    assert outputs(tmp_path) == before


def test_variants_with_one_seed_start_with_equal_weights_but_for_the_mask_head(project: Path) -> None:
    from model_factory import build

    settings = params.load(project / "params.yaml")
    states = []
    for name in ("mask-rcnn", "bcnet"):
        torch.manual_seed(0)
        states.append(build(settings.variants[name], settings.model, settings.predict, 8).state_dict())
    shared = [key for key in states[0] if "mask_head" not in key]
    assert len(shared) > 300
    assert all(torch.equal(states[0][key], states[1][key]) for key in shared)


def test_training_moves_what_it_should_and_the_model_file_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project)
    assert main(["train", "mask-rcnn"]) == 0
    model = load_model(project / "data/demo/models/mask-rcnn/0/model.safetensors")
    settings = params.load()
    torch.manual_seed(0)
    from model_factory import build

    start = build(settings.variants["mask-rcnn"], settings.model, settings.predict, 8).state_dict()
    end = model.module.state_dict()
    assert not torch.equal(start["roi_heads.mask_head.deconv.weight"], end["roi_heads.mask_head.deconv.weight"])
    assert model.provenance["schedule"] == settings.schedule_of("mask-rcnn").determining()
    log = json.loads((project / "data/demo/models/mask-rcnn/0/training.jsonl").read_text().splitlines()[-1])
    assert log["lr"] == pytest.approx(0.001)  # a tenth after four iterations
    assert [category["id"] for category in model.categories] == sorted(c["id"] for c in model.categories)

    assert main(["predict", "mask-rcnn"]) == 0
    picture = project / "data/demo/images/val/000001.png"
    out = tmp_path / "found.json"
    weights = "data/demo/models/mask-rcnn/0/model.safetensors"
    assert main(["predict", "--model", weights, "--out", str(out), str(picture)]) == 0
    free = json.loads(out.read_text())
    split = json.loads((project / "data/demo/predictions/mask-rcnn/0/val.json").read_text())
    assert free
    assert all(result["image_id"] == "000001.png" and "bbox" not in result for result in free)
    of_split = [r["segmentation"] for r in split if r["image_id"] == 1]
    assert [r["segmentation"] for r in free] == of_split[: len(free)]  # the file's own threshold is not zero
    assert [r["score"] for r in free] == sorted((r["score"] for r in free), reverse=True)


def test_the_test_part_is_predicted_as_val_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data/demo"
    assert main(["train", "mask-rcnn"]) == 0
    capsys.readouterr()
    assert main(["predict", "mask-rcnn", "--split", "test"]) == 2
    missing = "data/demo/annotations/instances_test.json: no such file (`bcnet fetch demo --test` makes it)"
    assert missing in capsys.readouterr().err
    for name in ("annotations/instances_{}.json", "images_{}.tsv"):
        shutil.copy(data / name.format("val"), data / name.format("test"))
    (data / "images/test").symlink_to(data / "images/val")
    for part in ("val", "test"):
        assert main(["predict", "mask-rcnn", "--split", part]) == 0
    predictions = data / "predictions/mask-rcnn/0"
    assert (predictions / "test.json").read_bytes() == (predictions / "val.json").read_bytes()
    about = json.loads((predictions / "test.provenance.json").read_text())
    assert about == json.loads((predictions / "val.provenance.json").read_text())
    assert about["images_sha256"] == sha256(data / "images_test.tsv")


def test_a_variant_is_trained_on_synthetic_pictures(project: Path, tmp_path: Path) -> None:
    copy_with_pasted(project, tmp_path)
    assert "resuming" not in run(tmp_path, "train mask-rcnn --seed 0")  # other pictures make another training
    provenance = load_model(tmp_path / "data/demo/models/mask-rcnn/0/model.safetensors").provenance
    assert provenance["train_on"] == "pasted"
    assert provenance["annotations_sha256"] == sha256(tmp_path / "data/demo/bilayer/pasted.json")
    run(tmp_path, "predict mask-rcnn --seed 0 --split val")
    of_predictions = json.loads((tmp_path / "data/demo/predictions/mask-rcnn/0/val.provenance.json").read_text())
    assert of_predictions["train_on"] == "pasted"


def test_a_loss_that_is_no_number_ends_the_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bcnet.training import loop, resume

    monkeypatch.chdir(project)
    nothing = lambda model, batch: {"loss": next(model.parameters()).sum() * float("nan")}  # noqa: E731
    monkeypatch.setattr(RoISegmenter, "forward", nothing)
    monkeypatch.setattr(resume, "newest_checkpoint", lambda folder: None)
    with pytest.raises(InputError, match="bcnet: loss is nan at iteration 12"):
        loop.train(params.load(), "bcnet", 1, Path("data"))
    assert not (project / "data/demo/models/bcnet/1").exists()


def test_two_processes_train_together(project: Path) -> None:
    (done,) = torchrun(project, "-m", "bcnet", "train", "bcnet", "--seed", "2")
    assert done.returncode == 0, done.stderr
    load_model(project / "data/demo/models/bcnet/2/model.safetensors")
