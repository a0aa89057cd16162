"""How much better each method is than another, with an interval over the pictures, in percent."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import orjson

from bcnet import layout
from bcnet.evaluation.matching import detection_table
from bcnet.evaluation.metrics import occlusion_bins
from bcnet.evaluation.metrics.occlusion_bins import Metric, object_metrics, object_numbers
from bcnet.evaluation.statistics.resampling import resampled, resampled_means, run_of
from bcnet.evaluation.statistics.significance import Difference, difference, draw_images
from bcnet.files import InputError
from bcnet.params import Params
from bcnet.params.results import BINNED
from bcnet.progress import in_threads
from bcnet.report.tables.comparison import BOXES
from bcnet.report.tables.measured import Measured, Measurements, missing_line, read_table_of
from bcnet.report.tables.occlusion import NOT_CONVERTED
from bcnet.report.tables.rows import Method, Row, evaluate_command, methods, why

NUMBERS = ["difference", "std", "low", "high", "p", "seeds", "draws"]
PERCENT = ("difference", "std", "low", "high")
KEYS = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "measure", "from", "to", "occluder"]
TABLES = {
    layout.detection_table: "images",
    layout.object_table: "objects",
}  # beside metrics; what they have a row of
OBJECTS = ["image_id", "category_id", "area", *BINNED, *occlusion_bins.COLUMNS]  # columns that are needed
OTHER_AP = {"box_AP": "bbox", "boundary_AP": "boundary"}  # what detections and objects are matched by
Numbers = dict[Metric, np.ndarray]
Pair = tuple[Method, Method]  # a baseline, and another method


def differences(params: Params, measurements: Measurements, pairs: Iterable[Pair]) -> dict[tuple[str, Pair], list[Row]]:
    """The rows of each pair on each split: one for each metric that has an interval.

    These are COCO's metrics asked for, AP of boxes and boundaries, and the means over objects: the share that is found
    of all, occluded and separated ones, leak, and recall (AR) in the bins of every measure of occlusion.

    Args:
        params: whose `tables` names metrics and the number of draws.
        measurements: the run's metrics.
        pairs: of the run's methods.

    Returns:
        By split and pair rows of KEYS, NUMBERS, `why` and `provenance`; a number that is not there is None and has its
        reason in `why`.

    Raises:
        InputError: two methods were evaluated on different pictures, or a table of an evaluation is none.
    """
    methods, pairs = list(dict.fromkeys(method for method, _ in measurements)), list(pairs)
    rows: dict[tuple[str, Pair], list[Row]] = {}
    for split in params.splits:
        missing = {method: _missing(params, method, measurements[method, split]) for method in methods}
        numbers = _resampled(params, {m: measurements[m, split] for m in methods if not missing[m]}, split)
        rows |= {(split, pair): _rows_of_pair(params, split, pair, numbers, measurements, missing) for pair in pairs}
    return rows


def baselines(params: Params) -> list[Pair]:
    """Each baseline that `tables` names, or the first method, and every other method."""
    all_methods = methods(params)
    names = params.tables.compare_to or (all_methods[0].name,)
    named = [method for name in names for method in all_methods if method.name == name]
    return [(baseline, method) for baseline in named for method in all_methods if method != baseline]


def _missing(params: Params, method: Method, measurement: Measured) -> str:
    """What is missing of the metrics of a method on a split and the tables beside them; nothing: an empty string."""
    if measurement.missing:
        return measurement.missing
    tables = {table_of(path): path for path in measurement.paths for table_of in TABLES}
    return missing_line({table: path for table, path in tables.items() if not table.exists()}, method, params.dataset)


def _resampled(params: Params, measurements: Mapping[Method, Measured], split: str) -> dict[Method, Numbers]:
    """Of each method each metric, (runs, 1 + draws), on the same draws of the split's pictures."""
    runs = {
        path: (method, metrics["provenance"])
        for method, measurement in measurements.items()
        for path, metrics in zip(measurement.paths, measurement.runs, strict=True)
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
    for (method, _), of_run in zip(runs.values(), numbers, strict=True):
        by_method.setdefault(method, []).append(of_run)
    return {
        method: {key: np.stack([of_run[key] for of_run in own]) for key in own[0]} for method, own in by_method.items()
    }


def _metrics(params: Params) -> list[Metric]:
    """What differences are of, in the order of the rows."""
    return [*map(Metric, (*params.tables.metrics, *OTHER_AP)), *object_metrics(params.evaluate.bins())]


def _numbers(params: Params, times: np.ndarray, runs: dict[Path, tuple[Method, dict]], path: Path) -> Numbers:
    """The metrics of one run in each draw; NaN: undefined, as all but `box_AP` for boxes."""
    method, provenance = runs[path]
    boxes = provenance["iou_type"] == "bbox"
    command = evaluate_command(path, method, params.dataset)
    of_detections = detection_table.schema(provenance["iou_type"], provenance.get("box_scores", False)).names
    tables = []
    for (table_of, count), columns in zip(TABLES.items(), (of_detections, OBJECTS), strict=True):
        table = table_of(path)
        tables.append(read_table_of(table, columns, command))
        if tables[-1].num_rows != provenance[count]:
            raise InputError(f"{table}: {tables[-1].num_rows} rows: expected {provenance[count]}, as {path} says")
    detections, objects = tables
    numbers = dict.fromkeys(_metrics(params), np.full(len(times), np.nan))
    for name, kind in OTHER_AP.items():
        if not boxes or kind == "bbox":
            numbers[Metric(name)] = resampled(run_of(detections, objects, kind), times, ("AP",))["AP"]
    if boxes:
        return numbers
    run = run_of(detections, objects)
    numbers |= {Metric(name): drawn for name, drawn in resampled(run, times, params.tables.metrics).items()}
    return numbers | resampled_means(run, times, object_numbers(objects, params.evaluate.bins()))


def _rows_of_pair(
    params: Params,
    split: str,
    pair: Pair,
    numbers: dict[Method, Numbers],
    measurements: Measurements,
    missing: Mapping[Method, str],
) -> list[Row]:
    """The rows of a baseline and another method."""
    baseline, method = pair
    of_both = measurements[method, split], measurements[baseline, split]
    lacking = " and ".join(missing[member] for member in (method, baseline) if missing[member])
    origins = {member.origin for member in pair}
    seeds = max(len(member.runs) for member in pair) if "measured here" in origins and not lacking else None
    about: Row = {
        "origin": method.origin,
        "label": method.label,
        "baseline_origin": baseline.origin,
        "baseline": baseline.label,
        "split": split,
        **dict.fromkeys(NUMBERS),
        "seeds": seeds,
        "provenance": orjson.dumps([run["provenance"] for measurement in of_both for run in measurement.runs]).decode(),
    }
    rows = []
    for metric in _metrics(params):
        row = about | dict(zip(KEYS[-len(metric) :], metric, strict=True))
        if lacking:
            reasons = dict.fromkeys(NUMBERS, lacking)
        else:
            tested = difference(numbers[method][metric], numbers[baseline][metric])
            row |= _cells(tested)
            reasons = dict.fromkeys(NUMBERS, _undefined(metric, of_both)) | ({"std": "one run"} if tested else {})
            reasons["seeds"] = "trained elsewhere" if "imported" in origins else "brought predictions do not say"
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _cells(tested: Difference | None) -> Row:
    """The numbers of a difference, in percent; none where it is undefined."""
    if tested is None:
        return {}
    shares = {"difference": tested.value, "std": tested.std, "low": tested.low, "high": tested.high}
    row: Row = {key: 100 * share for key, share in shares.items() if share is not None}
    return row | {"p": tested.p, "draws": tested.draws}


def _undefined(metric: Metric, of_both: Sequence[Measured]) -> str:
    """Why a metric of two methods is undefined."""
    name = metric.metric
    if any(measurement.boxes for measurement in of_both) and name != "box_AP":
        return BOXES
    if (metric.measure or name in ("found_occluded", "leak")) and not all(
        measurement.converted for measurement in of_both
    ):
        return NOT_CONVERTED
    if name == "leak":
        return "no object that has an occluder is found"
    if metric.measure:
        return "no object in this bin"
    return "no such object in the split" if name.startswith("found") else "no object of this size in the split"
