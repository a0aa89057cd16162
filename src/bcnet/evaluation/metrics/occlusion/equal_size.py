"""Recall by occlusion at equal size: what is left of a difference between bins when their objects are as large."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.coco_matching import AREAS
from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric, bin_names, bins_of
from bcnet.params.results import BINNED

LEAST = 10  # objects of an area that each bin must have for the area to count
EQUAL_SIZE = "AR_equal_size"  # in a bin
GAP, EQUAL_SIZE_GAP, KEPT = "AR_gap", "AR_equal_size_gap", "AR_kept"  # of a measure: its last bin against its first
Cell = tuple[str, int, str]  # a measure, a bin of it, an area


def common_weights(area: np.ndarray, place: np.ndarray, bins: int) -> dict[str, float]:
    """COCO's areas that count in all bins of a measure, each with its share of their objects.

    An area counts if each bin that has objects has `LEAST` of it, so that no bin is judged by a few.

    Args:
        area: (G,) of the objects, pixels.
        place: (G,) the bin of each, -1: in none.
        bins: how many there are.

    Returns:
        Weights that add up to 1; nothing where no area counts. Source: direct standardisation, such as in Rothman,
        Greenland and Lash, Modern Epidemiology, 2008, chapter 3.
    """
    sizes = {name: (area >= low) & (area <= high) for name, (low, high) in AREAS.items() if name != "all"}
    known = [index for index in range(bins) if (place == index).any()]
    counts = {
        name: int((inside & (place >= 0)).sum())
        for name, inside in sizes.items()
        if known and all((inside & (place == index)).sum() >= LEAST for index in known)
    }
    return {name: count / sum(counts.values()) for name, count in counts.items()}


def cells_of(table: pa.Table, edges: Mapping[str, Sequence[float]]) -> tuple[dict[str, dict[str, float]], dict]:
    """The weights of each measure, and what each object adds to recall in each bin and area.

    Args:
        table: of objects.
        edges: of the bins of measures of occlusion.

    Returns:
        Weights by measure; and by Cell (G,) float64, the share of IoU thresholds at which an object is matched, NaN for
        objects of other cells. A bin without objects has no cells.
    """
    matched = np.mean([table[name].to_numpy() for name in MATCHED], axis=0)
    area = table["area"].to_numpy()
    weights: dict[str, dict[str, float]] = {}
    numbers: dict[Cell, np.ndarray] = {}
    for measure, (names, place) in bins_of(table, edges).items():
        weights[measure] = common_weights(area, place, len(names))
        for index in range(len(names)):
            for name in weights[measure]:
                low, high = AREAS[name]
                inside = (place == index) & (area >= low) & (area <= high)
                if inside.any():
                    numbers[measure, index, name] = np.where(inside, matched, np.nan)
    return weights, numbers


def standardised(
    weights: Mapping[str, Mapping[str, float]],
    means: Mapping[Cell, np.ndarray],
    raw: Mapping[Metric, np.ndarray],
    edges: Mapping[str, Sequence[float]],
) -> dict[Metric, np.ndarray]:
    """Recall at equal size, and how the last bin of a measure compares with its first.

    Args:
        weights: of the areas, by measure.
        means: (N,) of each cell, on N choices of images.
        raw: (N,) AR in each bin.
        edges: of the bins of measures of occlusion.

    Returns:
        (N,) each: EQUAL_SIZE of each bin; of each measure that has an order GAP and EQUAL_SIZE_GAP, the last bin's
        recall minus the first's, raw and at equal size, and KEPT, the share of the first's that the last's is, at equal
        size. What is undefined is left out.
    """
    numbers: dict[Metric, np.ndarray] = {}
    for measure, names in bin_names(edges).items():
        bins = [Metric("AR", measure, name.get("from"), name.get("to"), name.get("occluder")) for name in names]
        if measure in BINNED and len(bins) > 1:
            numbers[Metric(GAP, measure)] = raw[bins[-1]] - raw[bins[0]]
        own = weights[measure]
        equal = {
            index: np.sum([weight * means[measure, index, area] for area, weight in own.items()], axis=0)
            for index in range(len(bins))
            if own and (measure, index, next(iter(own))) in means
        }
        numbers |= {bins[index]._replace(metric=EQUAL_SIZE): values for index, values in equal.items()}
        if measure in BINNED and len(bins) > 1 and {0, len(bins) - 1} <= equal.keys():
            first, last = equal[0], equal[len(bins) - 1]
            numbers[Metric(EQUAL_SIZE_GAP, measure)] = last - first
            numbers[Metric(KEPT, measure)] = np.divide(last, first, out=np.full(len(last), np.nan), where=first > 0)
    return numbers
