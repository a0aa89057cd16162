"""A short run of the fuzzer of params, predictions, model files and mended files, and what it would notice."""

import json
import random
from pathlib import Path
from typing import Any

import fuzz_inputs
import fuzz_params
import fuzz_predictions
import numpy as np
import pytest

from bcnet.data.check import check, fix, forms
from bcnet.data.coco import prediction_columns
from bcnet.data.masks.segmentation import encode
from bcnet.data.sources import cocoa_cls, fetch
from bcnet.files import InputError


@pytest.mark.parametrize(
    ("what", "cases", "kinds"),
    [("params", 60, 2), ("predictions", 150, 2), ("fix", 100, 2), ("parts", 20, 2), ("amodal", 60, 2)],
)
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


def turn(points: list) -> list:
    return [number for point in points for number in reversed(point)]


def one_line(segmentation: Any, image: dict[str, Any], where: str) -> dict[str, Any]:
    return encode(np.eye(image["height"], image["width"], dtype=bool))


@pytest.mark.parametrize(
    ("module", "name", "broken", "what", "noticed"),
    [
        (check, "fix", lose, "fix", "annotations are lost, which the last line doesn't say"),
        (check, "fix", stretch, "fix", "area of annotation"),
        (forms, "_polygon_of_points", turn, "fix", "has another mask"),
        (prediction_columns, "problem", lambda *_: None, "predictions", "the oracle refuses it"),
        (fetch, "check_categories", lambda *_: None, "parts", "the oracle refuses them"),
        (cocoa_cls, "mask_of", one_line, "amodal", "cocoa_cls: other masks than those of the file"),
        (fuzz_params.params, "load", lambda _: [][0], "params", "IndexError"),
    ],
)
def test_it_notices(
    module: Any, name: str, broken: Any, what: str, noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, broken)
    assert noticed in str(fuzz_inputs.fuzz(what, 20 if what == "parts" else 60, seed=0)[1])


def test_it_notices_a_line_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> None:
        raise InputError("something")

    monkeypatch.setattr(fuzz_params.params, "load", load)
    assert "not one line that names the file" in str(fuzz_params.judge_params(random.Random(0), tmp_path))


def test_its_slow_reading_takes_the_right_and_refuses_the_wrong() -> None:
    truth = fuzz_predictions.valid(random.Random(0))
    annotation = truth["annotations"][0]
    entry = {key: annotation[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.5}
    assert fuzz_predictions.predictions_are_right(json.dumps([entry]).encode(), truth)
    for wrong in ({"score": None}, {"image_id": 999}, {"segmentation": []}, {"category_id": True}, {"box_score": "1"}):
        assert not fuzz_predictions.predictions_are_right(json.dumps([entry | wrong]).encode(), truth)
