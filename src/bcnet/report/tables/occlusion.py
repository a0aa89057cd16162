"""Rows of the tables of how methods cope with occlusion, in percent; their definitions: docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from bcnet.evaluation.metrics.occlusion_bins import bin_names
from bcnet.report.tables.comparison import BOXES, one_run, percent
from bcnet.report.tables.measured import Measured
from bcnet.report.tables.rows import Row, why

NOT_CONVERTED = "the ground truth has no occlusion, `bcnet convert` adds it"
NO_OBJECT = "no object in the split"
NO_ORDER = "no `depth` in the ground truth, or no `occluder` in the predictions"
IN_BINS = ("AR", "AR50", "AR75", "AP", "APn")
BIN = ("measure", "from", "to", "occluder")
FAILURES = ("wrong_class", "badly_localised", "both", "missed")
TIDE = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN")
BENCHMARK = {  # number -> where it is in the metrics
    "boundary_AP": ("boundary", "AP"),
    "found": ("failures", "all", "found"),
    "found_occluded": ("failures", "occluded", "found"),
    "found_separated": ("failures", "separated", "found"),
    "leak": ("leak", "rate"),
    **{
        f"AR_{name}": ("recall", "occluder", place, "AR")
        for place, name in enumerate(("no_occluder", "other_category", "same_category"))
    },
    "ECE": ("calibration", "ECE"),
    **{f"{kind}_occluded": ("failures", "occluded", kind) for kind in FAILURES},
    **{f"tide_{kind}": ("tide", "gain", kind) for kind in TIDE},
    "invisible_AP": ("amodal", "invisible", "AP"),
    "invisible_IoU": ("amodal", "invisible", "IoU"),
    "order_decided": ("order", "decided"),
    "order_right_of_decided": ("order", "accuracy_decided"),
    "order_right": ("order", "accuracy"),
    "order_right_by_masks_alone": ("order", "masks_alone", "accuracy"),
}
COUNTS = {"occluded": ("failures", "occluded", "objects"), "separated": ("failures", "separated", "objects")}
CATEGORY = {
    **{metric: ("segm", metric) for metric in ("AP", "AP50", "AP75", "APs", "APm", "APl")},
    "box_AP": ("bbox", "AP"),
    "boundary_AP": ("boundary", "AP"),
}


def recall(found: Measured, edges: Mapping[str, Sequence[float]], columns: list[str]) -> list[Row]:
    """Recall and AP of a method on a split, over its runs, one row a bin of each measure of occlusion.

    Args:
        edges: of the measures.
        columns: that the table has: IN_BINS and their spread over seeds, if there is one.
    """
    rows: list[Row] = []
    for measure, names in bin_names(edges).items():
        for place, name in enumerate(names):
            bins = [] if found.missing else [_at(run, ("recall", measure, place)) or {} for run in found.runs]
            row: Row = dict.fromkeys(BIN) | {"measure": measure, **name}
            row |= {"objects": bins[0].get("objects") if bins else None, **dict.fromkeys(columns)}
            if bins and not found.boxes:
                for number in IN_BINS:
                    row |= percent(number, [each.get(number) for each in bins])
            reasons = dict.fromkeys(columns, BOXES if found.boxes else "no object in this bin")
            if bins and not found.boxes and row["objects"]:
                reasons |= one_run(columns, found.runs)
            if found.missing or not found.converted:
                reasons = dict.fromkeys(("objects", *columns), found.missing or NOT_CONVERTED)
            rows.append(row | {"why": why(row, list(reasons), reasons)})
    return rows


def benchmark(found: Measured, columns: list[str]) -> Row:
    """How a method copes with occlusion on a split: BENCHMARK and COUNTS, over its runs.

    Args:
        columns: that the table has.
    """
    row: Row = dict.fromkeys(columns)
    if found.missing or found.boxes:
        return row | {"why": why(row, columns, dict.fromkeys(columns, found.missing or BOXES))}
    for name, where in BENCHMARK.items():
        row |= percent(name, [_at(run, where) for run in found.runs])
    row |= {name: _at(found.runs[0], where) for name, where in COUNTS.items()}
    reasons = {column: _undefined(column.removesuffix("_std"), found) for column in columns}
    return row | {"why": why(row, columns, reasons | one_run(columns, found.runs))}


def _undefined(name: str, found: Measured) -> str:
    """Why a number of the benchmark is undefined."""
    if name == "ECE":
        return next((run["calibration"]["why"] for run in found.runs if run["calibration"]["why"]), NO_OBJECT)
    if name.startswith("invisible"):
        there = all(run["amodal"] is not None for run in found.runs)
        return "no object with an invisible part is found" if there else "the ground truth of the split is not amodal"
    if name.startswith("order"):
        return "no such pair is found" if all(run["order"] is not None for run in found.runs) else NO_ORDER
    about_occlusion = name == "leak" or "occlu" in name or name.startswith("AR_")
    if about_occlusion and not found.converted:
        return NOT_CONVERTED
    if name == "leak":
        return "no object that has an occluder is found"
    if name.endswith("_separated"):
        return "no separated object in the split"
    return "no such object in the split" if about_occlusion else NO_OBJECT


def categories(found: Measured, columns: list[str]) -> list[Row]:
    """AP of each category that has objects in a split, over a method's runs; one row if the metrics are missing.

    Args:
        columns: that the table has.
    """
    if found.missing:
        row: Row = dict.fromkeys(columns)
        return [row | {"category": None, "why": why(row, columns, dict.fromkeys(columns, found.missing))}]
    rows = []
    for each in zip(*(run["categories"] for run in found.runs), strict=True):
        row = dict.fromkeys(columns) | {"category": each[0]["name"], "objects": each[0]["objects"]}
        for name, where in CATEGORY.items():
            row |= percent(name, [_at(category, where) for category in each])
        undefined = "no object of this size"
        reasons = dict.fromkeys(columns, BOXES if found.boxes else undefined)
        reasons |= dict.fromkeys(("box_AP", "box_AP_std"), undefined) | one_run(columns, found.runs)
        rows.append(row | {"why": why(row, columns, reasons)})
    return rows


def _at(content: Any, where: Sequence[str | int]) -> Any:
    """What lies there; None where the way to it ends before."""
    for key in where:
        if content is None or (isinstance(content, dict) and key not in content):
            return None
        content = content[key]
    return content
