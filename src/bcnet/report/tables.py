"""The verb `compare`: the metrics of a run, and published numbers if asked for, as tables."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.files import atomic_output, write_json
from bcnet.params import Params
from bcnet.params.models import DETECTORS
from bcnet.params.reference import REFERENCE
from bcnet.report import differences, published
from bcnet.report.measured import Measured, mean, measured, std
from bcnet.report.methods import Method, Row, why

RECALLS = ("AR", "AR50", "AR75")
ABOUT = ["origin", "label", "detector", "backbone", "split"]
TEXTS = [*ABOUT, "baseline_origin", "baseline", "published_table", "method", "metric", "certainty", "schedule"]
TEXTS += ["verdict", "why", "source", "provenance"]
LONG = pa.schema(
    {
        "table": pa.string(),
        **dict.fromkeys(TEXTS, pa.string()),
        **dict.fromkeys(("cover_from", "cover_to"), pa.float64()),
        "column": pa.string(),
        "value": pa.float64(),
    }
)


@dataclass(frozen=True)
class Table:
    """A table: its rows, the columns of its CSV file, which of them are numbers, and these numbers' decimals there."""

    rows: list[Row]
    columns: list[str]
    numbers: list[str]
    decimals: Mapping[str, int]


def compare(params: Params, reports: Path, reference: Path = REFERENCE) -> list[str]:
    """Write the run's tables into `reports/D/tables`, D its dataset: as CSV, and `tables.parquet` of all of them.

    Values are percent, means over seeds with the sample standard deviation beside them; two decimals in the CSV files
    (`p` four), all of them in the Parquet file, which has one row a value, with the provenance as JSON. An empty number
    has its reason in `why`, with the command that makes it where metrics are missing. `metrics/NAME/SPLIT.json`: the
    numbers of each method, for `dvc metrics`.

    Args:
        params: whose variants, seeds, imported models, brought predictions and splits the rows are of, in this order.
        reports: the folder of all datasets' reports.
        reference: the published numbers.

    Returns:
        What metrics are missing, a line for each method and split.

    Raises:
        InputError: no metrics are there; some, or the tables beside them, are none; or those of two runs do not fit.
    """
    folder = reports / params.dataset
    found = measured(params, folder)
    kinds = ("", "_std") if len(params.seeds) > 1 else ("",)
    percent = [f"{metric}{kind}" for metric in params.tables.metrics for kind in kinds] + ["box_AP"]
    numbers = ["seeds", *percent, "objects", "images", "iterations"]
    comparison: list[Row] = []
    recall: list[Row] = []
    scores: dict[Path, dict[str, float | None]] = {}
    for (method, split), each in found.items():
        about = _about(method, split, each, reports)
        row, bins = _numbers(method, each, params.tables.metrics, numbers), _recall(each, params.evaluate.cover_bins)
        comparison.append(about | row)
        recall.extend(about | bin for bin in bins)
        if each.runs:
            own: dict[str, float | None] = {str(metric): row[metric] for metric in params.tables.metrics}
            own |= {f"AR cover {bin['cover_from']:g}-{bin['cover_to']:g}": bin["AR"] for bin in bins}
            scores[folder / "tables" / "metrics" / method.name / f"{split}.json"] = own
    tables = {
        "comparison": Table(comparison, [*ABOUT, *numbers, "why", "source"], numbers, dict.fromkeys(percent, 2)),
        "recall": Table(
            recall,
            ["origin", "label", "split", "cover_from", "cover_to", "objects", *RECALLS, "why"],
            ["objects", *RECALLS],
            dict.fromkeys(RECALLS, 2),
        ),
        "differences": Table(
            differences.differences(params, found),
            [*differences.KEYS, *differences.NUMBERS, "why"],
            differences.NUMBERS,
            dict.fromkeys(differences.PERCENT, 2) | {"p": 4},
        ),
        "published": Table(
            published.published(params, found, reference), published.COLUMNS, published.NUMBERS, published.DECIMALS
        ),
    }
    with ExitStack() as files:
        for name, table in tables.items():
            _write_csv(files.enter_context(atomic_output(folder / "tables" / f"{name}.csv")), table)
        long = [row for name, table in tables.items() for row in _long(name, table)]
        parquet = files.enter_context(atomic_output(folder / "tables" / "tables.parquet"))
        pq.write_table(pa.Table.from_pylist(long, schema=LONG), parquet)
    _write_scores(folder / "tables" / "metrics", scores)
    return [each.missing for each in found.values() if each.missing]


