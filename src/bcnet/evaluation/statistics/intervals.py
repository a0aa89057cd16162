"""How sure the numbers of one run are: intervals over the pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.evaluation.metrics.occlusion_bins import Metric, object_numbers
from bcnet.evaluation.statistics.resampling import Run, resampled, resampled_means
from bcnet.evaluation.statistics.significance import CONFIDENCE, draw_images

AP = {"segm": "AP", "bbox": "box_AP", "boundary": "boundary_AP"}


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
        For the AP of each of `runs` ("AP", "box_AP", "boundary_AP") and each metric of `object_numbers` (as
        `name_of` calls it): low and high, 0 to 1; None where the number is undefined.
    """
    first = next(iter(runs.values()))
    times = draw_images(len(first.images), draws)
    numbers = {AP[kind]: resampled(run, times, ("AP",))["AP"] for kind, run in runs.items()}
    means = resampled_means(first, times, object_numbers(table, edges))
    numbers |= {name_of(metric): drawn for metric, drawn in means.items()}
    return {name: interval(drawn) for name, drawn in numbers.items()}


def interval(drawn: np.ndarray) -> list[float] | None:
    """95 % interval of a number, from the split and from draws of its images.

    The draws are shifted so that their mean is the number: AP of drawn images is higher than that of others, since the
    same image twice makes precision go up and down in larger steps, and interpolation takes the higher one.

    Args:
        drawn: (1 + draws,), the split's first (`significance.draw_images`); NaN: undefined.

    Returns:
        Low and high; None where the number is undefined on the split or in all draws.
    """
    value, draws = drawn[0], drawn[1:][~np.isnan(drawn[1:])]
    if np.isnan(value) or not len(draws):
        return None
    low, high = np.quantile(draws - draws.mean() + value, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return [float(max(0.0, low)), float(min(1.0, high))]


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
