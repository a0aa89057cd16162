"""How much better each method is than another, with an interval over the images, in percent."""

from collections.abc import Iterable, Mapping, Sequence

import orjson

from bcnet.evaluation.metrics.failures import FOUND, NAMES
from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE_GAP
from bcnet.evaluation.metrics.occlusion.occlusion_bins import FARES, Metric, object_metrics
from bcnet.evaluation.statistics.drawn import AP
from bcnet.evaluation.statistics.samples import FEW, smaller
from bcnet.evaluation.statistics.significance import CONFIDENCE, Estimate, corrected, estimate
from bcnet.params import Params
from bcnet.params.results import BINNED
from bcnet.report.tables.comparison import BOXES
from bcnet.report.tables.draws import LEAK_OF_BOTH, SplitDraws
from bcnet.report.tables.intervals import TOO_FEW_OF_A_SIZE
from bcnet.report.tables.measured import Measured, Measurements
from bcnet.report.tables.occlusion import NOT_CONVERTED
from bcnet.report.tables.rows import UNSAID, Method, Row, compared_to, methods, why

NUMBERS = ["difference", "std", "low", "high", "p", "p_corrected", "objects", "seeds", "draws"]
PERCENT = ("difference", "std", "low", "high")
P = ("p", "p_corrected")
KEYS = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "measure", "from", "to", "occluder"]
FAILURES = {name for name in FARES if not name.startswith(NAMES[FOUND])}  # they would be many comparisons more
HIGHER, LOWER, NOT_CLEAR, FEW_OBJECTS = "higher", "lower", "not clear", "few objects"  # verdicts
Pair = tuple[Method, Method]  # a baseline, and another method


def differences(
    params: Params, measurements: Measurements, draws: Mapping[str, SplitDraws], pairs: Iterable[Pair]
) -> dict[tuple[str, Pair], list[Row]]:
    """The rows of each pair on each split: one for each metric that has an interval, but for the kinds of failure.

    These are COCO's metrics asked for, AP of boxes and boundaries, and the means over objects: the share that is found
    of all, occluded and separated ones, leak, also of the objects that both find, recall (AR) in the bins of every
    measure of occlusion, and the gap in recall at equal size between the last bin and the first.

    Args:
        params: whose `tables` names metrics.
        measurements: the run's metrics.
        draws: of each split.
        pairs: of the run's methods.

    Returns:
        By split and pair rows of KEYS, NUMBERS, `why` and `provenance`; a number that is not there is None and has its
        reason in `why`. `objects`: the fewest that either number rests on. `with_verdicts` completes a table of rows.
    """
    pairs = list(pairs)
    return {
        (split, pair): _rows_of_pair(params, split, pair, draws[split], measurements)
        for split in params.splits
        for pair in pairs
    }


def baselines(params: Params) -> list[Pair]:
    """Each baseline that `tables` names, or the first method, and every other method."""
    return [(baseline, method) for baseline in compared_to(params) for method in methods(params) if method != baseline]


def _metrics(params: Params) -> list[Metric]:
    """What differences are of, in the order of the rows."""
    of_objects = [metric for metric in object_metrics(params.evaluate.bins()) if metric.metric not in FAILURES]
    after = of_objects.index(Metric("leak")) + 1
    coco = map(Metric, (*params.tables.metrics, AP["bbox"], AP["boundary"]))
    gaps = [Metric(EQUAL_SIZE_GAP, measure) for measure in BINNED]
    return [*coco, *of_objects[:after], Metric(LEAK_OF_BOTH), *of_objects[after:], *gaps]


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
            reasons["seeds"] = UNSAID["imported" if "imported" in origins else "brought"]
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _tested(draws: SplitDraws, pair: Pair, metric: Metric) -> Estimate | None:
    """How a method differs from a baseline; None where the metric is undefined of one of them."""
    if metric.metric == LEAK_OF_BOTH:
        baseline, method = pair
        between = draws.leak_of_both(method, baseline)
        return estimate(between.values, between.sample, -1.0, 1.0) if between else None
    if metric.metric != AP["bbox"] and any(member not in draws.leak for member in pair):
        return None  # recall of boxes is not recall of masks
    theirs, ours = (draws.numbers[member].get(metric) for member in pair)
    if not ours or not theirs:
        return None
    most = 2.0 if metric.metric == EQUAL_SIZE_GAP else 1.0  # a gap goes from -1 to 1
    return estimate(ours.values - theirs.values, smaller(ours.sample, theirs.sample), -most, most)


def _cells(tested: Estimate | None) -> Row:
    """The numbers of a difference, in percent; none where it is undefined."""
    if tested is None:
        return {}
    shares = {"difference": tested.value, "std": tested.std, "low": tested.low, "high": tested.high}
    row: Row = {key: 100 * share for key, share in shares.items() if share is not None}
    counts = {"objects": tested.sample.objects, "images": tested.sample.images, "draws": tested.draws}
    return row | {"p": tested.p, "p_corrected": tested.p, **counts}


def with_verdicts(rows: Iterable[Row]) -> list[Row]:
    """Rows of a table with `p_corrected`, corrected for how many p the table has, and `verdict`.

    `higher` or `lower`: the corrected p is at most .05; `few objects`: fewer objects, or images with such, than `FEW`,
    whatever p; else `not clear`. None without a difference.
    """
    rows = list(rows)
    tested = [place for place, row in enumerate(rows) if row["p"] is not None]
    p = dict(zip(tested, corrected([rows[place]["p"] for place in tested]), strict=True))
    completed = []
    for place, row in enumerate(rows):
        verdict = None
        if place in p:
            row = row | {"p_corrected": p[place]}
            verdict = _verdict(row)
        completed.append(row | {"verdict": verdict})
    return completed


def _verdict(row: Row) -> str:
    if min(row["objects"], row["images"]) < FEW:
        return FEW_OBJECTS
    if row["p_corrected"] > 1 - CONFIDENCE:
        return NOT_CLEAR
    return HIGHER if row["difference"] > 0 else LOWER


def _undefined(metric: Metric, of_both: Sequence[Measured]) -> str:
    """Why a metric of two methods is undefined."""
    name = metric.metric
    if any(measurement.boxes for measurement in of_both) and name != "box_AP":
        return BOXES
    if (metric.measure or name in ("found_occluded", "leak", LEAK_OF_BOTH)) and not all(
        measurement.converted for measurement in of_both
    ):
        return NOT_CONVERTED
    if name == LEAK_OF_BOTH:
        return "no object that has an occluder is found by both"
    if name == "leak":
        return "no object that has an occluder is found"
    if name == EQUAL_SIZE_GAP:
        return TOO_FEW_OF_A_SIZE
    if metric.measure:
        return "no object in this bin"
    return "no such object in the split" if name.startswith("found") else "no object of this size in the split"
