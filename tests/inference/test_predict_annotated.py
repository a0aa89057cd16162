"""A model file on any annotated set: ids of the file, categories by name, and one line where they differ."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_factory import PREDICT, SIZES, build
from PIL import Image

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.inference.categories import ids_by_name
from bcnet.params import methods
from bcnet.weights.model_file import save_model

MODEL = [{"id": 3, "name": "car"}, {"id": 7, "name": "train"}, {"id": 9, "name": "boat"}]
FILE = Path("set.json")


def test_ids_are_those_of_the_file_whatever_their_order() -> None:
    categories = [{"id": 70, "name": "train"}, {"id": 1, "name": "boat"}, {"id": 2, "name": "car"}]
    assert ids_by_name(MODEL, categories, FILE) == ([2, 70, 1], [])


def test_categories_that_one_of_both_lacks_are_named() -> None:
    ids, remarks = ids_by_name(MODEL, [{"id": 3, "name": "bus"}, {"id": 7, "name": "car"}], FILE)
    assert ids == [7, None, None]
    assert remarks == [
        "set.json lacks categories of the model, whose detections are left out: train, boat",
        "set.json has categories that the model lacks and never predicts: bus",
    ]


def test_long_lists_of_names_are_counted() -> None:
    many = [{"id": index, "name": f"kind {index}"} for index in range(9)]
    _, (remark,) = ids_by_name(many, many[:1], FILE)
    assert remark.endswith("left out: kind 1, kind 2, kind 3, kind 4, kind 5 and 3 more")


@pytest.mark.parametrize(
    ("model", "categories", "line"),
    [
        (
            MODEL,
            [{"id": 3, "name": "Car"}],
            r"set.json: categories Car: expected some of .*, which are car, train, boat",
        ),
        (MODEL, [], r"set.json: categories none: expected some of the model's, which are car, train, boat"),
        (MODEL, [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}], r"set.json: two categories are called 'car': .*"),
        ([*MODEL, {"id": 1, "name": "car"}], MODEL, r"the model: two categories are called 'car': .*"),
    ],
)
def test_categories_that_cannot_be_mapped_are_an_error(model: Any, categories: Any, line: str) -> None:
    with pytest.raises(InputError, match=f"^{line}$"):
        ids_by_name(model, categories, FILE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that always detects something, and two pictures with their list."""
    folder = tmp_path_factory.mktemp("annotated")
    torch.manual_seed(0)
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="mask_rcnn")
    predict = PREDICT.model_copy(update={"score_threshold": 0.0, "detections": 20})
    about = {"name": "untrained", "train_on": "train", "seed": 0, "schedule": {}, "versions": {}}
    description = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": predict.model_dump(mode="json"),
        "categories": MODEL,
        "provenance": about,
    }
    save_model(folder / "model.safetensors", build(variant, SIZES, predict, 3).state_dict(), description)
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    for name in ("b.png", "a.png"):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / "pictures" / name)
    return folder


def write_set(folder: Path, categories: list[dict[str, Any]]) -> None:
    images = [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in ((812, "b.png"), (5, "a.png"))]
    (folder / "set.json").write_text(json.dumps({"images": images, "categories": categories}))


def run(line: str) -> None:
    assert main(line.split()) == 0


def predict(folder: Path, patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    patch.chdir(folder)
    run("predict --model model.safetensors --annotations set.json --images pictures --out out.json")
    return json.loads((folder / "out.json").read_text())


def test_predictions_have_the_ids_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_set(folder, [{**category, "id": 100 - category["id"]} for category in MODEL])
    entries = predict(folder, monkeypatch)
    assert [entry["image_id"] for entry in entries] == sorted(entry["image_id"] for entry in entries)
    assert {entry["image_id"] for entry in entries} == {5, 812}
    assert "lacks" not in capsys.readouterr().err
    run("predict --model model.safetensors --out free.json pictures/a.png pictures/b.png")
    free = json.loads((folder / "free.json").read_text())
    ids = {"a.png": 5, "b.png": 812}
    expected = [
        {**entry, "image_id": ids[entry["image_id"]], "category_id": 100 - entry["category_id"]} for entry in free
    ]
    assert entries == expected
    provenance = json.loads((folder / "out.provenance.json").read_text())
    assert provenance["origin"] == "measured here"
    assert (provenance["name"], provenance["dataset"]) == ("untrained", "set")
    assert json.loads((folder / "out.speed.json").read_text())["pictures"] == 2


def test_detections_of_categories_that_the_file_lacks_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_set(folder, [{"id": 1, "name": "car"}, {"id": 2, "name": "boat"}, {"id": 7, "name": "train"}])
    every = predict(folder, monkeypatch)
    write_set(folder, [{"id": 1, "name": "car"}, {"id": 2, "name": "boat"}, {"id": 8, "name": "sheep"}])
    capsys.readouterr()
    assert predict(folder, monkeypatch) == [entry for entry in every if entry["category_id"] != 7]
    said = capsys.readouterr().err
    assert "set.json lacks categories of the model, whose detections are left out: train\n" in said
    assert "set.json has categories that the model lacks and never predicts: sheep\n" in said
    count = len(json.loads((folder / "out.json").read_text()))
    assert f"wrote out.json: {count} predictions of 2 images (" in said


@pytest.mark.parametrize(
    "line",
    [
        "predict --model model.safetensors --annotations set.json --out out.json",
        "predict --annotations set.json --images pictures bcnet",
        "predict --model model.safetensors --annotations set.json --images pictures --out out.json a.png",
        "predict --model model.safetensors --out out.json",
        "predict",
    ],
)
def test_arguments_that_do_not_go_together(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2


def test_the_list_is_never_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    line = "predict --model model.safetensors --annotations set.json --images pictures --out set.json"
    assert main(line.split()) == 2
    assert "--out set.json: expected a .json file other than --annotations" in capsys.readouterr().err


def test_a_shard_that_does_not_exist_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_set(folder, MODEL)
    monkeypatch.chdir(tmp_path)
    given = [f"--model {folder}/model.safetensors", f"--annotations {folder}/set.json", f"--images {folder}/pictures"]
    assert main(f"predict {' '.join(given)} --out out.json --shard 5/3".split()) == 2
    assert "--shard 5/3: expected two whole numbers K/N" in capsys.readouterr().err
    assert not list(tmp_path.rglob("about.json"))
