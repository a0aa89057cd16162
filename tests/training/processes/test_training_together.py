"""`bcnet train` under torchrun: two processes train as one does, and end together."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from model_factory import build
from places import ROOT
from ruamel.yaml import YAML
from safetensors.torch import load_file
from torch import Tensor
from train_noted import Notes
from training_factory import torchrun

from bcnet import params
from bcnet.cli import main
from bcnet.training import initial, loop

# A variant that draws nothing and has no threshold: what it learns depends on its pictures only, and smoothly.
SMOOTH = {"layer": "fcn", "occluder_rois": "all", "mask_rois": "ground_truth"}
SGD = {"optimizer": "sgd", "lr": 0.01, "decay": "steps", "clip_gradients": None}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny made data, ready to be trained on: eight pictures of 64 pixels, four a batch."""
    folder = tmp_path_factory.mktemp("project")
    yaml = YAML()
    content = yaml.load(ROOT / "presets/demo.yaml")
    content["datasets"]["demo"] |= {"size": 64, "train": 8, "val": 3}
    content["schedule"] |= {"iterations": 4, "batch": 4, "warmup": 0, "short_side": [64], "max_side": 64, **SGD}
    content["model"] |= {"rois": 200, "fpn_channels": 32, "box_channels": 32}  # all RoIs
    fcos = {"detector": "fcos", "backbone": "efficientnet_lite0", "method": "bcnet"}
    content["variants"] = {"smooth": {**fcos, **SMOOTH}, "once": {**fcos, "schedule": {"iterations": 1}}}
    yaml.dump(content, folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        annotations = "data/demo/annotations/instances_train.json"
        assert main(["fetch", "demo"]) == 0
        assert main(["convert", "--annotations", annotations, "--out", "data/demo/bilayer/train.json"]) == 0
        for variant in content["variants"]:
            assert main(["weights", "efficientnet_lite0", "--out", f"data/demo/weights/{variant}.safetensors"]) == 0
    return folder


def together(project: Path, notes: Path, *arguments: str, nodes: int = 1) -> list[dict[str, Any]]:
    """What each of two processes noted."""
    script = ROOT / "tests/factories/training/train_noted.py"
    for ended in torchrun(project, script, str(notes), *arguments, nodes=nodes):
        assert ended.returncode == 0, ended.stderr
    return [json.loads((notes / f"{rank}.json").read_text()) for rank in range(2)]


def result(project: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights and only log line."""
    out = project / "data/demo/models/smooth/0"
    (line,) = (out / "training.jsonl").read_text().splitlines()
    return load_file(out / "model.safetensors"), json.loads(line)


@pytest.mark.parametrize("nodes", [1, 2])
def test_two_processes_train_as_one(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: int) -> None:
    monkeypatch.chdir(project)
    for kept in ("data/checkpoints", "data/demo/models"):  # of the other number of nodes
        shutil.rmtree(kept, ignore_errors=True)
    notes = Notes()
    monkeypatch.setattr(loop, "step", notes.step)
    assert main(["train", "smooth"]) == 0
    alone, line = result(project)
    both = together(project, tmp_path, "train", "smooth", nodes=nodes)
    assert [note["status"] for note in both] == [0, 0]
    assert both[0]["parameters"] == both[1]["parameters"]

    shares = zip(*(note["pictures"] for note in both), strict=True)
    assert [[picture for share in parts for picture in share] for parts in shares] == notes.pictures
    assert len(set(both[0]["draws"] + both[1]["draws"])) == 8  # four iterations of two processes

    weights, line_of_both = result(project)
    assert line_of_both == pytest.approx(line, rel=1e-4)
    settings = params.load()
    torch.manual_seed(0)
    start = build(settings.variant("smooth"), settings.model, settings.predict, 8)
    initial.load_backbone(start, project / "data/demo/weights/smooth.safetensors")
    learnt = apart = 0.0
    for name, before in start.state_dict().items():
        learnt = max(learnt, float((alone[name] - before).abs().max()))
        apart = max(apart, float((alone[name] - weights[name]).abs().max()))
    assert learnt > 1e-3
    assert apart < 1e-3 * learnt


def test_a_loss_that_is_no_number_in_one_process_ends_both(project: Path, tmp_path: Path) -> None:
    both = together(project, tmp_path, "nan", "train", "once")
    assert [note["status"] for note in both] == [2, 2]
    assert not (project / "data/demo/models/once").exists()
