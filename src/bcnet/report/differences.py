"""How much better each method is than another, with an interval over the pictures, in percent."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.evaluation import detections
from bcnet.evaluation.occlusion_metrics import MATCHED
from bcnet.evaluation.resampling import Metric, resampled, run_of
from bcnet.evaluation.significance import difference, draw_images
from bcnet.files import InputError
from bcnet.params import Params
from bcnet.progress import in_threads
from bcnet.report.methods import Method, Row, evaluate_command, why

NUMBERS = ["difference", "std", "low", "high", "p", "seeds", "draws"]
PERCENT = ("difference", "std", "low", "high")
KEYS = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "cover_from", "cover_to"]
OBJECTS = ["image_id", "category_id", "area", "box_cover", *MATCHED]
Measured = Mapping[tuple[Method, str], Sequence[dict[str, Any]]]
Numbers = dict[Metric, np.ndarray]


def differences(params: Params, folder: Path, measured: Measured) -> list[Row]:
    """A row for each baseline, each other method, split and metric, and recall (AR) in each bin of `box_cover`.

    Args:
        params: whose `tables` names baselines, metrics and the number of draws.
        folder: the reports of the run's dataset.
        measured: of each method, on each split, the metrics of its runs.

    Returns:
        Rows of KEYS, NUMBERS, `why` and `provenance`; a number that is not there is None and has its reason in `why`.

    Raises:
        InputError: two methods were evaluated on different pictures, or a table of an evaluation is missing or none.
    """
    methods = list(dict.fromkeys(method for method, _ in measured))
    names = params.tables.compare_to or (methods[0].name,)
    baselines = [method for name in names for method in methods if method.name == name]
    return [
        row
        for split in params.splits
        for numbers in [_resampled(params, folder, split, measured)]
        for baseline in baselines
        for method in methods
        if method != baseline
        for row in _rows(split, baseline, method, numbers, measured)
    ]


def _resampled(params: Params, folder: Path, split: str, measured: Measured) -> dict[Method, Numbers]:
    """Of each method each metric, (runs, 1 + draws), on the same draws of the split's pictures."""
    runs = {
        folder / "metrics" / method.name / run / f"{split}.json": (method, metrics["provenance"])
        for (method, which), found in measured.items()
        if which == split
        for run, metrics in zip(method.runs, found, strict=True)
    }
    first, (_, expected) = next(iter(runs.items()))
    for path, (_, provenance) in runs.items():
        for key in ("images", "objects", "annotations_sha256"):
            if provenance.get(key) != expected.get(key):
                raise InputError(
                    f"{path}: provenance.{key}: {provenance.get(key)!r}: expected {expected.get(key)!r} as in {first}"
                )
    times = draw_images(expected["images"], params.tables.draws)
    numbers = in_threads(partial(_numbers, params, times, runs), list(runs), f"draws of {split}")
    by_method: dict[Method, list[Numbers]] = {}
    for (method, _), found in zip(runs.values(), numbers, strict=True):
        by_method.setdefault(method, []).append(found)
    return {method: {key: np.stack([each[key] for each in own]) for key in own[0]} for method, own in by_method.items()}


def _numbers(params: Params, times: np.ndarray, runs: dict[Path, tuple[Method, dict]], path: Path) -> Numbers:
    """The metrics of one run in each draw; NaN: not of masks, or undefined."""
    method, provenance = runs[path]
    metrics, edges = params.tables.metrics, params.evaluate.cover_bins
    if provenance["iou_type"] == "bbox":
        keys: list[Metric] = [(metric, None, None) for metric in metrics]
        keys += [("AR", low, high) for low, high in pairwise(edges)]
        return dict.fromkeys(keys, np.full(len(times), np.nan))
    command = evaluate_command(path, method, params.dataset)
    tables = []
    for table, columns, count in (
        (path.with_suffix(".detections.parquet"), detections.schema("segm").names, "images"),
        (path.with_suffix(".parquet"), OBJECTS, "objects"),
    ):
        if not table.exists():
            raise InputError(f"{table}: missing, `{command}` makes it")
        try:
            tables.append(pq.read_table(table, columns=columns))
        except pa.ArrowException as error:
            raise InputError(f"{table}: {str(error).splitlines()[0]}: expected what `{command}` makes") from error
        if tables[-1].num_rows != provenance[count]:
            raise InputError(f"{table}: {tables[-1].num_rows} rows: expected {provenance[count]}, as {path} says")
    return resampled(run_of(*tables), times, metrics, edges)


def _rows(
    split: str, baseline: Method, method: Method, numbers: dict[Method, Numbers], measured: Measured
) -> list[Row]:
    runs = [*measured[method, split], *measured[baseline, split]]
    provenance = orjson.dumps([run["provenance"] for run in runs]).decode()
    seeds = max(len(each.runs) for each in (baseline, method))
    origins = {each.origin for each in (baseline, method)}
    rows = []
    for metric, low, high in numbers[method]:
        found = difference(numbers[method][metric, low, high], numbers[baseline][metric, low, high])
        row: Row = {
            "origin": method.origin,
            "label": method.label,
            "baseline_origin": baseline.origin,
            "baseline": baseline.label,
            "split": split,
            "metric": metric,
            "cover_from": low,
            "cover_to": high,
            **dict.fromkeys(NUMBERS),
            "seeds": seeds if "measured here" in origins else None,
            "provenance": provenance,
        }
        if found:
            shares = {"difference": found.value, "std": found.std, "low": found.low, "high": found.high}
            row |= {key: 100 * share for key, share in shares.items() if share is not None}
            row |= {"p": found.p, "draws": found.draws}
        reasons = dict.fromkeys(NUMBERS, _undefined(low is not None, runs))
        reasons["seeds"] = "trained elsewhere" if "imported" in origins else "brought predictions do not say"
        reasons |= {"std": "one run"} if found else {}
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _undefined(in_a_bin: bool, runs: Sequence[dict[str, Any]]) -> str:
    """Why a metric of two methods is undefined."""
    if any(run["provenance"]["iou_type"] == "bbox" for run in runs):
        return "the predictions are boxes"
    if in_a_bin and any(run["recall"] is None for run in runs):
        return "the ground truth has no occlusion, `bcnet convert` adds it"
    return "no object in this bin" if in_a_bin else "no object of this size in the split"
