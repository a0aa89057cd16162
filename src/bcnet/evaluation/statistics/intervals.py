"""How sure the numbers of one run are: intervals over the pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from bcnet.evaluation.metrics.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import AP, Drawn, drawn_numbers
from bcnet.evaluation.statistics.resampling import Run
from bcnet.evaluation.statistics.significance import draw_images, estimate


def intervals(
    runs: Mapping[str, Run], table: pa.Table, edges: Mapping[str, Sequence[float]], draws: int
) -> dict[str, list[float] | None]:
    """95 % intervals of the main numbers of a run, by a bootstrap over the images (docs/significance.md).

    Args:
        runs: by what detections and objects are matched by.
        table: of objects.
        edges: of the bins of measures of occlusion.
        draws: of the bootstrap.

    Returns:
        For the AP of each of `runs` ("AP", "box_AP", "boundary_AP") and, of masks, each metric of `object_numbers` (as
        `name_of` calls it): low and high, 0 to 1; None where the number is undefined.
    """
    first = next(iter(runs.values()))
    drawn = drawn_numbers(runs, table, edges, ("AP",), draw_images(len(first.images), draws))
    return {name_of(metric): interval(number) for metric, number in drawn.items()}


def interval(number: Drawn) -> list[float] | None:
    """95 % interval of a number from 0 to 1; None where it is undefined on the split or in all draws."""
    found = estimate(number.values[None], number.sample, 0.0, 1.0)
    return [found.low, found.high] if found else None


def name_of(metric: Metric) -> str:
    """Such as `AR box_cover 0.3-1` or `AR occluder same category`."""
    if metric.measure is None:
        return metric.metric
    place = metric.occluder or f"{metric.low:g}-{metric.high:g}"
    return f"{metric.metric} {metric.measure} {place}"


def summary(metrics: Mapping[str, Any]) -> str:
    """The numbers of metrics that have an interval, percent, a line each, such as `AP  31.5 [27.6, 36.4]`."""
    values = {AP[kind]: metrics[kind]["AP"] for kind in AP if metrics[kind]["AP"] is not None}
    failures, leak, recall = (metrics[key] or {} for key in ("failures", "leak", "recall"))
    for name, of in (("found", "all"), ("found_occluded", "occluded"), ("found_separated", "separated")):
        values[name] = (failures.get(of) or {}).get("found")
    values["leak"] = leak.get("rate")
    for measure, rows in recall.items():
        for row in rows:
            metric = Metric("AR", measure, row.get("from"), row.get("to"), row.get("occluder"))
            values[name_of(metric)] = row["AR"]
    lines = []
    for name, between in metrics["intervals"].items():
        if between and values.get(name) is not None:
            low, high = (100 * end for end in between)
            lines.append(f"{name:32} {100 * values[name]:5.1f} [{low:.1f}, {high:.1f}]")
    return "\n".join(lines)
