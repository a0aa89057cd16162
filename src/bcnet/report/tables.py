"""The verb `compare`: the metrics of a run, and published numbers if asked for, as tables."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from bcnet.files import InputError, atomic_output, read_json
from bcnet.params import Params
from bcnet.params.models import DETECTORS
from bcnet.report import differences
from bcnet.report.methods import Method, Row, evaluate_command, methods, why

REFERENCE = Path("reference/results.yaml")
PUBLISHED_SPLIT = "test-dev"
RECALLS = ("AR", "AR50", "AR75")
METHOD = ("origin", "label", "detector", "backbone", "baseline_origin", "baseline")
KEYS = (*METHOD, "split", "metric", "cover_from", "cover_to", "why", "source", "provenance")
LONG = pa.schema(
    {
        "table": pa.string(),
        **{key: pa.float64() if key.startswith("cover") else pa.string() for key in KEYS},
        "column": pa.string(),
        "value": pa.float64(),
    }
)


def compare(params: Params, reports: Path, reference: Path = REFERENCE) -> None:
    """Write the run's tables into `reports/D/tables`, D its dataset: three as CSV, and `tables.parquet` of all of them.

    Values are percent, means over seeds with the sample standard deviation beside them; two decimals in the CSV files
    (`p` four), all of them in the Parquet file, which has one row a value, with the provenance as JSON. An empty number
    has its reason in `why`.

    Args:
        params: whose variants, seeds, imported models, brought predictions and splits the rows are of, in this order.
        reports: the folder of all datasets' reports.
        reference: the published numbers.

    Raises:
        InputError: metrics or the tables beside them are missing, are none, or those of two runs do not fit together.
    """
    folder = reports / params.dataset
    kinds = ("", "_std") if len(params.seeds) > 1 else ("",)
    percent = [f"{metric}{kind}" for metric in params.tables.metrics for kind in kinds] + ["box_AP"]
    numbers = ["seeds", *percent, "objects", "images", "iterations"]
    comparison: list[Row] = []
    recall: list[Row] = []
    measured: dict[tuple[Method, str], list[dict[str, Any]]] = {}
    for method in methods(params):
        for split in params.splits:
            paths = [folder / "metrics" / method.name / run / f"{split}.json" for run in method.runs]
            runs = [_read(path, method, params.dataset) for path in paths]
            _check_alike(paths, runs)
            measured[method, split] = runs
            detector, backbone = (runs[0]["provenance"].get(key) for key in ("detector", "backbone"))
            about = {
                "origin": method.origin,
                "label": method.label,
                "detector": method.detector or DETECTORS.get(detector),
                "backbone": method.backbone or backbone,
                "split": split,
                "source": ", ".join(path.relative_to(reports.parent).as_posix() for path in paths),
                "provenance": orjson.dumps([run["provenance"] for run in runs]).decode(),
            }
            comparison.append(about | _numbers(method, runs, params.tables.metrics, numbers))
            recall.extend(about | row for row in _recall(runs, params.evaluate.cover_bins))
    if params.tables.published:
        comparison.extend(_published(reference, params.tables.published, numbers))
    difference = differences.differences(params, folder, measured)
    long = [*_long("comparison", comparison, numbers), *_long("recall", recall, ["objects", *RECALLS])]
    long += _long("differences", difference, differences.NUMBERS)
    with (
        atomic_output(folder / "tables" / "comparison.csv") as comparison_file,
        atomic_output(folder / "tables" / "recall.csv") as recall_file,
        atomic_output(folder / "tables" / "differences.csv") as differences_file,
        atomic_output(folder / "tables" / "tables.parquet") as long_file,
    ):
        keys = ["origin", "label", "detector", "backbone", "split", *numbers, "why", "source"]
        _write_csv(comparison_file, comparison, keys, dict.fromkeys(percent, 2))
        keys = ["origin", "label", "split", "cover_from", "cover_to", "objects", *RECALLS, "why"]
        _write_csv(recall_file, recall, keys, dict.fromkeys(RECALLS, 2))
        keys = [*differences.KEYS, *differences.NUMBERS, "why"]
        _write_csv(differences_file, difference, keys, dict.fromkeys(differences.PERCENT, 2) | {"p": 4})
        pq.write_table(pa.Table.from_pylist(long, schema=LONG), long_file)


def _read(path: Path, method: Method, dataset: str) -> dict[str, Any]:
    """Metrics that `evaluate` wrote, of predictions of that origin."""
    command = evaluate_command(path, method, dataset)
    if not path.exists():
        raise InputError(f"{path}: missing, `{command}` makes it")
    metrics = read_json(path)
    if not isinstance(metrics, dict) or not metrics.keys() >= {"provenance", "segm", "bbox", "recall"}:
        raise InputError(f"{path}: expected metrics with provenance, segm, bbox and recall, `{command}` makes them")
    if (origin := metrics["provenance"]["origin"]) != method.origin:
        raise InputError(f"{path}: provenance.origin: {origin!r}: expected {method.origin!r}, `{command}` makes it")
    return metrics


def _check_alike(paths: list[Path], runs: list[dict[str, Any]]) -> None:
    """Seeds can be averaged when they were trained alike and evaluated on the same objects in the same bins."""
    for path, run in zip(paths[1:], runs[1:], strict=True):
        for key in ("objects", "images", "annotations_sha256", "train_on", "schedule", "iou_type"):
            mine, first = run["provenance"].get(key), runs[0]["provenance"].get(key)
            if mine != first:
                raise InputError(f"{path}: provenance.{key}: {mine!r}: expected {first!r} as in {paths[0]}")
        if _bins(run) != _bins(runs[0]):
            raise InputError(f"{path}: recall: bins {_bins(run)}: expected {_bins(runs[0])} as in {paths[0]}")


def _bins(run: dict[str, Any]) -> list[tuple[float, float]] | None:
    return run["recall"] and [(each["from"], each["to"]) for each in run["recall"]["box_cover"]]


def _numbers(method: Method, runs: list[dict[str, Any]], metrics: Iterable[str], columns: list[str]) -> Row:
    """The numbers of a method on a split, over its runs, and why those that are not there are not."""
    provenance = runs[0]["provenance"]
    row: Row = {
        "seeds": len(runs) if method.origin == "measured here" else None,
        "box_AP": _mean([run["bbox"]["AP"] for run in runs]),
        "objects": provenance["objects"],
        "images": provenance["images"],
        "iterations": provenance.get("schedule", {}).get("iterations"),
    }
    for metric in metrics:
        values = [run["segm"][metric] for run in runs]
        row |= {metric: _mean(values), f"{metric}_std": _std(values)}
    boxes = provenance["iou_type"] == "bbox"
    reasons = dict.fromkeys(columns, "the predictions are boxes" if boxes else "no object of this size in the split")
    unsaid = {"imported": "trained elsewhere", "brought": "brought predictions do not say"}
    reasons |= dict.fromkeys(("seeds", "iterations"), unsaid.get(method.origin, "not stated"))
    if len(runs) == 1:
        reasons |= {column: "one run" for column in columns if column.endswith("_std")}
    return row | {"why": why(row, columns, reasons)}


def _recall(runs: list[dict[str, Any]], edges: Iterable[float]) -> list[Row]:
    """Recall of a method on a split, one row a bin."""
    rows: list[Row] = []
    if runs[0]["recall"] is None:
        reasons = dict.fromkeys(("objects", *RECALLS), "the ground truth has no occlusion, `bcnet convert` adds it")
        for low, high in pairwise(edges):
            row: Row = {"cover_from": low, "cover_to": high, "objects": None, **dict.fromkeys(RECALLS)}
            rows.append(row | {"why": why(row, list(reasons), reasons)})
        return rows
    boxes = runs[0]["provenance"]["iou_type"] == "bbox"
    reasons = dict.fromkeys(RECALLS, "the predictions are boxes" if boxes else "no object in this bin")
    for bins in zip(*(run["recall"]["box_cover"] for run in runs), strict=True):
        row = {"cover_from": bins[0]["from"], "cover_to": bins[0]["to"], "objects": bins[0]["objects"]}
        row |= {name: None if boxes else _mean([each[name] for each in bins]) for name in RECALLS}
        rows.append(row | {"why": why(row, list(reasons), reasons)})
    return rows


def _published(path: Path, name: str, columns: list[str]) -> list[Row]:
    """The rows of a table of published numbers."""
    try:
        tables = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    legal = [key for key, table in tables.items() if isinstance(table, dict)]
    if name not in legal:
        raise InputError(f"{path}: no table {name!r} (params.yaml: tables.published), there are: {', '.join(legal)}")
    rows = []
    for entry in tables[name]["rows"]:
        values = {"AP": entry.get("AP")} | dict(
            zip(tables[name]["metric_order"], entry.get("values", ()), strict=False)
        )
        schedule = f", schedule {entry['schedule']}" if "schedule" in entry else ""
        row: Row = {
            "origin": "published",
            "label": entry["method"],
            "detector": entry["detector"],
            "backbone": entry["backbone"],
            "split": PUBLISHED_SPLIT,
            **{column: values.get(column) for column in columns},
            "source": f"{entry['source']} ({entry['sure']}{schedule})",
            "provenance": orjson.dumps(entry).decode(),
        }
        rows.append(row | {"why": why(row, columns, dict.fromkeys(columns, "published without this number"))})
    return rows


def _mean(shares: list[float | None]) -> float | None:
    """Mean in percent; None if one is undefined."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if len(known) == len(shares) else None


def _std(shares: list[float | None]) -> float | None:
    """Sample standard deviation in percent; None if one is undefined or there is only one."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.std(known, ddof=1)) if len(known) == len(shares) > 1 else None


def _write_csv(path: Path, rows: list[Row], columns: list[str], decimals: Mapping[str, int]) -> None:
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    for column, places in decimals.items():
        table[column] = [None if value is None else f"{value:.{places}f}" for value in table[column]]
    table.to_csv(path, index=False, lineterminator="\n")


def _long(table: str, rows: list[Row], columns: list[str]) -> list[Row]:
    """One row a value."""
    return [
        {"table": table, **{key: row.get(key) for key in KEYS}, "column": column, "value": row[column]}
        for row in rows
        for column in columns
    ]
