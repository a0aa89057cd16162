"""How sure each method's numbers are, in percent: a row a number that has an interval."""

from collections.abc import Mapping

from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT, LEAST
from bcnet.evaluation.metrics.occlusion.occlusion_bins import PRECISIONS, Metric, object_metrics, precision_metrics
from bcnet.evaluation.statistics.drawn import AP
from bcnet.evaluation.statistics.intervals import BOUNDS
from bcnet.evaluation.statistics.significance import Estimate, estimate
from bcnet.params import Params
from bcnet.params.results import BINNED
from bcnet.report.tables.comparison import BOXES
from bcnet.report.tables.draws import SplitDraws
from bcnet.report.tables.measured import Measured
from bcnet.report.tables.occlusion import NOT_CONVERTED
from bcnet.report.tables.rows import UNSAID, Method, Row, why

KEYS = ["metric", "measure", "from", "to", "occluder"]
NUMBERS = ["value", "std", "low", "high", "objects", "images", "seeds", "draws"]
PERCENT = ("value", "std", "low", "high")
COLUMNS = [*KEYS, *NUMBERS, "few", "why"]
DRAWN_BY_EVALUATE = "no object in this bin, or `bcnet evaluate` has drawn another number of draws: run it again"
TOO_FEW_OF_A_SIZE = f"a bin has fewer than {LEAST} objects of each of COCO's areas"


def metrics_of(params: Params) -> list[Metric]:
    """The numbers that have intervals, in the order of the rows."""
    coco = map(Metric, (*params.tables.metrics, AP["bbox"], AP["boundary"]))
    of_objects = object_metrics(params.evaluate.bins())
    at_equal_size = [metric._replace(metric=EQUAL_SIZE) for metric in of_objects if metric.measure]
    compared = [Metric(name, measure) for measure in BINNED for name in (GAP, EQUAL_SIZE_GAP, KEPT)]
    return [*coco, *of_objects, *precision_metrics(params.evaluate.bins()), *at_equal_size, *compared]


def estimates_of(draws: SplitDraws, method: Method) -> dict[Metric, Estimate]:
    """The estimates of a method's numbers on a split, over its runs; those that are undefined are left out."""
    numbers = draws.numbers.get(method, {})
    found = {
        metric: estimate(drawn.values, drawn.sample, *BOUNDS.get(metric.metric, (0.0, 1.0)))
        for metric, drawn in numbers.items()
    }
    return {metric: own for metric, own in found.items() if own}


def interval_rows(
    params: Params, method: Method, measurement: Measured, estimates: Mapping[Metric, Estimate], missing: str
) -> list[Row]:
    """The rows of a method on a split, of KEYS, NUMBERS, `few` and `why`.

    `few`: `yes` where the number is of fewer than `FEW` objects, or of objects in fewer images; else `no`.

    Args:
        params: whose metrics the rows are of.
        measurement: what was measured.
        estimates: of the numbers that are known.
        missing: what is missing of the metrics and the tables beside them.
    """
    rows = []
    for metric in metrics_of(params):
        row: Row = dict(zip(KEYS, metric, strict=True)) | dict.fromkeys(NUMBERS) | {"few": None}
        reasons = dict.fromkeys(NUMBERS, missing or _undefined(metric, measurement))
        if found := estimates.get(metric):
            shares = {"value": found.value, "std": found.std, "low": found.low, "high": found.high}
            row |= {key: None if share is None else 100 * share for key, share in shares.items()}
            row |= {"objects": found.sample.objects, "images": found.sample.images, "draws": found.draws}
            row |= {"few": "yes" if found.sample.few else "no"}
            reasons |= {"std": "one run"}
        if not missing and method.origin == "measured here":
            row["seeds"] = len(method.runs)
        elif not missing:
            reasons["seeds"] = UNSAID[method.origin]
        rows.append(row | {"why": why(row, NUMBERS, reasons)})
    return rows


def _undefined(metric: Metric, measurement: Measured) -> str:
    """Why a number is undefined."""
    if measurement.boxes and metric.metric != AP["bbox"]:
        return BOXES
    about_occlusion = metric.measure or metric.metric == "leak" or metric.metric.endswith("_occluded")
    if about_occlusion and not measurement.converted:
        return NOT_CONVERTED
    if metric.metric in (EQUAL_SIZE, EQUAL_SIZE_GAP, KEPT):
        return TOO_FEW_OF_A_SIZE
    if metric.metric in PRECISIONS and metric.measure:
        return DRAWN_BY_EVALUATE
    if metric.measure:
        return "no object in this bin"
    return "no object that has an occluder is found" if metric.metric == "leak" else "no such object in the split"
