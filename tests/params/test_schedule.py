"""The schedule of params.yaml: a variant's own keys, and what is hardly meant."""

from pathlib import Path

import pytest
from places import ROOT

from bcnet import params
from bcnet.cli import main

DEMO = (ROOT / "presets/demo.yaml").read_text()


def test_a_variants_own_schedule_replaces_single_keys(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DEMO.replace("label: BCNet}", "label: BCNet, schedule: {lr: 0.5, iterations: 7}}"))
    loaded = params.load(path)
    own, shared = loaded.schedule_of("bcnet"), loaded.schedule_of("mask-rcnn")
    assert own == shared.model_copy(update={"lr": 0.5, "iterations": 7})
    assert shared == loaded.schedule


def test_a_warmup_that_is_not_shorter_than_the_training_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rate is `lr` after `warmup` iterations: in the last one at the earliest if there is one more."""
    monkeypatch.chdir(tmp_path)
    warmup, iterations = params.load(ROOT / "presets/demo.yaml").schedule.warmup, "iterations: 500"
    never = "the learning rate never reaches lr 0.001\n"
    for own, line in (
        (f"iterations: {warmup + 1}", ""),
        (f"iterations: {warmup}", f"schedule.warmup {warmup} is not shorter than iterations {warmup}: {never}"),
    ):
        Path("params.yaml").write_text(DEMO.replace(iterations, own))
        assert main(["params"]) == 0
        assert capsys.readouterr().err == (f"bcnet params: {line}" if line else "")
        assert main(["train", "bcnet"]) == 2  # there is no data
        assert capsys.readouterr().err.startswith(f"bcnet train: {line or 'data/'}")
    Path("params.yaml").write_text(DEMO.replace("label: BCNet}", "label: BCNet, schedule: {iterations: 7}}"))
    assert main(["params"]) == 0
    own = f"variants.bcnet.schedule.warmup {warmup} is not shorter than iterations 7: {never}"
    assert capsys.readouterr().err == f"bcnet params: {own}"
    assert params.load().remarks("mask-rcnn") == []
