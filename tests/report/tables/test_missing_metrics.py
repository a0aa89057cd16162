"""`bcnet compare` where metrics are missing, or don't fit together."""

import json

import pytest
from tables_factory import parameters, rows

from bcnet.files import InputError
from bcnet.report.tables.compare import compare

WHOLE = {"comparison.csv": 1, "benchmark.csv": 1, "recall.csv": 8, "differences.csv": 21}  # rows of a method and split


def test_missing_metrics_leave_rows_without_numbers_that_say_what_makes_them(reports):
    """Of one of three seeds on one split; what is there gives the same numbers as before."""
    compare(parameters(), reports)
    whole = {name: rows(reports, name) for name in WHOLE}
    path = reports / "demo" / "metrics" / "bcnet" / "1" / "occluded.json"
    path.unlink()
    inputs = "--annotations data/demo/splits/occluded.json --predictions data/demo/predictions/bcnet/1/val.json"
    line = f"{path}: missing, `bcnet evaluate {inputs} --out {path}` makes it"
    assert compare(parameters(), reports) == [line]
    for name, table in whole.items():
        partial = rows(reports, name)
        gone = [index for index, row in enumerate(table) if (row["label"], row["split"]) == ("BCNet", "occluded")]
        assert len(gone) == WHOLE[name]
        for index, (before, after) in enumerate(zip(table, partial, strict=True)):
            for row in (before, after):  # for how many there are
                row.pop("p_corrected", None), row.pop("verdict", None)
            assert after == before or index in gone
        for index in gone:
            empty, _, reason = partial[index]["why"].partition(": ")
            assert reason == line
            numbers = set(table[index]) - {"origin", "label", "detector", "backbone", "split", "why", "source"}
            numbers -= {"baseline_origin", "baseline", "metric", "measure", "from", "to", "occluder"}
            assert set(empty.split(", ")) - {"p_corrected"} == numbers
            assert not any(partial[index][number] for number in numbers)
    assert rows(reports, "comparison.csv")[3]["source"] == ""


def test_every_missing_file_of_a_row_is_named(reports):
    for seed in (0, 2):
        (reports / "demo" / "metrics" / "bcnet" / str(seed) / "val.json").unlink()
    compare(parameters(), reports)
    why = rows(reports, "comparison.csv")[2]["why"]
    named = [f"metrics/bcnet/{seed}/val.json: missing, `bcnet evaluate" in why for seed in range(3)]
    assert named == [True, False, True]


def test_without_any_metrics_there_are_no_tables(reports):
    for path in reports.glob("demo/metrics/*/*/*.json"):
        if path.parts[-2] != "7":  # a seed that is not in the run
            path.unlink()
    with pytest.raises(InputError) as raised:
        compare(parameters(), reports)
    folder = reports / "demo" / "metrics"
    first = folder / "mask-rcnn" / "0" / "val.json"
    assert str(raised.value).startswith(f"{folder}: none of this run's metrics are there: {first}: missing, `bcnet ")
    assert "\n" not in str(raised.value)
    assert not (reports / "demo" / "tables").exists()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("objects", 900, "provenance.objects: 900: expected 905 as in "),
        ("train_on", "pasted", "provenance.train_on: 'pasted': expected 'train' as in "),
        ("schedule", {"iterations": 20}, "provenance.schedule: .*20.*: expected .*600.* as in "),
        ("origin", "brought", "provenance.origin: 'brought': expected 'measured here'"),
        ("best", {"iteration": 40}, "is of the best model of its training, .*/0/val.json of the last"),
    ],
)
def test_seeds_that_do_not_fit_together_are_refused(reports, key, value, problem):
    path = reports / "demo" / "metrics" / "bcnet" / "2" / "val.json"
    content = json.loads(path.read_text())
    content["provenance"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"bcnet/2/val.json: {problem}"):
        compare(parameters(), reports)


@pytest.mark.parametrize(
    ("measure", "key", "value"), [("box_cover", "to", 0.2), ("max_box_iou", "from", 0.1), ("occluder", "occluder", "x")]
)
def test_metrics_in_other_bins_than_those_of_the_parameters_are_refused(reports, measure, key, value):
    path = reports / "demo" / "metrics" / "bcnet" / "2" / "val.json"
    content = json.loads(path.read_text())
    content["recall"][measure][0][key] = value
    path.write_text(json.dumps(content))
    line = rf"bcnet/2/val.json: recall.{measure}: bins .*{value}.*: expected .* as in params.yaml, `bcnet evaluate "
    with pytest.raises(InputError, match=line):
        compare(parameters(), reports)


def test_a_file_that_holds_no_metrics_is_named(reports):
    path = reports / "demo" / "metrics" / "yolo" / "brought" / "val.json"
    metrics = json.loads(path.read_text())
    for content, problem in (
        ([], "expected metrics with provenance, segm, bbox, boundary, recall, "),
        ({key: value for key, value in metrics.items() if key != "leak"}, "expected metrics with provenance, segm"),
        (metrics | {"provenance": None}, "provenance: expected images, iou_type, objects, origin, `bcnet evaluate"),
        (metrics | {"provenance": {"origin": "brought"}}, "provenance: expected images, iou_type, objects, origin"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=f"yolo/brought/val.json: {problem}"):
            compare(parameters(), reports)
