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
from bcnet.report.measured import Found, Measured, missing_line
from bcnet.report.methods import Method, Row, evaluate_command, why

NUMBERS = ["difference", "std", "low", "high", "p", "seeds", "draws"]
PERCENT = ("difference", "std", "low", "high")
KEYS = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "cover_from", "cover_to"]
TABLES = {  # beside metrics: which columns of them are needed, and what they have a row of
    ".detections.parquet": (detections.schema("segm").names, "images"),
    ".parquet": (["image_id", "category_id", "area", "box_cover", *MATCHED], "objects"),
}
Numbers = dict[Metric, np.ndarray]


def differences(params: Params, found: Found) -> list[Row]:
    """A row for each baseline, each other method, split and metric, and recall (AR) in each bin of `box_cover`.

    Args:
        params: whose `tables` names baselines, metrics and the number of draws.
        found: the run's metrics.

    Returns:
        Rows of KEYS, NUMBERS, `why` and `provenance`; a number that is not there is None and has its reason in `why`.

    Raises:
        InputError: two methods were evaluated on different pictures, or a table of an evaluation is none.
    """
    methods = list(dict.fromkeys(method for method, _ in found))
    names = params.tables.compare_to or (methods[0].name,)
    baselines = [method for name in names for method in methods if method.name == name]
    rows = []
    for split in params.splits:
        missing = {method: _missing(params, method, found[method, split]) for method in methods}
        numbers = _resampled(params, {m: found[m, split] for m in methods if not missing[m]}, split)
        for baseline in baselines:
            for method in methods:
                if method != baseline:
                    rows += _rows(params, split, (baseline, method), numbers, found, missing)
    return rows


def _missing(params: Params, method: Method, measured: Measured) -> str:
    """What is missing of the metrics of a method on a split and the tables beside them; nothing: an empty string."""
    if measured.missing or measured.runs[0]["provenance"]["iou_type"] == "bbox":
        return measured.missing
    tables = {path.with_suffix(suffix): path for path in measured.paths for suffix in TABLES}
    return missing_line({table: path for table, path in tables.items() if not table.exists()}, method, params.dataset)


def _resampled(params: Params, there: Mapping[Method, Measured], split: str) -> dict[Method, Numbers]:
    """Of each method each metric, (runs, 1 + draws), on the same draws of the split's pictures."""
    runs = {
        path: (method, metrics["provenance"])
        for method, measured in there.items()
        for path, metrics in zip(measured.paths, measured.runs, strict=True)
    }
    if not runs:
        return {}
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


def _metrics(params: Params) -> list[Metric]:
    """Each metric, then recall in each bin, with its ends."""
    bins: list[Metric] = [("AR", low, high) for low, high in pairwise(params.evaluate.cover_bins)]
    return [*((metric, None, None) for metric in params.tables.metrics), *bins]


def _numbers(params: Params, times: np.ndarray, runs: dict[Path, tuple[Method, dict]], path: Path) -> Numbers:
    """The metrics of one run in each draw; NaN: not of masks, or undefined."""
    method, provenance = runs[path]
    if provenance["iou_type"] == "bbox":
        return dict.fromkeys(_metrics(params), np.full(len(times), np.nan))
    command = evaluate_command(path, method, params.dataset)
    tables = []
    for suffix, (columns, count) in TABLES.items():
        table = path.with_suffix(suffix)
        try:
            tables.append(pq.read_table(table, columns=columns))
        except pa.ArrowException as error:
            raise InputError(f"{table}: {str(error).splitlines()[0]}: expected what `{command}` makes") from error
        if tables[-1].num_rows != provenance[count]:
            raise InputError(f"{table}: {tables[-1].num_rows} rows: expected {provenance[count]}, as {path} says")
    return resampled(run_of(*tables), times, params.tables.metrics, params.evaluate.cover_bins)


def _rows(
    params: Params,
    split: str,
    pair: tuple[Method, Method],
    numbers: dict[Method, Numbers],
    found: Found,
    missing: Mapping[Method, str],
) -> list[Row]:
    """The rows of a baseline and another method."""
    baseline, method = pair
    runs = [*found[method, split].runs, *found[baseline, split].runs]
    lacking = " and ".join(missing[each] for each in (method, baseline) if missing[each])
    origins = {each.origin for each in pair}
    seeds = max(len(each.runs) for each in pair) if "measured here" in origins and not lacking else None
    rows = []
    for metric, low, high in _metrics(params):
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
            "seeds": seeds,
            "provenance": orjson.dumps([run["provenance"] for run in runs]).decode(),
        }
        if lacking:
            rows.append(row | {"why": why(row, NUMBERS, dict.fromkeys(NUMBERS, lacking))})
            continue
        tested = difference(numbers[method][metric, low, high], numbers[baseline][metric, low, high])
        if tested:
            shares = {"difference": tested.value, "std": tested.std, "low": tested.low, "high": tested.high}
            row |= {key: 100 * share for key, share in shares.items() if share is not None}
            row |= {"p": tested.p, "draws": tested.draws}
        reasons = dict.fromkeys(NUMBERS, _undefined(low is not None, runs))
        reasons["seeds"] = "trained elsewhere" if "imported" in origins else "brought predictions do not say"
        reasons |= {"std": "one run"} if tested else {}
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _undefined(in_a_bin: bool, runs: Sequence[dict[str, Any]]) -> str:
    """Why a metric of two methods is undefined."""
    if any(run["provenance"]["iou_type"] == "bbox" for run in runs):
        return "the predictions are boxes"
    if in_a_bin and any(run["recall"] is None for run in runs):
        return "the ground truth has no occlusion, `bcnet convert` adds it"
    return "no object in this bin" if in_a_bin else "no object of this size in the split"
