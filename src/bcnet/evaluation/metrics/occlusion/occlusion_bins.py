"""What is known of each object that is averaged over objects: how it fares, in bins of occlusion; leak."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.metrics.failures import NAMES

OCCLUDERS = ("none", "other category", "same category")  # what an object's main occluder is of
GROUPS = ("", "_occluded", "_separated")  # of objects, at the end of a number's name
FARES = tuple(f"{kind}{group}" for kind in NAMES for group in GROUPS)  # shares of objects that are found, missed ...
PRECISIONS = ("AP", "APn")  # of a bin
PRECISION_MEASURE = "box_cover"  # the measure in whose bins these have intervals: drawing takes time
COLUMNS = ["n_occluders", "same_category", "failure", "leak", "separated", *MATCHED]  # and the measures


class Metric(NamedTuple):
    """A number by name; of recall by occlusion the measure, and the ends of its bin or what the main occluder is of."""

    metric: str
    measure: str | None = None
    low: float | None = None
    high: float | None = None
    occluder: str | None = None


class Bins(NamedTuple):
    """The bins of a measure: of each `from` and `to`, or `occluder`; and (G,) in which each object is, -1: in none."""

    names: list[dict[str, Any]]
    place: np.ndarray


def bin_names(edges: Mapping[str, Sequence[float]]) -> dict[str, list[dict[str, Any]]]:
    """Of each measure's bins `from` and `to`, and of "occluder" the OCCLUDERS as `occluder`."""
    names = {measure: [{"from": low, "to": high} for low, high in pairwise(bins)] for measure, bins in edges.items()}
    return names | {"occluder": [{"occluder": name} for name in OCCLUDERS]}


def bins_of(table: pa.Table, edges: Mapping[str, Sequence[float]]) -> dict[str, Bins]:
    """The bins of each measure of occlusion, and "occluder": by the category of the main occluder.

    Args:
        table: of objects (`occlusion_metrics.object_table`); those that were not converted are in no bin.
        edges: of measures, rising from 0 to 1; a bin holds its lower edge, the last one also its upper.
    """
    names = bin_names(edges)
    if table["n_occluders"].null_count:
        return {measure: Bins(bins, np.full(table.num_rows, -1)) for measure, bins in names.items()}
    places = {measure: np.digitize(table[measure].to_numpy(), bins[1:-1]) for measure, bins in edges.items()}
    same = table["same_category"].to_numpy().astype(int)
    places["occluder"] = np.where(table["n_occluders"].to_numpy() > 0, 1 + same, 0)
    return {measure: Bins(bins, places[measure]) for measure, bins in names.items()}


def object_metrics(edges: Mapping[str, Sequence[float]]) -> list[Metric]:
    """The metrics that `object_numbers` gives, in its order."""
    bins = [
        Metric("AR", measure, name.get("from"), name.get("to"), name.get("occluder"))
        for measure, names in bin_names(edges).items()
        for name in names
    ]
    return [*map(Metric, FARES), Metric("leak"), *bins]


def precision_metrics(edges: Mapping[str, Sequence[float]]) -> list[Metric]:
    """AP in the bins of `PRECISION_MEASURE`, then APn."""
    names = bin_names(edges)[PRECISION_MEASURE]
    return [Metric(form, PRECISION_MEASURE, name["from"], name["to"]) for form in PRECISIONS for name in names]


def object_numbers(table: pa.Table, edges: Mapping[str, Sequence[float]]) -> dict[Metric, np.ndarray]:
    """What each object adds to the metrics that are means over objects.

    Args:
        table: of objects; of those evaluated with boxes `leak` is NaN.
        edges: as of `bins_of`.

    Returns:
        (G,) float64 for each, 0 to 1, NaN for objects that it is not about: whether it fares so (`failures`), of all,
        occluded and separated objects; `leak`; and of each bin AR, the share of IoU thresholds at which it is matched.
    """
    fate = table["failure"].to_numpy()
    occluded = pa.compute.fill_null(pa.compute.greater(table["n_occluders"], 0), False).to_numpy()
    groups = np.ones(len(fate), bool), occluded, table["separated"].to_numpy()
    fares = [np.where(inside, fate == kind, np.nan) for kind in range(len(NAMES)) for inside in groups]
    numbers = dict(zip(map(Metric, FARES), fares, strict=True))
    numbers[Metric("leak")] = table["leak"].to_numpy()
    matched = np.mean([table[name].to_numpy() for name in MATCHED], axis=0)
    bins = [place == index for names, place in bins_of(table, edges).values() for index in range(len(names))]
    recalls = [metric for metric in object_metrics(edges) if metric.measure]
    return numbers | {metric: np.where(inside, matched, np.nan) for metric, inside in zip(recalls, bins, strict=True)}
