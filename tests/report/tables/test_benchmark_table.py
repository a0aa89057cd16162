"""`bcnet compare`: what is found of occluded objects, in bins and by category."""

import json
import statistics

from tables_factory import LABELS, parameters, rows, share

from bcnet.report.tables.compare import compare

SHARE_ORDER = ("mask-rcnn", "bcnet", "zoo", "yolo", "boxes")


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
