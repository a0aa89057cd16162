"""Published numbers beside the measured ones: which are reproduced, which are not, and why not all are run."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from places import ROOT
from pydantic import ValidationError
from tables_factory import metrics, parameters, rows

from bcnet import params
from bcnet.files import InputError
from bcnet.params import methods
from bcnet.params.reference import check_published, read_reference
from bcnet.report.tables.compare import compare

REFERENCE = ROOT / "reference" / "results.yaml"
MADE = """
first:
  metric_order: [AP, AP50]
  rows:
    - {detector: FCOS, backbone: R50, method: BCNet, values: [42.0, 62.07], schedule: 2x, source: S, sure: primary}
    - {detector: FCOS, backbone: R50, method: Other, year: 2020, AP: 31, source: S, sure: secondary}
second:
  - {what: no occluder, AP: 35.51, source: T, sure: secondary}
  - {what: unknown, AP: null}
speed:
  - {detector: FCOS, inference_ms: 44, sure: primary}
"""


@pytest.fixture
def reference(tmp_path) -> Path:
    path = tmp_path / "results.yaml"
    path.write_text(MADE, encoding="utf-8")
    return path


def asked(published=("first", "second", "speed"), tolerance=0.5, **reproduces: tuple[str, str]) -> params.Params:
    """Of a run on data that is not made by the project; methods by their names with `_` for `-`."""
    wanted = {name.replace("_", "-"): {"table": t, "row": row, "split": "val"} for name, (t, row) in reproduces.items()}
    tables = {"metrics": ["AP"], "draws": 5, "published": list(published), "tolerance": tolerance, "reproduces": wanted}
    return parameters(datasets={"demo": {"source": "coco"}}, tables=tables)


def found(reports: Path, reference: Path, run: params.Params) -> dict[tuple[str, str, str], dict[str, str]]:
    """Rows by what is published, its metric, and who is to reproduce it."""
    compare(run, reports, reference)
    table = rows(reports, "published.csv")
    return {(row["method"] or row["detector"], row["metric"], row["label"]): row for row in table}


def test_each_published_number_has_a_row_with_its_source(reports, reference):
    table = found(reports, reference, asked())
    assert list(table) == [
        ("BCNet", "AP", ""),
        ("BCNet", "AP50", ""),
        ("Other", "AP", ""),
        ("no occluder", "AP", ""),
        ("unknown", "AP", ""),
        ("FCOS", "inference_ms", ""),
    ]
    row = table["BCNet", "AP50", ""]
    assert [row[key] for key in ("table", "detector", "backbone", "published")] == ["first", "FCOS", "R50", "62.07"]
    assert [row[key] for key in ("certainty", "source", "schedule", "verdict")] == ["primary", "S", "2x", "not run"]
    empty = "value, std, seeds, iterations, difference, tolerance"
    assert row["why"] == f"{empty}: no method of this run is to reproduce it (tables.reproduces)"
    assert table["unknown", "AP", ""]["why"].startswith("published: not found; value, std")
    assert table["FCOS", "inference_ms", ""]["source"] == "comments in reference/results.yaml"


def test_reproduced_is_decided_by_the_tolerance(reports, reference):
    """Here BCNet has AP 42.06 and AP50 62.06 for 42.0 and 62.07, Mask R-CNN 32.06 for 31, YOLOv8n 35 for 35.51."""
    run = asked(bcnet=("first", "FCOS, R50, BCNet"), mask_rcnn=("first", "FCOS, R50, Other"))
    table = found(reports, reference, run)
    ap, ap50, other = (table[key] for key in list(table)[:3])
    assert [ap[key] for key in ("origin", "label", "split")] == ["measured here", "BCNet", "val"]
    assert [ap[key] for key in ("value", "std", "seeds", "iterations")] == ["42.06", "2.57", "3", "600"]
    assert [ap[key] for key in ("difference", "tolerance", "verdict", "why")] == ["0.06", "0.5", "reproduced", ""]
    assert [ap50[key] for key in ("value", "difference", "verdict")] == ["62.06", "-0.01", "reproduced"]
    assert [other[key] for key in ("value", "difference", "verdict")] == ["32.06", "1.06", "not reproduced"]
    for tolerance, verdict in ((0.51, "reproduced"), (0.5, "not reproduced")):
        run = asked(tolerance=tolerance, yolo=("second", "no occluder"))
        row = found(reports, reference, run)["no occluder", "AP", "YOLOv8n"]
        assert (row["difference"], row["verdict"]) == ("-0.51", verdict)


def test_a_difference_that_is_shown_as_the_tolerance_is_within_it(reports, reference):
    """42.0576 for 42: 0.0576 is shown as 0.06."""
    table = found(reports, reference, asked(tolerance=0.06, bcnet=("first", "FCOS, R50, BCNet")))
    assert table["BCNet", "AP", "BCNet"]["verdict"] == "reproduced"
    table = found(reports, reference, asked(tolerance=0.059, bcnet=("first", "FCOS, R50, BCNet")))
    assert table["BCNet", "AP", "BCNet"]["verdict"] == "not reproduced"


def test_two_methods_may_reproduce_one_row(reports, reference):
    run = asked(bcnet=("first", "FCOS, R50, BCNet"), zoo=("first", "FCOS, R50, BCNet"))
    table = found(reports, reference, run)
    assert [(key[2], row["value"]) for key, row in table.items() if key[:2] == ("BCNet", "AP")] == [
        ("BCNet", "42.06"),
        ("The zoo's", "45.00"),
    ]
    zoo = table["BCNet", "AP", "The zoo's"]
    assert (zoo["origin"], zoo["why"]) == ("imported", "std: one run; seeds, iterations: trained elsewhere")


def test_what_is_not_run_says_why(reports, reference):
    (reports / "demo" / "metrics" / "bcnet" / "2" / "val.json").unlink()
    run = asked(
        bcnet=("first", "FCOS, R50, BCNet"),
        boxes=("first", "FCOS, R50, Other"),
        zoo=("speed", "FCOS"),
        yolo=("second", "unknown"),
    )
    table = found(reports, reference, run)
    missing, boxes, unknown, speed = (table[key] for key in list(table) if key[1] != "AP50" and key[2])
    assert missing["verdict"] == boxes["verdict"] == speed["verdict"] == "not run"
    assert re.search(
        r"tolerance: .*bcnet/2/val.json: missing, `bcnet evaluate --annotations .*` makes it$", missing["why"]
    )
    assert boxes["why"].endswith("tolerance: the predictions are boxes")
    assert speed["why"].endswith("tolerance: `bcnet evaluate` does not measure it")
    assert (unknown["value"], unknown["verdict"]) == ("35.00", "")
    assert "difference, tolerance, verdict: nothing published to compare with" in unknown["why"]
    for row in table.values():
        assert all(
            row[key] or key in row["why"] for key in ("published", "value", "std", "seeds", "difference", "verdict")
        )


def test_an_undefined_metric_is_not_run(reports, reference):
    reference.write_text(MADE.replace("AP50]", "APs]"), encoding="utf-8")
    row = found(reports, reference, asked(bcnet=("first", "FCOS, R50, BCNet")))["BCNet", "APs", "BCNet"]
    assert (row["verdict"], row["value"]) == ("not run", "")
    assert row["why"].endswith("no object of this size in the split")


def test_without_tables_asked_for_there_is_only_a_header(reports):
    compare(parameters(), reports, Path("there/is/none.yaml"))
    text = (reports / "demo" / "tables" / "published.csv").read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert text.startswith(
        "table,detector,backbone,method,metric,published,certainty,source,schedule,origin,label,split,"
    )


def test_the_long_table_holds_them_with_the_provenance_of_ours(reports, reference):
    compare(asked(bcnet=("first", "FCOS, R50, BCNet")), reports, reference)
    long = pd.read_parquet(reports / "demo" / "tables" / "tables.parquet")
    mine = long[(long["table"] == "published") & (long["published_table"] == "first") & (long["metric"] == "AP")]
    mine = mine[mine["label"] == "BCNet"].set_index("column")
    assert mine["value"]["difference"] == pytest.approx(mine["value"]["value"] - 42, abs=1e-12)
    assert mine["verdict"].unique().tolist() == ["reproduced"]
    assert mine["certainty"].unique().tolist() == ["primary"]
    expected = [metrics("bcnet", seed, "val")["provenance"] for seed in range(3)]
    assert json.loads(mine["provenance"]["value"]) == expected


@pytest.mark.parametrize("preset", ["coco", "ablation", "kins", "cocoa"])
def test_presets_say_which_rows_their_variants_reproduce(preset):
    run = params.load(ROOT / "presets" / f"{preset}.yaml")
    assert run.tables.published
    assert run.tables.reproduces
    published = read_reference(run.tables.published, REFERENCE)
    for name, wanted in run.tables.reproduces.items():
        (row,) = (row for row in published[wanted.table] if row.name == wanted.row)
        if name in run.variants and row.backbone:
            variant = run.variants[name]
            assert row.detector == variant.detector_name
            short = {"resnet50": "R50", "resnet101": "R101", "resnext101": "X101"}[variant.backbone]
            assert row.backbone == f"{short}-FPN"
            name = {"MS R-CNN": "Mask Scoring R-CNN"}.get(row.method, row.method)
            assert methods.METHODS[variant.method].name == name


def test_each_row_of_the_papers_table_is_one_of_the_preset():
    """And each method is trained by the schedule that all share as well."""
    run = params.load(ROOT / "presets" / "coco.yaml")
    table = "table8_coco_test_dev"
    rows_of_table = {row.name for row in read_reference([table], REFERENCE)[table]}
    assert {wanted.row for wanted in run.tables.reproduces.values() if wanted.table == table} == rows_of_table
    shared = {
        (variant.method, variant.detector_name, variant.backbone)
        for variant in run.variants.values()
        if not variant.schedule
    }
    own = {(variant.method, variant.detector_name, variant.backbone) for variant in run.variants.values()}
    assert own == shared


def test_every_published_table_can_be_read():
    names = ["table8_coco_test_dev", "ablation_coco_occ", "kins", "cocoa", "journal_coco", "speed"]
    published = read_reference([*names, "baselines_detectron2_3x_test_dev"], REFERENCE)
    assert [len(published[name]) for name in names] == [16, 3, 1, 1, 2, 2]
    row = published["table8_coco_test_dev"][4]
    assert row.name == "Faster R-CNN, R50-FPN, BCNet"
    assert (row.numbers["AP"], row.numbers["AR100"], row.schedule) == (38.4, 52.1, "3x")
    assert published["cocoa"][0].numbers == {"AP": None}
    assert published["speed"][1].numbers == {"train_hours": 8.8, "inference_ms": 56}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("first: 5", "first: expected a list of rows, or metric_order and rows"),
        ("first: [5]", "first: expected a list of rows, or metric_order and rows"),
        ("first: [{method: A, AP: high}]", "first: A: AP: 'high': expected a number or null"),
        ("first: [{method: A, AP: 1}, {method: A, AP: 2}]", "first: two rows are 'A'"),
        (
            "first: {metric_order: [AP], rows: [{method: A, values: [1, 2]}]}",
            "first: A: 2 values: expected 1, as metric",
        ),
        ("first: [", "not valid YAML: while parsing"),
        ("second: []", "no table 'first' (tables.published), there are: second"),
        ("5", "no table 'first' (tables.published), there are: none"),
    ],
)
def test_a_wrong_file_of_published_numbers_is_named(reference, content, line):
    reference.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as raised:
        read_reference(["first"], reference)
    assert str(raised.value).startswith(f"{reference}: {line}")
    assert "\n" not in str(raised.value)


def test_with_a_wrong_file_nothing_is_written(reports, reference):
    reference.write_text("first: 5", encoding="utf-8")
    with pytest.raises(InputError, match="first: expected a list of rows"):
        compare(asked(published=["first"]), reports, reference)
    assert not (reports / "demo" / "tables").exists()


def test_wrong_names_are_told_before_any_work(reference):
    with pytest.raises(
        InputError, match=r"results.yaml: no table 'third' \(tables.published\), there are: first, second"
    ):
        check_published(asked(published=["third"]).tables, reference)
    with pytest.raises(InputError) as raised:
        check_published(asked(bcnet=("first", "BCNet")).tables, reference)
    named = "first: no row 'BCNet' (tables.reproduces.bcnet), there are: FCOS, R50, BCNet; FCOS, R50, Other"
    assert str(raised.value) == f"{reference}: {named}"
    for wrong, line in (
        (
            {"bcnet": ("third", "BCNet")},
            "tables.reproduces.bcnet.table: 'third' is not one of tables.published, there are: first, ",
        ),
        (
            {"bc": ("first", "BCNet")},
            "tables.reproduces: 'bc' is not one of the methods, there are: mask-rcnn, bcnet, zoo, yolo",
        ),
    ):
        with pytest.raises(ValidationError, match=re.escape(line)):
            asked(**wrong)
    with pytest.raises(ValidationError, match=re.escape("tables.published: ['first', 'first'] names one twice")):
        asked(published=["first", "first"])
    row = {"table": "first", "row": "FCOS, R50, BCNet", "split": "test-dev"}
    tables = {"published": ["first"], "reproduces": {"bcnet": row}}
    with pytest.raises(
        ValidationError, match=r"bcnet.split: 'test-dev' is not one of splits, there are: val, occluded"
    ):
        parameters(datasets={"demo": {"source": "coco"}}, tables=tables)


def test_loading_parameters_checks_the_rows(tmp_path, monkeypatch):
    text = (ROOT / "presets" / "coco.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace('row: "Faster R-CNN, R50-FPN, BCNet"', "row: Faster R-CNN"), encoding="utf-8")
    monkeypatch.chdir(ROOT)
    with pytest.raises(
        InputError, match=r"no row 'Faster R-CNN' \(tables.reproduces.bcnet-r50\), there are: Faster R-CN"
    ):
        params.load(path)
