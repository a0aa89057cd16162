"""How sure the numbers of one run are: intervals over the images."""

from collections.abc import Mapping, Sequence
from typing import Any

from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric, bin_names
from bcnet.evaluation.statistics.drawn import Drawn
from bcnet.evaluation.statistics.significance import estimate
from bcnet.params.results import BINNED

BOUNDS = {GAP: (-1.0, 1.0), EQUAL_SIZE_GAP: (-1.0, 1.0), KEPT: (0.0, 10.0)}  # of what does not go from 0 to 1


def intervals(drawn: Mapping[Metric, Drawn]) -> dict[str, list[float] | None]:
    """95 % intervals of a run's numbers, by a bootstrap over the images (docs/significance.md).

    Returns:
        By name (`name_of`) low and high; None where the number is undefined on the split or in all draws.
    """
    return {name_of(metric): interval(metric, number) for metric, number in drawn.items()}


def interval(metric: Metric, number: Drawn) -> list[float] | None:
    """95 % interval of one number; None where it is undefined on the split or in all draws."""
    found = estimate(number.values[None], number.sample, *BOUNDS.get(metric.metric, (0.0, 1.0)))
    return [found.low, found.high] if found else None


def equal_size(
    drawn: Mapping[Metric, Drawn], edges: Mapping[str, Sequence[float]], weights: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """Recall at equal size as the metrics have it.

    Args:
        drawn: of a run, with `equal_size.standardised`.
        edges: of the bins of measures of occlusion.
        weights: of the areas, by measure.

    Returns:
        By measure: `weights`, `AR` (a list, by bin), and of those with an order `gap`, `raw_gap` and `kept`; None where
        one is undefined.
    """
    numbers: dict[str, dict[str, Any]] = {}
    for measure, names in bin_names(edges).items():
        bins = [Metric(EQUAL_SIZE, measure, name.get("from"), name.get("to"), name.get("occluder")) for name in names]
        numbers[measure] = {"weights": weights[measure], "AR": [_value(drawn, metric) for metric in bins]}
        if measure in BINNED:
            compared = {"raw_gap": GAP, "gap": EQUAL_SIZE_GAP, "kept": KEPT}
            numbers[measure] |= {key: _value(drawn, Metric(name, measure)) for key, name in compared.items()}
    return numbers


def _value(drawn: Mapping[Metric, Drawn], metric: Metric) -> float | None:
    value = drawn[metric].values[0] if metric in drawn else float("nan")
    return None if value != value else float(value)


def name_of(metric: Metric) -> str:
    """Such as `AR box_cover 0.3-1`, `AR occluder same category` or `AR_gap box_cover`."""
    if metric.measure is None:
        return metric.metric
    if metric.low is None and metric.occluder is None:
        return f"{metric.metric} {metric.measure}"
    return f"{metric.metric} {metric.measure} {metric.occluder or f'{metric.low:g}-{metric.high:g}'}"