def _about(method: Method, split: str, found: Measured, reports: Path) -> Row:
    """Whose a row is, and where its numbers come from; nothing of that where they are missing."""
    provenance = found.runs[0]["provenance"] if found.runs else {}
    return {
        "origin": method.origin,
        "label": method.label,
        "detector": method.detector or DETECTORS.get(provenance.get("detector", "")),
        "backbone": method.backbone or provenance.get("backbone"),
        "split": split,
        "source": ", ".join(path.relative_to(reports.parent).as_posix() for path in found.paths if found.runs),
        "provenance": orjson.dumps([run["provenance"] for run in found.runs]).decode(),
    }


def _numbers(method: Method, found: Measured, metrics: Iterable[str], columns: list[str]) -> Row:
    """The numbers of a method on a split, over its runs, and why those that are not there are not."""
    if found.missing:
        row: Row = dict.fromkeys(columns)
        return row | {"why": why(row, columns, dict.fromkeys(columns, found.missing))}
    runs = found.runs
    provenance = runs[0]["provenance"]
    row = {
        "seeds": len(runs) if method.origin == "measured here" else None,
        "box_AP": mean([run["bbox"]["AP"] for run in runs]),
        "objects": provenance["objects"],
        "images": provenance["images"],
        "iterations": provenance.get("schedule", {}).get("iterations"),
    }
    for metric in metrics:
        values = [run["segm"][metric] for run in runs]
        row |= {metric: mean(values), f"{metric}_std": std(values)}
    boxes = provenance["iou_type"] == "bbox"
    reasons = dict.fromkeys(columns, "the predictions are boxes" if boxes else "no object of this size in the split")
    unsaid = {"imported": "trained elsewhere", "brought": "brought predictions do not say"}
    reasons |= dict.fromkeys(("seeds", "iterations"), unsaid.get(method.origin, "not stated"))
    if len(runs) == 1:
        reasons |= {column: "one run" for column in columns if column.endswith("_std")}
    return row | {"why": why(row, columns, reasons)}


def _recall(found: Measured, edges: Iterable[float]) -> list[Row]:
    """Recall of a method on a split, one row a bin."""
    rows: list[Row] = []
    if found.missing or found.runs[0]["recall"] is None:
        reason = found.missing or "the ground truth has no occlusion, `bcnet convert` adds it"
        reasons = dict.fromkeys(("objects", *RECALLS), reason)
        for low, high in pairwise(edges):
            row: Row = {"cover_from": low, "cover_to": high, "objects": None, **dict.fromkeys(RECALLS)}
            rows.append(row | {"why": why(row, list(reasons), reasons)})
        return rows
    boxes = found.runs[0]["provenance"]["iou_type"] == "bbox"
    reasons = dict.fromkeys(RECALLS, "the predictions are boxes" if boxes else "no object in this bin")
    for bins in zip(*(run["recall"]["box_cover"] for run in found.runs), strict=True):
        row = {"cover_from": bins[0]["from"], "cover_to": bins[0]["to"], "objects": bins[0]["objects"]}
        row |= {name: None if boxes else mean([each[name] for each in bins]) for name in RECALLS}
        rows.append(row | {"why": why(row, list(reasons), reasons)})
    return rows


def _write_csv(path: Path, table: Table) -> None:
    content = pd.DataFrame(table.rows, columns=table.columns, dtype=object)
    for column, places in table.decimals.items():
        content[column] = [None if value is None else f"{value:.{places}f}" for value in content[column]]
    content.to_csv(path, index=False, lineterminator="\n")


def _long(name: str, table: Table) -> list[Row]:
    """One row a value."""
    rows = [row | ({"published_table": row["table"]} if "table" in row else {}) | {"table": name} for row in table.rows]
    return [
        {key: row.get(key) for key in LONG.names} | {"column": column, "value": row[column]}
        for row in rows
        for column in table.numbers
    ]


def _write_scores(folder: Path, scores: Mapping[Path, Mapping[str, float | None]]) -> None:
    """Each file's numbers, to two decimals; what else lies in the folder, of methods that are no longer run, goes."""
    for path in folder.rglob("*.json"):
        if path not in scores:
            path.unlink()
    for path, numbers in scores.items():
        rounded = {name: None if number is None else round(number, 2) for name, number in numbers.items()}
        write_json(path, rounded, indent=True)
