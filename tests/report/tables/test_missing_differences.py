"""`bcnet compare`: where two methods cannot be compared, the table says why."""

import json
import re

import pyarrow.parquet as pq
import pytest
from evaluation_factory import write_tables
from tables_factory import TABLES, differences_of, parameters, rows

from bcnet.files import InputError
from bcnet.report.tables.compare import compare


def test_an_empty_number_says_why(reports):
    compare(parameters(), reports)
    everything = "difference, std, low, high, p, p_corrected, objects, draws: "
    assert differences_of(reports, "BCNet")["APs", ""]["why"] == everything + "no object of this size in the split"
    assert differences_of(reports, "BCNet", "occluded")["AR", "0.125"]["why"] == everything + "no object in this bin"
    assert differences_of(reports, "BCNet", "occluded")["AR", "occluder", "same category"]["why"].endswith(
        "in this bin"
    )
    assert differences_of(reports, "BCNet", "occluded")["leak", ""]["why"].endswith(
        ": no object that has an occluder is found"
    )
    assert differences_of(reports, "BCNet", "occluded")["found_occluded", ""]["why"].endswith(
        ": no such object in the split"
    )
    assert differences_of(reports, "A detector")["AP", ""]["why"] == everything + "the predictions are boxes"
    for name in ("yolo/brought", "mask-rcnn/0", "mask-rcnn/1", "mask-rcnn/2"):
        path = reports / "demo" / "metrics" / name / "val.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"recall": None}), encoding="utf-8")
        write_tables(path, 150, [4] * 905, [float("nan")] * 905)
    compare(parameters(tables=TABLES | {"compare_to": ["mask-rcnn", "yolo", "boxes"]}), reports)
    ours = differences_of(reports, "YOLOv8n")
    assert ours["found_separated", ""]["why"] == ""
    for row in (ours["AR", "0.0"], ours["AR", "occluder", "none"], ours["leak", ""], ours["found_occluded", ""]):
        assert row["why"] == everything + "the ground truth has no occlusion, `bcnet convert` adds it"
    row = differences_of(reports, "A detector", baseline="YOLOv8n")["AP", ""]
    assert row["why"] == everything + "the predictions are boxes; seeds: brought predictions do not say"
    assert (
        differences_of(reports, "The zoo's", baseline="YOLOv8n")["AP", ""]["why"]
        == "std: one run; seeds: trained elsewhere"
    )


def test_one_method_alone_differs_from_nothing(reports):
    variants = parameters().model_dump(mode="json", exclude_unset=True)["variants"]
    compare(parameters(variants={"bcnet": variants["bcnet"]}, imported={}, predictions={}), reports)
    assert rows(reports, "differences.csv") == []


@pytest.mark.parametrize("suffix", [".parquet", ".detections.parquet"])
def test_without_a_table_there_is_no_difference_and_the_command_that_makes_it_is_named(reports, suffix):
    """The metrics lie in git, the tables beside them do not."""
    path = reports / "demo" / "metrics" / "bcnet" / "1" / f"occluded{suffix}"
    path.unlink()
    compare(parameters(tables=TABLES | {"compare_to": ["mask-rcnn", "bcnet"]}), reports)
    for label, baseline in (("BCNet", "Mask R-CNN"), ("YOLOv8n", "BCNet")):
        for row in differences_of(reports, label, "occluded", baseline).values():
            numbers, _, reason = row["why"].partition(": ")
            assert reason.startswith(f"{path}: missing, `bcnet evaluate --annotations data/demo/splits/occluded.json ")
            assert numbers == "difference, std, low, high, p, p_corrected, objects, seeds, draws"
            assert not any(row[number] for number in numbers.split(", "))
    assert differences_of(reports, "YOLOv8n", "occluded")["AP", ""]["difference"] == "6.67"
    assert differences_of(reports, "BCNet")["AP", ""]["difference"] == "23.33"
    assert rows(reports, "comparison.csv")[3]["AP"]


def test_two_methods_without_metrics_are_both_named(reports):
    for name in ("mask-rcnn/0", "zoo/imported"):
        (reports / "demo" / "metrics" / name / "val.json").unlink()
    compare(parameters(), reports)
    why = differences_of(reports, "The zoo's")["AP", ""]["why"]
    assert re.search(r"zoo/imported/val.json: missing, .* makes it and .*mask-rcnn/0/val.json: missing, ", why)


@pytest.mark.parametrize("suffix", [".parquet", ".detections.parquet"])
def test_a_broken_table_is_named_with_the_command_that_makes_it(reports, suffix):
    path = reports / "demo" / "metrics" / "bcnet" / "1" / f"occluded{suffix}"
    whole = path.read_bytes()
    for content in (whole[:200], b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{path}: .*: expected what `bcnet evaluate [^\n]*makes$"):
            compare(parameters(), reports)
    path.write_bytes(whole)
    pq.write_table(pq.read_table(path).drop_columns("image_id"), path)
    with pytest.raises(InputError, match=rf"^{path}: .*image_id.*: expected what `bcnet evaluate"):
        compare(parameters(), reports)
    path.write_bytes(whole)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(InputError, match=rf"^{path}: \d+ rows: expected \d+, as .*occluded.json says$"):
        compare(parameters(), reports)
    assert not (reports / "demo" / "tables").exists()


def test_methods_on_different_pictures_are_not_compared(reports):
    path = reports / "demo" / "metrics" / "yolo" / "brought" / "val.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["provenance"]["annotations_sha256"] = "another"
    path.write_text(json.dumps(content), encoding="utf-8")
    line = f"{path}: provenance.annotations_sha256: 'another': expected None as in "
    with pytest.raises(InputError, match=re.escape(line)):
        compare(parameters(), reports)
