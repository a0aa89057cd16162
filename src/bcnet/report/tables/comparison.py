"""Rows of the main table: COCO's numbers of each method on each split, in percent."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.significance import Estimate
from bcnet.params.variants import DETECTORS
from bcnet.report.tables.measured import Measured, mean, std
from bcnet.report.tables.rows import UNSAID, Method, Row, why

BOXES = "the predictions are boxes"
ABOUT = ["origin", "label", "detector", "backbone", "split"]


def about(method: Method, split: str, measurement: Measured, reports: Path) -> Row:
    """Whose a row is (ABOUT), and where its numbers come from; nothing of that where they are missing."""
    provenance = measurement.runs[0]["provenance"] if measurement.runs else {}
    return {
        "origin": method.origin,
        "label": method.label,
        "detector": method.detector or DETECTORS.get(provenance.get("detector", "")),
        "backbone": method.backbone or provenance.get("backbone"),
        "split": split,
        "source": ", ".join(
            path.relative_to(reports.parent).as_posix() for path in measurement.paths if measurement.runs
        ),
        "provenance": orjson.dumps([run["provenance"] for run in measurement.runs]).decode(),
    }


def with_spread(names: Iterable[str], seeds: int, intervals: bool = False) -> list[str]:
    """The columns of these numbers, those of their spread where there are several seeds, and of their intervals."""
    endings = ["", *(["_std"] if seeds > 1 else []), *(["_low", "_high"] if intervals else [])]
    return [f"{name}{ending}" for name in names for ending in endings]


def over_runs(name: str, shares: Sequence[float | None]) -> Row:
    """The cells of a number, 0 to 1, over runs."""
    return {name: mean(shares), f"{name}_std": std(shares)}


def one_run(columns: Iterable[str], runs: Sequence[object]) -> dict[str, str]:
    """Why columns of spread are empty."""
    return {column: "one run" for column in columns if column.endswith("_std") and len(runs) == 1}


def comparison(
    method: Method,
    measurement: Measured,
    metrics: Iterable[str],
    columns: list[str],
    estimates: Mapping[Metric, Estimate],
    missing: str,
) -> Row:
    """The numbers of a method on a split, over its runs, and why those that are not there are not.

    Args:
        method, measurement: whose, and what was measured.
        metrics: of COCO's, of masks.
        columns: that the table has.
        estimates: of the method's numbers; none without the tables beside the metrics.
        missing: why there are none.
    """
    if measurement.missing:
        row: Row = dict.fromkeys(columns)
        return row | {"why": why(row, columns, dict.fromkeys(columns, measurement.missing))}
    runs = measurement.runs
    provenance = runs[0]["provenance"]
    row = {
        "seeds": len(runs) if method.origin == "measured here" else None,
        **over_runs("box_AP", [run["bbox"]["AP"] for run in runs]),
        "objects": provenance["objects"],
        "images": provenance["images"],
        "iterations": provenance.get("schedule", {}).get("iterations"),
    }
    for metric in metrics:
        row |= over_runs(metric, [run["segm"][metric] for run in runs])
    for name in (*metrics, "box_AP"):
        found = estimates.get(Metric(name))
        row |= {f"{name}_low": 100 * found.low if found else None, f"{name}_high": 100 * found.high if found else None}
    undefined = "no object of this size in the split"
    reasons = dict.fromkeys(columns, BOXES if measurement.boxes else undefined) | {"box_AP": undefined}
    reasons |= dict.fromkeys(("seeds", "iterations"), UNSAID.get(method.origin, "not stated"))
    reasons |= dict.fromkeys(("box_AP_std", "box_AP_low", "box_AP_high"), undefined) | one_run(columns, runs)
    if missing:
        reasons |= {column: missing for column in columns if column.endswith(("_low", "_high"))}
    return row | {"why": why(row, columns, reasons)}
