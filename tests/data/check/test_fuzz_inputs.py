"""A short run of the fuzzer of params, predictions, model files and mended files, and what it would notice."""

import json
import random
from pathlib import Path
from typing import Any

import fuzz_inputs
import pytest

from bcnet.data.check import check, fix
from bcnet.data.coco import prediction_columns
from bcnet.files import InputError


@pytest.mark.parametrize(("what", "cases", "kinds"), [("params", 60, 2), ("predictions", 150, 2), ("fix", 100, 2)])
def test_spoilt_files_are_taken_refused_or_mended_rightly(
    what: str, cases: int, kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz_inputs, "HANGS", 600)  # a busy machine is no fault of the program
    taken, wrong = fuzz_inputs.fuzz(what, cases, seed=1)
    assert not wrong
    assert sum(taken.values()) == cases
    assert len(taken) >= kinds


def test_spoilt_model_files_are_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_inputs, "HANGS", 600)
    taken, wrong = fuzz_inputs.fuzz("model", 12, seed=0)
    assert not wrong
    assert taken["refused"]


def lose(data: Any, pictures: Path | None) -> fix.Fixed:
    data["annotations"] = data["annotations"][1:]
    return fix.Fixed()


def stretch(data: Any, pictures: Path | None) -> fix.Fixed:
    done = fix.fix(data, pictures)
    for annotation in data.get("annotations", []):
        annotation["area"] = annotation.get("area", 0) + 1
    return done


@pytest.mark.parametrize(
    ("module", "name", "broken", "what", "noticed"),
    [
        (check, "fix", lose, "fix", "annotations are lost, which the last line doesn't say"),
        (check, "fix", stretch, "fix", "area of annotation"),
        (prediction_columns, "problem", lambda *_: None, "predictions", "the oracle refuses it"),
        (fuzz_inputs.params, "load", lambda _: [][0], "params", "IndexError"),
    ],
)
def test_it_notices(
    module: Any, name: str, broken: Any, what: str, noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, broken)
    assert noticed in str(fuzz_inputs.fuzz(what, 60, seed=0)[1])


def test_it_notices_a_line_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> None:
        raise InputError("something")

    monkeypatch.setattr(fuzz_inputs.params, "load", load)
    assert "not one line that names the file" in str(fuzz_inputs.judge_params(random.Random(0), tmp_path))


def test_its_slow_reading_takes_the_right_and_refuses_the_wrong() -> None:
    truth = fuzz_inputs.valid(random.Random(0))
    annotation = truth["annotations"][0]
    entry = {key: annotation[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.5}
    assert fuzz_inputs.predictions_are_right(json.dumps([entry]).encode(), truth)
    for wrong in ({"score": None}, {"image_id": 999}, {"segmentation": []}, {"category_id": True}, {"box_score": "1"}):
        assert not fuzz_inputs.predictions_are_right(json.dumps([entry | wrong]).encode(), truth)
