"""`bcnet compare`: the metrics of a run as tables."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats
from tables_factory import LABELS, metrics, parameters, rows, share, write_reports

from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.files import InputError
from bcnet.report.tables.compare import compare
from bcnet.report.tables.comparison import about
from bcnet.report.tables.rows import Method

WHOLE = {"comparison.csv": 1, "benchmark.csv": 1, "recall.csv": 8, "differences.csv": 21}  # rows of a method and split
SHARE_ORDER = ("mask-rcnn", "bcnet", "zoo", "yolo", "boxes")


@pytest.fixture
def reports(tmp_path):
    return write_reports(tmp_path)


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


def test_recall_has_a_row_a_bin(reports):
    compare(parameters(), reports)
    table = rows(reports, "recall.csv")
    assert list(table[0]) == [
        "origin",
        "label",
        "split",
        "measure",
        "from",
        "to",
        "occluder",
        "objects",
        *(f"{name}{kind}" for name in ("AR", "AR50", "AR75", "AP", "APn") for kind in ("", "_std")),
        "why",
    ]
    assert len(table) == 5 * 2 * 8
    mine = [row for row in table if (row["label"], row["split"]) == ("BCNet", "val")]
    assert [(row["measure"], row["from"], row["to"], row["occluder"], row["objects"]) for row in mine] == [
        ("box_cover", "0.0", "0.125", "", "700"),
        ("box_cover", "0.125", "1.0", "", "205"),
        ("mask_cover", "0.0", "1.0", "", "905"),
        ("max_box_iou", "0.0", "0.5", "", "700"),
        ("max_box_iou", "0.5", "1.0", "", "205"),
        ("occluder", "", "", "none", "700"),
        ("occluder", "", "", "other category", "0"),
        ("occluder", "", "", "same category", "205"),
    ]
    first, second = mine[:2]
    mean = 100 * statistics.mean(share("bcnet", seed, "val") for seed in range(3))
    assert [first[key] for key in ("AR", "AR50", "AR75")] == [f"{mean / 2:.2f}", f"{mean:.2f}", f"{mean / 4:.2f}"]
    assert [first[key] for key in ("AP", "APn")] == [f"{mean / 8:.2f}", f"{mean / 5:.2f}"]
    assert second["why"] == ""
    empty = next(row for row in table if row["split"] == "occluded" and row["objects"] == "0")
    assert (empty["AR"], empty["why"]) == (
        "",
        "AR, AR_std, AR50, AR50_std, AR75, AR75_std, AP, AP_std, APn, APn_std: no object in this bin",
    )
    boxes = next(row for row in table if row["label"] == "A detector")
    assert (boxes["AR"], boxes["objects"], boxes["why"]) == (
        "",
        "700",
        "AR, AR_std, AR50, AR50_std, AR75, AR75_std, AP, AP_std, APn, APn_std: the predictions are boxes",
    )


def test_ground_truth_without_occlusion_has_bins_without_numbers(reports):
    for path in reports.glob("demo/metrics/yolo/brought/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"recall": None}))
    compare(parameters(), reports)
    bins = [row for row in rows(reports, "recall.csv") if (row["label"], row["split"]) == ("YOLOv8n", "val")]
    assert [(row["from"], row["to"]) for row in bins[:2]] == [("0.0", "0.125"), ("0.125", "1.0")]
    assert len(bins) == 8
    assert all(row["why"].startswith("objects, AR, AR_std, AR50") for row in bins)
    assert all("APn_std: the ground truth has no occlusion" in row["why"] for row in bins)


def test_the_benchmark_has_a_row_a_method_and_split(reports):
    compare(parameters(), reports)
    table = {(row["label"], row["split"]): row for row in rows(reports, "benchmark.csv")}
    assert list(table) == [(LABELS[name], split) for name in SHARE_ORDER for split in ("val", "occluded")]
    row = table["BCNet", "val"]
    values = [100 * share("bcnet", seed, "val") for seed in range(3)]
    mean, spread = statistics.mean(values), statistics.stdev(values)
    expected = {"boundary_AP": mean - 5, "found": mean, "found_occluded": mean - 10, "found_separated": mean - 20}
    expected |= {"leak": mean / 3, "ECE": mean / 7, "tide_Loc": mean / 10 + 1, "tide_FN": mean / 10 + 7}
    expected |= {"AR_no_occluder": mean / 2, "AR_same_category": mean / 2, "badly_localised_occluded": 20}
    assert {name: row[name] for name in expected} == {name: f"{value:.2f}" for name, value in expected.items()}
    assert [row[f"{name}_std"] for name in ("found_separated", "leak")] == [f"{spread:.2f}", f"{spread / 3:.2f}"]
    assert (row["occluded"], row["separated"]) == ("205", "181")
    assert row["invisible_AP"] == f"{mean / 9:.2f}"
    there, mean = table["BCNet", "occluded"], mean - 10
    expected = {"order_decided": mean + 30, "order_right_of_decided": mean + 20, "order_right": mean + 10}
    expected["order_right_by_masks_alone"] = mean
    assert {name: there[name] for name in expected} == {name: f"{value:.2f}" for name, value in expected.items()}
    numbers = set(row) - {"origin", "label", "split", "why"}
    for row in table.values():
        empty = {column for part in row["why"].split("; ") for column in part.partition(": ")[0].split(", ") if column}
        assert empty == {column for column in numbers if not row[column]}


def test_an_empty_number_of_the_benchmark_says_why(reports):
    compare(parameters(), reports)
    table = {(row["label"], row["split"]): row for row in rows(reports, "benchmark.csv")}
    ours = reasons(table["BCNet", "val"])
    assert ours.pop("AR_other_category") == ours.pop("AR_other_category_std") == "no such object in the split"
    assert ours.pop("invisible_IoU") == ours.pop("invisible_IoU_std") == "no object with an invisible part is found"
    unordered = "no `depth` in the ground truth, or no `occluder` in the predictions"
    assert set(ours.values()) == {unordered}
    assert all(column.startswith("order_") for column in ours)
    nothing = reasons(table["YOLOv8n", "occluded"])
    assert nothing["found_separated"] == "no separated object in the split"
    assert nothing["leak"] == "no object that has an occluder is found"
    assert nothing["missed_occluded"] == nothing["found_occluded"] == "no such object in the split"
    assert nothing["invisible_AP"] == "the ground truth of the split is not amodal"
    assert nothing["found_std"] == nothing["leak_std"] == "one run"
    assert table["YOLOv8n", "occluded"]["occluded"] == "0"
    boxes = reasons(table["A detector", "val"])
    assert set(boxes.values()) == {"the predictions are boxes"}
    assert {"found", "tide_Cls", "ECE", "occluded"} <= set(boxes)
    path = reports / "demo" / "metrics" / "yolo" / "brought" / "val.json"
    content = json.loads(path.read_text())
    content |= {"recall": None, "leak": None, "calibration": {"ECE": None, "why": "scores of -1 to 3, not 0 to 1"}}
    content["failures"]["occluded"] = None
    path.write_text(json.dumps(content))
    compare(parameters(), reports)
    row = next(row for row in rows(reports, "benchmark.csv") if row["label"] == "YOLOv8n")
    found = reasons(row)
    assert found["ECE"] == "scores of -1 to 3, not 0 to 1"
    unknown = ("leak", "AR_no_occluder", "found_occluded", "missed_occluded", "occluded")
    assert {found[name] for name in unknown} == {"the ground truth has no occlusion, `bcnet convert` adds it"}
    assert (row["found"], row["separated"]) == ("35.00", "181")


def reasons(row: dict[str, str]) -> dict[str, str]:
    """Why a row's cells are empty, by column."""
    parts = [part.partition(": ") for part in row["why"].split("; ") if part]
    return {column: reason for columns, _, reason in parts for column in columns.split(", ")}


