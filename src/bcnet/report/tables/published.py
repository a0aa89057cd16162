"""Published numbers beside the measured ones that are to reproduce them, and whether they do."""

from pathlib import Path

import orjson

from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.params import Params
from bcnet.params.reference import PublishedRow, read_reference
from bcnet.report.tables.measured import Measured, Measurements, mean, std
from bcnet.report.tables.rows import UNSAID, Method, Row, methods, why

REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not run"
ABOUT = ["table", "detector", "backbone", "method", "metric"]
PUBLISHED = ["published", "certainty", "source", "schedule"]
MEASURED = ["value", "std", "seeds", "iterations"]
COMPARED = ["difference", "tolerance"]
NUMBERS = ["published", *MEASURED, *COMPARED]
COLUMNS = [*ABOUT, *PUBLISHED, "origin", "label", "split", *MEASURED, *COMPARED, "verdict", "why"]
FORMATS = dict.fromkeys(("published", "value", "std", "difference"), ".2f")


def published(params: Params, measurements: Measurements, reference: Path) -> list[Row]:
    """A row for each number of the tables in `tables.published` and each method that is to reproduce it.

    A number that no method is to reproduce has one row as well. All of COCO's metrics are in percent.

    Args:
        params: whose `tables` say what is to reproduce what, on which split, how closely.
        measurements: the run's metrics.
        reference: the published numbers.

    Returns:
        Rows of COLUMNS and `provenance`. `verdict`: `reproduced`, when the difference, rounded to two decimals as it is
        shown, is no larger than the tolerance; `not reproduced`; `not run`, without a measured number; None for a
        measured number beside one that was published but not found. An empty number has its reason in `why`.

    Raises:
        InputError: the file of published numbers is not readable, or lacks one of the tables.
    """
    reproducing: dict[tuple[str, str], list[Method | None]] = {}
    for method in methods(params):
        if wanted := params.tables.reproduces.get(method.name):
            reproducing.setdefault((wanted.table, wanted.row), []).append(method)
    return [
        _row(table, row, metric, method, params, measurements)
        for table, rows in read_reference(params.tables.published, reference).items()
        for row in rows
        for method in reproducing.get((table, row.name), [None])
        for metric in row.numbers
    ]


def _row(
    table: str, row: PublishedRow, metric: str, method: Method | None, params: Params, measurements: Measurements
) -> Row:
    number = row.numbers[metric]
    cells: Row = {
        "table": table,
        "metric": metric,
        **{key: getattr(row, key) for key in ("detector", "backbone", "method", "certainty", "source", "schedule")},
        "published": number,
        **dict.fromkeys(["origin", "label", "split", *MEASURED, *COMPARED, "provenance"]),
        "verdict": NOT_RUN,
    }
    reasons = {"published": "not found"}
    if method is None:
        reasons |= dict.fromkeys([*MEASURED, *COMPARED], "no method of this run is to reproduce it (tables.reproduces)")
        return cells | {"why": why(cells, NUMBERS, reasons)}
    split = params.tables.reproduces[method.name].split
    cells |= {"origin": method.origin, "label": method.label, "split": split}
    cells |= _measured(method, measurements[method, split], metric)
    reason = _unmeasured(measurements[method, split], metric)
    reasons |= dict.fromkeys([*MEASURED, *COMPARED], reason)
    if cells["value"] is not None:
        reasons |= dict.fromkeys(("seeds", "iterations"), UNSAID.get(method.origin, "not stated")) | {"std": "one run"}
        reasons |= {"difference": "nothing published to compare with"}
        reasons |= {"tolerance": reasons["difference"], "verdict": reasons["difference"]}
        cells["verdict"] = None
        if number is not None:
            difference = cells["value"] - number
            close = abs(round(difference, 2)) <= params.tables.tolerance
            cells |= {"difference": difference, "tolerance": params.tables.tolerance}
            cells["verdict"] = REPRODUCED if close else NOT_REPRODUCED
    return cells | {"why": why(cells, [*NUMBERS, "verdict"], reasons)}


def _measured(method: Method, measurement: Measured, metric: str) -> Row:
    shares = [run["segm"].get(metric) for run in measurement.runs]
    if not shares or mean(shares) is None:
        return {}
    return {
        "value": mean(shares),
        "std": std(shares),
        "seeds": len(shares) if method.origin == "measured here" else None,
        "iterations": measurement.runs[0]["provenance"].get("schedule", {}).get("iterations"),
        "provenance": orjson.dumps([run["provenance"] for run in measurement.runs]).decode(),
    }


def _unmeasured(measurement: Measured, metric: str) -> str:
    """Why a method has no value of a metric."""
    if measurement.missing:
        return measurement.missing
    if metric not in NAMES:
        return "`bcnet evaluate` does not measure it"
    boxes = measurement.runs[0]["provenance"]["iou_type"] == "bbox"
    return "the predictions are boxes" if boxes else "no object of this size in the split"
