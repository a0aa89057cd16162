"""`bcnet evaluate` on wrong files: one clear line, and results of before stay."""

import copy
import json

import pytest
from evaluation_factory import made
from places import ROOT

from bcnet.cli import main
from bcnet.evaluation.evaluate import evaluate
from bcnet.files import InputError
from bcnet.params.results import Evaluate

OUTPUTS = {"out.json", "out.parquet", "out.detections.parquet", "out.draws.parquet"}


def test_a_wrong_prediction_is_named_and_nothing_is_written(run, tmp_path):
    """`test_wrong_predictions.py` has all that can be wrong with one."""
    truth, predictions = made(0)
    predictions[2]["image_id"] = 4
    with pytest.raises(InputError, match=r"mine\.json: prediction at place 2 \(from 0\): image_id: 4: no image has"):
        run(truth, predictions)
    assert not list(tmp_path.glob("out*"))


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


@pytest.mark.parametrize("name", ["out.parquet", "a.json", "b.json"])
def test_tables_may_not_overwrite_the_metrics_nor_these_an_input(name, tmp_path):
    line = rf"--out .*{name}: expected a \.json file other than --annotations and --predictions"
    with pytest.raises(InputError, match=line):
        evaluate(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "." / name, Evaluate())


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
