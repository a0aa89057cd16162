"""`bcnet evaluate` on wrong files: one clear line, and results of before stay."""

import copy
import json

import pytest
from evaluation_factory import boxes, made
from places import ROOT

from bcnet.cli import main
from bcnet.evaluation.evaluate import evaluate
from bcnet.files import InputError
from bcnet.params.results import Evaluate

OUTPUTS = {"out.json", "out.parquet", "out.detections.parquet", "out.draws.parquet"}


BAD_PREDICTIONS = [
    ("image_id", 4, "image_id: 4: expected the id of one"),
    ("image_id", "1", 'image_id: "1": expected'),
    ("image_id", [1], r"image_id: \[1\]: expected"),
    ("category_id", 4, "category_id: 4: expected the id of one"),
    ("category_id", True, "category_id: true: expected"),
    ("score", "high", 'score: "high": expected a finite number'),
    ("score", None, "score: null: expected a finite number"),
    ("segmentation", None, "segmentation is null, expected polygons"),
    ("segmentation", {"size": [9, 9], "counts": "abc"}, r"RLE size is \[9, 9\], expected the image's"),
]


@pytest.mark.parametrize(("key", "value", "problem"), BAD_PREDICTIONS)
def test_a_wrong_prediction_is_named(run, tmp_path, key, value, problem):
    truth, predictions = made(0)
    predictions[2][key] = value
    with pytest.raises(InputError, match=f"mine.json: prediction at place 2: {problem}") as raised:
        run(truth, predictions)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c[:-3], lambda c: c + "1", lambda c: "é" + c, lambda c: ""]
)
def test_a_broken_mask_is_named(run, change):
    truth, predictions = made(0)
    predictions[3]["segmentation"]["counts"] = change(predictions[3]["segmentation"]["counts"])
    with pytest.raises(InputError, match=r"mine.json: prediction at place 3: RLE counts"):
        run(truth, predictions)


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, -3, 4], [1, 2, 3, "4"]])
def test_a_wrong_box_is_named(run, box):
    truth, predictions = made(0)
    wrong = [*boxes(predictions)[:2], {**boxes(predictions)[2], "bbox": box}]
    with pytest.raises(InputError, match=r"mine.json: prediction at place 2: bbox: .*expected \[x, y, width, height\]"):
        run(truth, wrong)


@pytest.mark.parametrize("content", [{"annotations": []}, "text", 3])
def test_predictions_must_be_a_list(run, content):
    with pytest.raises(InputError, match=r"mine.json: expected COCO's result format, a list"):
        run(made(0)[0], content)


def test_an_entry_must_be_an_object(run):
    with pytest.raises(InputError, match=r"mine.json: prediction at place 0: 5: expected an object"):
        run(made(0)[0], [5])


def test_occlusion_of_some_annotations_only_is_refused(run):
    truth, predictions = made(0)
    del truth["annotations"][1]["occlusion"]
    with pytest.raises(
        InputError, match=r"truth.json: annotation 8 has no 'occlusion' with box_cover, .*bcnet convert"
    ):
        run(truth, predictions)
    truth["annotations"][1]["occlusion"] = {**truth["annotations"][0]["occlusion"], "box_cover": 1.5}
    with pytest.raises(InputError, match=r"annotation 8: occlusion.box_cover: 1.5: expected 0 to 1"):
        run(truth, predictions)


def test_a_wrong_provenance_is_refused(run):
    with pytest.raises(InputError, match=r"mine.provenance.json: expected an object with origin, name and label"):
        run(*made(0), provenance={"name": "x"})


def test_the_table_may_not_overwrite_the_metrics(tmp_path):
    with pytest.raises(InputError, match=r"out.parquet: expected a name that ends in .json"):
        evaluate(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "out.parquet", Evaluate())


def test_results_of_before_stay_when_the_input_is_wrong(run, tmp_path):
    truth, predictions = made(0)
    before = run(truth, predictions)
    wrong = copy.deepcopy(predictions)
    wrong[-1]["score"] = "high"
    with pytest.raises(InputError):
        run(truth, wrong)
    assert json.loads((tmp_path / "out.json").read_text()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"truth.json", "mine.json", *OUTPUTS}


def test_the_verb_ends_with_code_2_and_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments = ["--annotations", "none.json", "--predictions", "none.json", "--out", str(tmp_path / "out.json")]
    assert main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err == "bcnet evaluate: none.json: cannot be read: No such file or directory\n"
