"""Rows of the tables of how methods cope with occlusion, in percent; their definitions: docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from bcnet.evaluation.metrics.failures import FOUND, NAMES
from bcnet.evaluation.metrics.occlusion.occlusion_bins import bin_names
from bcnet.report.tables.comparison import BOXES, one_run, over_runs
from bcnet.report.tables.measured import Measured
from bcnet.report.tables.rows import Row, why

NOT_CONVERTED = "the ground truth has no occlusion, `bcnet convert` adds it"
NO_OBJECT = "no object in the split"
NO_ORDER = "no `depth` in the ground truth, or no `occluder` in the predictions"
IN_BINS = ("AR", "AR50", "AR75", "AP", "APn")
BIN = ("measure", "from", "to", "occluder")
FAILURES = tuple(name for name in NAMES if name != NAMES[FOUND])
TIDE = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN")
OCCLUDER_BINS = ("no_occluder", "other_category", "same_category")  # in the order of the metrics
BENCHMARK = {  # number -> where it is in the metrics
    "boundary_AP": ("boundary", "AP"),
    "found": ("failures", "all", "found"),
    "found_occluded": ("failures", "occluded", "found"),
    "found_separated": ("failures", "separated", "found"),
    "leak": ("leak", "rate"),
    **{f"AR_{name}": ("recall", "occluder", place, "AR") for place, name in enumerate(OCCLUDER_BINS)},
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
UNDEFINED = {  # start of a number's name -> key of the metrics, why that is not there, why the number is not
    "invisible": ("amodal", "the ground truth of the split is not amodal", "no object with an invisible part is found"),
    "order": ("order", NO_ORDER, "no such pair is found"),
    "leak": ("leak", NOT_CONVERTED, "no object that has an occluder is found"),
}
COUNTS = {  # objects that some of these numbers are means over
    "occluded": ("failures", "occluded", "objects"),
    "separated": ("failures", "separated", "objects"),
    "leak_objects": ("leak", "objects"),
    **{f"{name}_objects": ("recall", "occluder", place, "objects") for place, name in enumerate(OCCLUDER_BINS)},
}
COUNT_OF = {  # number -> its count
    "found_occluded": "occluded",
    "found_separated": "separated",
    "leak": "leak_objects",
    **{f"{kind}_occluded": "occluded" for kind in FAILURES},
    **{f"AR_{name}": f"{name}_objects" for name in OCCLUDER_BINS},
}
CATEGORY = {
    **{metric: ("segm", metric) for metric in ("AP", "AP50", "AP75", "APs", "APm", "APl")},
    "box_AP": ("bbox", "AP"),
    "boundary_AP": ("boundary", "AP"),
}


def recall(measurement: Measured, edges: Mapping[str, Sequence[float]], columns: list[str]) -> list[Row]:
    """Recall and AP of a method on a split, over its runs, one row a bin of each measure of occlusion.

    Args:
        edges: of the measures.
        columns: that the table has: IN_BINS and their spread over seeds, if there is one.
    """
    return [
        _bin_row(measurement, {"measure": measure, **name}, _bins(measurement, measure, place), columns)
        for measure, names in bin_names(edges).items()
        for place, name in enumerate(names)
    ]


def _bins(measurement: Measured, measure: str, place: int) -> list[Row]:
    """A bin in the metrics of each run; none where these are missing."""
    return [] if measurement.missing else [_at(run, ("recall", measure, place)) or {} for run in measurement.runs]


def _bin_row(measurement: Measured, name: Row, bins: list[Row], columns: list[str]) -> Row:
    """The row of a bin, given what it is called and its numbers in each run."""
    row: Row = dict.fromkeys(BIN) | name | {"objects": bins[0].get("objects") if bins else None}
    row |= dict.fromkeys(columns)
    if measurement.missing or not measurement.converted:
        reasons = dict.fromkeys(("objects", *columns), measurement.missing or NOT_CONVERTED)
    else:
        reasons = dict.fromkeys(columns, BOXES if measurement.boxes else "no object in this bin")
    if bins and not measurement.boxes:
        for number in IN_BINS:
            row |= over_runs(number, [numbers.get(number) for numbers in bins])
        if row["objects"]:
            reasons |= one_run(columns, measurement.runs)
    return row | {"why": why(row, list(reasons), reasons)}


def benchmark(measurement: Measured, columns: list[str]) -> Row:
    """How a method copes with occlusion on a split: BENCHMARK and COUNTS, over its runs.

    Args:
        columns: that the table has.
    """
    row: Row = dict.fromkeys(columns)
    if measurement.missing or measurement.boxes:
        return row | {"why": why(row, columns, dict.fromkeys(columns, measurement.missing or BOXES))}
    for name, where in BENCHMARK.items():
        row |= over_runs(name, [_at(run, where) for run in measurement.runs])
    row |= {name: _at(measurement.runs[0], where) for name, where in COUNTS.items()}
    reasons = {column: _undefined(column.removesuffix("_std"), measurement) for column in columns}
    return row | {"why": why(row, columns, reasons | one_run(columns, measurement.runs))}


def _undefined(name: str, measurement: Measured) -> str:
    """Why a number of the benchmark is undefined."""
    about_occlusion = name == "leak" or "occlu" in name or name.startswith("AR_")
    if name == "ECE":
        return next((run["calibration"]["why"] for run in measurement.runs if run["calibration"]["why"]), NO_OBJECT)
    if about_occlusion and not measurement.converted:
        return NOT_CONVERTED
    for start, reason in UNDEFINED.items():
        if name.startswith(start):
            key, absent, no_such = reason
            return no_such if all(run[key] is not None for run in measurement.runs) else absent
    if name.endswith("_separated"):
        return "no separated object in the split"
    return "no such object in the split" if about_occlusion else NO_OBJECT


def categories(measurement: Measured, columns: list[str]) -> list[Row]:
    """AP of each category that has objects in a split, over a method's runs; one row if the metrics are missing.

    Args:
        columns: that the table has.
    """
    if measurement.missing:
        row: Row = dict.fromkeys(columns)
        return [row | {"category": None, "why": why(row, columns, dict.fromkeys(columns, measurement.missing))}]
    rows = []
    for of_runs in zip(*(run["categories"] for run in measurement.runs), strict=True):
        row = dict.fromkeys(columns) | {"category": of_runs[0]["name"], "objects": of_runs[0]["objects"]}
        for name, where in CATEGORY.items():
            row |= over_runs(name, [_at(category, where) for category in of_runs])
        undefined = "no object of this size"
        reasons = dict.fromkeys(columns, BOXES if measurement.boxes else undefined)
        reasons |= dict.fromkeys(("box_AP", "box_AP_std"), undefined) | one_run(columns, measurement.runs)
        rows.append(row | {"why": why(row, columns, reasons)})
    return rows


def _at(content: Any, where: Sequence[str | int]) -> Any:
    """What lies there; None where the way to it ends before."""
    for key in where:
        if content is None or (isinstance(content, dict) and key not in content):
            return None
        content = content[key]
    return content
