"""Verbs about single files work in a folder where nothing else lies; flags take the place of params.yaml."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from coco_factory import like_coco
from evaluation_factory import made
from places import ROOT

from bcnet.cli import main, settings
from bcnet.cli.settings import from_flags
from bcnet.files import InputError
from bcnet.params.data import Convert, Split
from bcnet.params.results import Evaluate

SECTIONS = [
    (Convert, settings.CONVERT, {}),
    (Evaluate, settings.EVALUATE, {}),
    (Split, settings.SPLIT, {"rule"}),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, but for ground truth, and predictions on it."""
    monkeypatch.chdir(tmp_path)
    truth, predictions = made(0)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "predictions.json").write_text(json.dumps(predictions))
    return tmp_path


def put_params(folder: Path, old: str = "", new: str = "") -> None:
    text = (ROOT / "presets/demo.yaml").read_text()
    assert old in text
    (folder / "params.yaml").write_text(text.replace(old, new, 1))


def run(line: str) -> None:
    assert main(line.split()) == 0


def split_of(path: str) -> dict:
    return json.loads(Path(path).read_text())["info"]["split"]


def test_from_annotations_to_metrics_without_params(folder: Path) -> None:
    run("check truth.json")
    run("convert --annotations truth.json --out bilayer.json --jobs 1")
    run("split --annotations bilayer.json --rule box_iou --threshold 0.2 --out crowded.json")
    run("evaluate --annotations crowded.json --predictions predictions.json --out metrics.json")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"name": "crowded", "rule": "box_iou", "threshold": 0.2}.items() <= metrics["provenance"]["split"].items()
    assert [each["to"] for each in metrics["recall"]["box_cover"]] == [0.1, 0.3, 1.0]
    assert not (folder / "params.yaml").exists()


@pytest.mark.parametrize(("kind", "flags", "required"), SECTIONS)
def test_each_key_of_a_section_has_its_flag(kind: type, flags: tuple, required: set) -> None:
    keys = {names[0].removeprefix("--").replace("-", "_") for names, _ in flags}
    assert keys == kind.model_fields.keys() - required


@pytest.mark.parametrize(("kind", "flags", "required"), SECTIONS[:2])
def test_help_states_the_defaults(kind: type, flags: tuple, required: set) -> None:
    for (names, options), default in zip(flags, kind().model_dump().values(), strict=True):
        if default is not False:
            shown = " ".join(f"{each:g}" for each in np.atleast_1d(default))
            assert f"(default {shown})" in options["help"], names


def test_without_flags_the_section_of_params_holds(folder: Path) -> None:
    put_params(folder, "min_pixels: 20", "min_pixels: 100000")
    run("convert --annotations truth.json --out none.json --jobs 1")
    assert not any(pq.read_table("none.parquet")["n_occluders"].to_pylist())
    put_params(folder, "cover_bins: [0.0, 0.1, 0.3, 1.0]", "cover_bins: [0.0, 0.5, 1.0]")
    run("evaluate --annotations none.json --predictions predictions.json --out metrics.json")
    assert len(json.loads((folder / "metrics.json").read_text())["recall"]["box_cover"]) == 2


def test_with_a_flag_params_is_not_read(folder: Path) -> None:
    (folder / "params.yaml").write_text("of: another program\n")
    run("convert --annotations truth.json --out some.json --min-pixels 20 --jobs 1")
    assert any(pq.read_table("some.parquet")["n_occluders"].to_pylist())
    run("evaluate --annotations some.json --predictions predictions.json --out metrics.json --cover-bins 0 0.5 1")
    assert len(json.loads((folder / "metrics.json").read_text())["recall"]["box_cover"]) == 2
    run("split --annotations some.json --rule mask_cover --threshold 0.01 --out hidden.json")
    assert split_of("hidden.json")["rule"] == "mask_cover"


def test_evaluation_converts_by_the_section_convert(folder: Path, capsys: pytest.CaptureFixture) -> None:
    put_params(folder, "min_pixels: 20", "min_pixels: 100000")
    run("evaluate --annotations truth.json --predictions predictions.json --out metrics.json")
    assert json.loads((folder / "metrics.json").read_text())["leak"]["objects"] == 0
    assert "converted now with min_box_iou 0.05, min_pixels 100000, in_front False (" in capsys.readouterr().err
    run("evaluate --annotations truth.json --predictions predictions.json --out metrics.json --draws 10")
    assert json.loads((folder / "metrics.json").read_text())["leak"]["objects"] > 0
    assert "min_pixels 20, in_front False (" in capsys.readouterr().err


def test_a_rule_is_a_name_first(folder: Path) -> None:
    run("convert --annotations truth.json --out bilayer.json --jobs 1")
    put_params(folder, "occluded: {rule: box_iou, threshold: 0.4}", "mask_cover: {rule: box_iou, threshold: 0.1}")
    run("split --annotations bilayer.json --rule mask_cover --out a.json")
    assert (split_of("a.json")["name"], split_of("a.json")["rule"]) == ("mask_cover", "box_iou")
    run("split --annotations bilayer.json --rule all --out b.json")
    assert (split_of("b.json")["name"], split_of("b.json")["rule"]) == ("b", "all")
    assert main(["split", "--annotations", "bilayer.json", "--rule", "none", "--out", "c.json"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("convert --annotations truth.json --out b.json --min-box-iou 2", "--min-box-iou: 2.0: input should be less"),
        ("split --annotations truth.json --rule crowded --out b.json", "--rule: 'crowded': input should be 'all', "),
        ("split --annotations truth.json --rule box_iou --out b.json", "--threshold: missing: rule 'box_iou' needs it"),
        (
            "evaluate --annotations truth.json --predictions p.json --out m.json --cover-bins 0 2",
            "--cover-bins: [0.0, 2.0]: must",
        ),
        ("evaluate --annotations truth.json --predictions p.json --out m.json --draws 0", "--draws: 0: input should"),
    ],
)
def test_wrong_flags_are_named(line: str, said: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_gathering_takes_no_settings(folder: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", "--annotations", "a.json", "--out", "b.json", "--gather", "c.json", "--min-pixels", "3"])
    assert ended.value.code == 2


def test_a_split_can_be_made_of_a_list(folder: Path) -> None:
    (folder / "some.json").write_text(json.dumps(like_coco(0)))
    image = json.loads((folder / "some.json").read_text())["images"][0]["id"]
    (folder / "ids.txt").write_text(f"{image}\n")
    run("convert --annotations some.json --out bilayer.json --jobs 1")
    run("split --annotations bilayer.json --rule image_ids --file ids.txt --out one.json")
    assert [each["id"] for each in json.loads((folder / "one.json").read_text())["images"]] == [image]


def test_values_are_checked_as_in_params() -> None:
    with pytest.raises(InputError, match="--file: missing: rule 'image_ids' needs it"):
        from_flags(Split, {"rule": "image_ids"})
    assert from_flags(Evaluate, {}) == Evaluate()
