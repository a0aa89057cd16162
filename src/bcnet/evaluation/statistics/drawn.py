"""The numbers of a run that have intervals, on a split and on draws of its images."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.coco_matching import AREAS
from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, cells_of, standardised
from bcnet.evaluation.metrics.occlusion.occlusion_bins import (
    PRECISION_MEASURE,
    PRECISIONS,
    Metric,
    bins_of,
    object_numbers,
    precision_metrics,
)
from bcnet.evaluation.statistics.resampling import PRECISION, RECALL, Run, resampled_means, resampled_together
from bcnet.evaluation.statistics.samples import Sample, sample, smaller

Key = TypeVar("Key")
AP = {"segm": "AP", "bbox": "box_AP", "boundary": "boundary_AP"}  # what detections are matched by -> its AP


class Drawn(NamedTuple):
    """A number: (1 + draws,) `values`, the split's first, 0 to 1, NaN where undefined; and what it rests on."""

    values: np.ndarray
    sample: Sample


def drawn_numbers(
    runs: Mapping[str, Run],
    table: pa.Table,
    edges: Mapping[str, Sequence[float]],
    metrics: Iterable[str],
    times: np.ndarray,
    kept: Mapping[Metric, np.ndarray] = MappingProxyType({}),
) -> dict[Metric, Drawn]:
    """The numbers of a run that have intervals.

    Args:
        runs: by what detections and objects are matched by, at least one; that of masks, if there is any, is the first.
        table: of objects.
        edges: of the bins of measures of occlusion.
        metrics: of COCO's, of masks (`PRECISION`, `RECALL`).
        times: (1 + draws, I), as of `draw_images`.
        kept: values of any of them on the same draws, which are not computed again.

    Returns:
        Of masks `metrics`; AP of boxes and of boundaries, where `runs` has them; all of `object_numbers`, and recall at
        equal size with what it compares (`equal_size.standardised`), of masks if the predictions are masks, of boxes
        else. Of `kept`, `precision_metrics`, too, which only `evaluate` can compute.
    """
    numbers: dict[Metric, Drawn] = {}
    wanted = {
        kind: {name: Metric(name) for name in metrics} if kind == "segm" else {"AP": Metric(AP[kind])} for kind in runs
    }
    missing = {kind: [name for name, metric in own.items() if metric not in kept] for kind, own in wanted.items()}
    values = resampled_together(runs, times, missing)
    for kind, run in runs.items():
        for name, metric in wanted[kind].items():
            own = kept[metric] if metric in kept else values[kind][name]
            numbers[metric] = Drawn(own, sample_of_area(run, name))
    first = next(iter(runs.values()))
    means = drawn_means(first, object_numbers(table, edges), times, kept)
    precisions = {
        metric: Drawn(kept[metric], own)
        for metric, own in precision_samples(first, table, edges).items()
        if metric in kept
    }
    return numbers | means | precisions | _at_equal_size(first, means, table, edges, times)


def drawn_means(
    run: Run,
    numbers: Mapping[Key, np.ndarray],
    times: np.ndarray,
    kept: Mapping[Key, np.ndarray] = MappingProxyType({}),
) -> dict[Key, Drawn]:
    """Means over objects.

    Args:
        run: whose `object_image` says of which image each object is.
        numbers: (G,) each, NaN for objects that it is not about.
        times, kept: as of `drawn_numbers`.
    """
    missing = {key: own for key, own in numbers.items() if key not in kept}
    means = {**kept, **resampled_means(run, times, missing)}
    return {key: Drawn(means[key], sample_of_objects(run, ~np.isnan(own))) for key, own in numbers.items()}


def precision_samples(run: Run, table: pa.Table, edges: Mapping[str, Sequence[float]]) -> dict[Metric, Sample]:
    """What each of `precision_metrics` rests on."""
    names, place = bins_of(table, edges)[PRECISION_MEASURE]
    of_bins = [sample_by_category(run, place == where) for where in range(len(names))]
    return dict(zip(precision_metrics(edges), of_bins * len(PRECISIONS), strict=True))


def _at_equal_size(
    run: Run,
    raw: Mapping[Metric, Drawn],
    table: pa.Table,
    edges: Mapping[str, Sequence[float]],
    times: np.ndarray,
) -> dict[Metric, Drawn]:
    weights, own = cells_of(table, edges)
    recall = {metric: drawn.values for metric, drawn in raw.items()}
    numbers = standardised(weights, resampled_means(run, times, own), recall, edges)
    return {metric: Drawn(values, _of_bins(metric, raw)) for metric, values in numbers.items()}


def _of_bins(metric: Metric, raw: Mapping[Metric, Drawn]) -> Sample:
    """What a number of recall at equal size rests on: its bin, or of the two bins that it compares the smaller."""
    if metric.metric == EQUAL_SIZE:
        return raw[metric._replace(metric="AR")].sample
    bins = [drawn.sample for other, drawn in raw.items() if other.measure == metric.measure]
    return smaller(bins[0], bins[-1])


def sample_of_objects(run: Run, about: np.ndarray) -> Sample:
    """What a mean over the objects that `about` (G,) chooses rests on."""
    image = run.object_image[about]
    return sample(image, np.zeros_like(image), len(run.images))


def sample_of_area(run: Run, metric: str) -> Sample:
    """What one of COCO's numbers, a mean over categories, rests on."""
    low, high = AREAS[(PRECISION | RECALL)[metric][0]]
    return sample_by_category(run, (run.area >= low) & (run.area <= high))


def sample_by_category(run: Run, about: np.ndarray) -> Sample:
    """What a mean over the categories of the objects that `about` (G,) chooses rests on."""
    return sample(run.object_image[about], run.object_category[about], len(run.images))