def test_categories_have_a_row_each(reports):
    (reports / "demo" / "metrics" / "zoo" / "imported" / "occluded.json").unlink()
    compare(parameters(), reports)
    table = rows(reports, "categories.csv")
    assert len(table) == 9 * 2 + 1
    mine = [row for row in table if (row["label"], row["split"]) == ("BCNet", "val")]
    assert [(row["category"], row["objects"]) for row in mine] == [("disc", "900"), ('ring, "thin"', "450")]
    mean = 100 * statistics.mean(share("bcnet", seed, "val") for seed in range(3))
    assert [mine[0][name] for name in ("AP", "box_AP", "boundary_AP")] == [f"{mean + 5:.2f}"] * 3
    assert (mine[1]["AP75"], mine[1]["AP_std"]) == (f"{mean - 5:.2f}", "2.57")
    assert reasons(mine[0]) == dict.fromkeys(("APs", "APs_std"), "no object of this size")
    boxes = next(row for row in table if row["label"] == "A detector")
    assert (boxes["box_AP"], boxes["AP"]) == ("25.00", "")
    assert reasons(boxes)["boundary_AP"] == "the predictions are boxes"
    (gone,) = [row for row in table if (row["label"], row["split"]) == ("The zoo's", "occluded")]
    assert gone["category"] == gone["AP"] == ""
    assert "occluded.json: missing, `bcnet evaluate" in gone["why"]


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
