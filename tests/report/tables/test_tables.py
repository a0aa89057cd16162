"""`bcnet compare`: the metrics of a run as tables."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats
from tables_factory import LABELS, metrics, parameters, rows, share

from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.report.tables.compare import compare
from bcnet.report.tables.comparison import about
from bcnet.report.tables.rows import Method


def test_one_row_a_method_and_split_in_the_order_of_the_parameters(reports):
    compare(parameters(), reports)
    table = rows(reports, "comparison.csv")
    assert [(row["origin"], row["label"], row["split"]) for row in table] == [
        (origin, LABELS[name], split)
        for origin, name in [
            ("measured here", "mask-rcnn"),
            ("measured here", "bcnet"),
            ("imported", "zoo"),
            ("brought", "yolo"),
            ("brought", "boxes"),
        ]
        for split in ("val", "occluded")
    ]
    ends = ("", "_std", "_low", "_high")
    numbers = ["seeds", *(f"{name}{end}" for name in ("AP", "AP50", "APs", "box_AP") for end in ends)]
    numbers += ["objects", "images", "iterations"]
    assert list(table[0]) == ["origin", "label", "detector", "backbone", "split", *numbers, "why", "source"]


def test_percent_is_the_mean_over_seeds_with_its_spread(reports):
    compare(parameters(), reports)
    row = rows(reports, "comparison.csv")[2]  # BCNet on val
    values = [100 * share("bcnet", seed, "val") for seed in range(3)]
    assert row["AP"] == f"{statistics.mean(values):.2f}" == "42.06"
    assert row["AP_std"] == f"{statistics.stdev(values):.2f}" == "2.57"
    assert row["box_AP"] == "47.06"
    assert [row[key] for key in ("seeds", "objects", "images", "iterations")] == ["3", "905", "150", "600"]
    assert (row["detector"], row["backbone"]) == ("Faster R-CNN", "efficientnet_lite0")
    assert row["source"] == ", ".join(f"{reports.name}/demo/metrics/bcnet/{seed}/val.json" for seed in range(3))


def test_one_seed_has_no_spread_column(reports):
    compare(parameters(seeds=[1]), reports)
    table = rows(reports, "comparison.csv")
    assert not [key for key in table[0] if key.endswith("_std")]
    assert table[2]["AP"] == "41.23"


def test_an_empty_number_says_why(reports):
    compare(parameters(), reports)
    table = {(row["label"], row["split"]): row for row in rows(reports, "comparison.csv")}
    assert table["BCNet", "val"]["APs"] == ""
    assert table["BCNet", "val"]["why"] == "APs, APs_std, APs_low, APs_high: no object of this size in the split"
    zoo, yolo, boxes = (table[label, "val"] for label in ("The zoo's", "YOLOv8n", "A detector"))
    assert [zoo[key] for key in ("detector", "backbone", "AP", "seeds")] == ["FCOS", "resnet101", "45.00", ""]
    assert "seeds, iterations: trained elsewhere" in zoo["why"]
    assert (yolo["AP"], yolo["AP_std"], yolo["iterations"]) == ("35.00", "", "")
    assert "seeds, iterations: brought predictions do not say" in yolo["why"]
    assert "AP_std, AP50_std, APs_std, box_AP_std: one run" in yolo["why"]
    assert (boxes["AP"], boxes["box_AP"]) == ("", "25.00")
    assert "the predictions are boxes" in boxes["why"]
    assert "AP_std, AP50_std, APs_std, box_AP_std: one run" in boxes["why"]
    for row in table.values():
        assert all(row[key] or key in row["why"] for key in row if key not in ("detector", "backbone", "why"))


@pytest.mark.parametrize(
    ("said", "detector"), [({"detector": "fcos"}, "FCOS"), ({"detector": None}, "box-free"), ({}, None)]
)
def test_no_detector_is_not_the_same_as_one_that_nobody_tells(said, detector):
    imported = Method("imported", "a", "A", None, None, ("imported",))
    measurement = SimpleNamespace(runs=[{"provenance": said}], paths=[])
    assert about(imported, "val", measurement, Path("reports/demo"))["detector"] == detector


def test_zero_is_a_number(reports):
    for path in reports.glob("demo/metrics/bcnet/*/val.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"segm": dict.fromkeys(NAMES, 0)}))
    compare(parameters(), reports)
    row = rows(reports, "comparison.csv")[2]
    assert (row["AP"], row["AP_std"]) == ("0.00", "0.00")
    assert row["why"] == "APs_low, APs_high: no object of this size in the split"


def test_the_long_table_holds_every_value_in_full_with_its_provenance(reports):
    compare(parameters(), reports)
    path = reports / "demo" / "tables" / "tables.parquet"
    assert pq.read_schema(path).metadata is None
    long = pd.read_parquet(path)
    wide, narrow = rows(reports, "comparison.csv"), rows(reports, "recall.csv")
    assert len(long[long["table"] == "comparison"]) == len(wide) * 20
    assert len(long[long["table"] == "recall"]) == len(narrow) * (2 * 5 + 1)
    assert len(long[long["table"] == "benchmark"]) == len(wide) * (2 * 27 + 6)
    assert len(long[long["table"] == "categories"]) == 2 * len(wide) * (2 * 8 + 1)
    thin = long[(long["table"] == "categories") & (long["category"] == 'ring, "thin"') & (long["column"] == "AP")]
    assert len(thin) == len(wide)
    occluder = long[(long["table"] == "recall") & (long["occluder"] == "none") & (long["column"] == "objects")]
    assert occluder["value"].tolist() == [700, 905] * 5
    assert occluder[["from", "to"]].isna().all(axis=None)
    mine = long[(long["label"] == "BCNet") & (long["split"] == "val") & (long["column"] == "AP50")]
    mine = mine[mine["table"] == "comparison"]
    value, provenance = mine.iloc[0][["value", "provenance"]]
    expected = [100 * (share("bcnet", seed, "val") + 0.2) for seed in range(3)]
    assert value == pytest.approx(statistics.mean(expected), abs=1e-12)
    assert json.loads(provenance) == [metrics("bcnet", seed, "val")["provenance"] for seed in range(3)]
    cells = [list(row.values())[5:25] for row in wide] + [list(row.values())[7:18] for row in narrow]
    empty = sum(not cell for row in cells for cell in row)
    assert long[long["table"].isin(["comparison", "recall"])]["value"].isna().sum() == empty


def test_a_file_of_numbers_for_dvc_of_each_method_and_split(reports):
    folder = reports / "demo" / "tables" / "metrics"
    (folder / "gone").mkdir(parents=True)
    (folder / "gone" / "val.json").write_text("{}")
    (reports / "demo" / "metrics" / "yolo" / "brought" / "val.json").unlink()
    compare(parameters(), reports)
    methods = ["mask-rcnn", "bcnet", "zoo", "boxes"]
    expected = {folder / name / f"{split}.json" for name in methods for split in ("val", "occluded")}
    assert set(folder.rglob("*.json")) == expected | {folder / "yolo" / "occluded.json"}
    row, bins = rows(reports, "comparison.csv")[2], rows(reports, "recall.csv")[16:18]
    coping = rows(reports, "benchmark.csv")[2]
    names = ("boundary_AP", "found_occluded", "found_separated", "leak", "ECE")
    assert json.loads((folder / "bcnet" / "val.json").read_text()) == {
        "AP": float(row["AP"]),
        "AP50": float(row["AP50"]),
        "APs": None,
        "box_AP": float(row["box_AP"]),
        **{name: float(coping[name]) for name in names},
        "AR box_cover 0-0.125": float(bins[0]["AR"]),
        "AR box_cover 0.125-1": float(bins[1]["AR"]),
    }
    assert json.loads((folder / "boxes" / "val.json").read_text())["AP"] is None


def test_same_metrics_give_the_same_bytes(reports):
    found = []
    for _ in range(2):
        compare(parameters(), reports)
        files = (path for path in (reports / "demo" / "tables").rglob("*") if path.is_file())
        found.append({path.name: path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert {name for name in found[0] if not name.endswith(".json")} == {
        "comparison.csv",
        "benchmark.csv",
        "recall.csv",
        "categories.csv",
        "intervals.csv",
        "differences.csv",
        "ablations.csv",
        "published.csv",
        "tables.parquet",
    }


def test_each_number_has_its_interval_and_count_in_a_table_of_its_own(reports):
    """Over seeds as the t-test, as images are all alike; the same as beside the number in the main table."""
    compare(parameters(tables={"metrics": ["AP"], "draws": 400}), reports)
    table = rows(reports, "intervals.csv")
    about = ["origin", "label", "split", "metric", "measure", "from", "to", "occluder"]
    numbers = ["value", "std", "low", "high", "objects", "images", "seeds", "draws"]
    assert list(table[0]) == [*about, *numbers, "few", "why"]
    own = [row for row in table if (row["label"], row["split"]) == ("BCNet", "val")]
    first = own[0]
    assert (first["metric"], first["value"], first["std"]) == ("AP", "66.67", "15.28")  # levels 7, 5, 8
    low, high = stats.ttest_1samp([70, 50, 80], 0).confidence_interval()
    assert [float(first["low"]), float(first["high"])] == pytest.approx([low, min(100, high)], abs=0.5)
    assert [first[key] for key in ("objects", "images", "seeds", "draws", "few")] == ["905", "150", "3", "400", "no"]
    main = rows(reports, "comparison.csv")[2]
    assert (main["AP_low"], main["AP_high"]) == (first["low"], first["high"])
    covered = next(row for row in own if (row["metric"], row["measure"], row["from"]) == ("AR", "box_cover", "0.125"))
    assert (covered["objects"], covered["images"]) == ("205", "150")
    kept = next(row for row in own if (row["metric"], row["measure"]) == ("AR_kept", "box_cover"))
    assert kept["value"] == "100.00"  # all objects are medium and found alike
    boxes = [row for row in table if row["label"] == "A detector" and row["metric"] == "AP"]
    assert "value, std, low, high, objects, images, draws: the predictions are boxes" in boxes[0]["why"]
    assert all(row["few"] for row in table if row["value"])
