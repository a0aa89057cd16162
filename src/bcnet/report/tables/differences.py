"""How much better each method is than another, with an interval over the images, in percent."""

from collections.abc import Iterable, Mapping, Sequence

import orjson

from bcnet.evaluation.metrics.occlusion_bins import Metric, object_metrics
from bcnet.evaluation.statistics.drawn import AP
from bcnet.evaluation.statistics.samples import smaller
from bcnet.evaluation.statistics.significance import Estimate, difference
from bcnet.params import Params
from bcnet.report.tables.comparison import BOXES
from bcnet.report.tables.draws import SplitDraws
from bcnet.report.tables.measured import Measured, Measurements
from bcnet.report.tables.occlusion import NOT_CONVERTED
from bcnet.report.tables.rows import Method, Row, methods, why

NUMBERS = ["difference", "std", "low", "high", "p", "seeds", "draws"]
PERCENT = ("difference", "std", "low", "high")
KEYS = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "measure", "from", "to", "occluder"]
Pair = tuple[Method, Method]  # a baseline, and another method


def differences(
    params: Params, measurements: Measurements, draws: Mapping[str, SplitDraws], pairs: Iterable[Pair]
) -> dict[tuple[str, Pair], list[Row]]:
    """The rows of each pair on each split: one for each metric that has an interval.

    These are COCO's metrics asked for, AP of boxes and boundaries, and the means over objects: the share that is found
    of all, occluded and separated ones, leak, and recall (AR) in the bins of every measure of occlusion.

    Args:
        params: whose `tables` names metrics.
        measurements: the run's metrics.
        draws: of each split.
        pairs: of the run's methods.

    Returns:
        By split and pair rows of KEYS, NUMBERS, `why` and `provenance`; a number that is not there is None and has its
        reason in `why`.
    """
    pairs = list(pairs)
    return {
        (split, pair): _rows_of_pair(params, split, pair, draws[split], measurements)
        for split in params.splits
        for pair in pairs
    }


def baselines(params: Params) -> list[Pair]:
    """Each baseline that `tables` names, or the first method, and every other method."""
    all_methods = methods(params)
    names = params.tables.compare_to or (all_methods[0].name,)
    named = [method for name in names for method in all_methods if method.name == name]
    return [(baseline, method) for baseline in named for method in all_methods if method != baseline]


def _metrics(params: Params) -> list[Metric]:
    """What differences are of, in the order of the rows."""
    return [*map(Metric, (*params.tables.metrics, AP["bbox"], AP["boundary"])), *object_metrics(params.evaluate.bins())]


def _rows_of_pair(params: Params, split: str, pair: Pair, draws: SplitDraws, measurements: Measurements) -> list[Row]:
    """The rows of a baseline and another method."""
    baseline, method = pair
    of_both = measurements[method, split], measurements[baseline, split]
    lacking = " and ".join(draws.missing[member] for member in (method, baseline) if draws.missing[member])
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
            tested = _tested(draws, pair, metric)
            row |= _cells(tested)
            reasons = dict.fromkeys(NUMBERS, _undefined(metric, of_both)) | ({"std": "one run"} if tested else {})
            reasons["seeds"] = "trained elsewhere" if "imported" in origins else "brought predictions do not say"
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _tested(draws: SplitDraws, pair: Pair, metric: Metric) -> Estimate | None:
    """How a method differs from a baseline; None where the metric is undefined of one of them."""
    theirs, ours = (draws.numbers[member].get(metric) for member in pair)
    return difference(ours.values, theirs.values, smaller(ours.sample, theirs.sample)) if ours and theirs else None


def _cells(tested: Estimate | None) -> Row:
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
