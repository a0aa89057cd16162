"""COCO's numbers of any choice of a split's images, from the tables that `evaluate` writes, compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from bcnet.compiled import njit
from bcnet.evaluation.matching.arrays import coco_order, rank
from bcnet.evaluation.matching.coco_matching import ALL_THRESHOLDS, AREAS, BITS, IOU_THRESHOLDS
from bcnet.evaluation.matching.detection_table import flag, ranking
from bcnet.evaluation.statistics.interpolation import RECALLS, interpolate

PRECISION = {  # metric -> area of objects, IoU thresholds
    "AP": ("all", IOU_THRESHOLDS),
    "AP50": ("all", IOU_THRESHOLDS[:1]),
    "AP75": ("all", IOU_THRESHOLDS[5:6]),
    "APs": ("small", IOU_THRESHOLDS),
    "APm": ("medium", IOU_THRESHOLDS),
    "APl": ("large", IOU_THRESHOLDS),
}
RECALL = {  # metric -> area of objects, detections of a category in an image
    "AR1": ("all", 1),
    "AR10": ("all", 10),
    "AR100": ("all", 100),
    "ARs": ("small", 100),
    "ARm": ("medium", 100),
    "ARl": ("large", 100),
}

Key = TypeVar("Key")


@dataclass(frozen=True)
class Run:
    """One run's detections and objects on a split of I images with C categories that have objects.

    `images`: (I,) ids, rising. Of detections, by category, then falling score, then image, as COCO sorts them: `image`
    (place in `images`), `category` (0 to C - 1), `rank` (0 for the best of its category in its image), and of each area
    `matched` and `ignored` as in the table of detections. Of objects: `object_image`, `object_category`, `area`.
    """

    images: np.ndarray
    image: np.ndarray
    category: np.ndarray
    rank: np.ndarray
    matched: dict[str, np.ndarray]
    ignored: dict[str, np.ndarray]
    object_image: np.ndarray
    object_category: np.ndarray
    area: np.ndarray


def run_of(detections: pa.Table, objects: pa.Table, kind: str = "segm") -> Run:
    """The two tables of an evaluation (`detections.detection_table`, `occlusion_metrics.object_table`) as a run.

    Detections of categories that no image has objects of are left out: COCO's means leave them out.

    Args:
        kind: what detections and objects are matched by: "segm", "bbox" or "boundary".
    """
    images = detections["image_id"].to_numpy()
    column = {name: detections[name].combine_chunks().flatten().to_numpy() for name in detections.column_names[1:]}
    of, by = ranking(kind, detections.column_names)
    image = np.repeat(np.arange(len(images)), detections[by].combine_chunks().value_lengths().to_numpy())
    categories, object_category = np.unique(objects["category_id"].to_numpy(), return_inverse=True)
    order, category = coco_order(image, column[of], column[by], categories)
    return Run(
        images=images,
        image=image[order],
        category=category,
        rank=rank(image, column[of])[order],
        matched={area: column[flag(kind, "matched", area)][order] for area in AREAS},
        ignored={area: column[flag(kind, "ignored", area)][order] for area in AREAS},
        object_image=np.searchsorted(images, objects["image_id"].to_numpy()),
        object_category=object_category,
        area=objects["area"].to_numpy(),
    )


def resampled(run: Run, times: np.ndarray, metrics: Iterable[str]) -> dict[str, np.ndarray]:
    """COCO's numbers of a run, if each image were in the split so many times.

    Copies of an image stand beside each other. Copies of a detection do so too, which differs from copies of the image
    only where two detections of an image and category have the same score, whose order says nothing.

    Args:
        run: of I images.
        times: (N, I) uint16; N choices of images, how often each has each image.
        metrics: keys of PRECISION or RECALL.

    Returns:
        For each metric (N,) float64, 0 to 1; NaN: no object of this size. Source of the numbers: cocoapi, cocoeval.py,
        `accumulate`.
    """
    weights = times.astype(np.float32)  # sums of whole numbers, exact below 2^24
    numbers: dict[str, np.ndarray] = {}
    precisions: dict[str, np.ndarray] = {}
    for metric in metrics:
        if metric in RECALL:
            numbers[metric] = _average_recall(run, weights, *RECALL[metric])
            continue
        area, thresholds = PRECISION[metric]
        if area not in precisions:
            precisions[area] = average_precision(run, times, area)
        chosen = precisions[area][:, :, np.isin(IOU_THRESHOLDS, thresholds)]
        numbers[metric] = _mean(chosen.mean(axis=2))
    return numbers


def resampled_means(run: Run, times: np.ndarray, numbers: Mapping[Key, np.ndarray]) -> dict[Key, np.ndarray]:
    """Means over objects, if each image were in the split so many times.

    Args:
        run, times: as of `resampled`.
        numbers: (G,) float64 each, of the objects of the table that `run` is of; NaN for those it is not about.

    Returns:
        For each (N,) float64; NaN: about no object.
    """
    if not numbers:
        return {}
    about = [~np.isnan(of_metric) for of_metric in numbers.values()]
    values = [np.nan_to_num(of_metric) for of_metric in numbers.values()]
    by_image = [np.bincount(run.object_image, of_metric, len(run.images)) for of_metric in (*values, *about)]
    sums = times.astype(np.float64) @ np.column_stack(by_image)
    return dict(zip(numbers, _share(sums[:, : len(values)], sums[:, len(values) :]).T, strict=True))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Elementwise; NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0, dtype=np.float64)


def _by_category(run: Run, images: np.ndarray, categories: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of `values` in each image and category, (I, C)."""
    shape = len(run.images), run.object_category.max(initial=-1) + 1
    sums = np.bincount(images * shape[1] + categories, values, shape[0] * shape[1])
    return sums.reshape(shape).astype(np.float32)


def _objects(run: Run, weights: np.ndarray, area: str) -> np.ndarray:
    """Objects of a size in each choice and category, (N, C)."""
    low, high = AREAS[area]
    counted = (run.area >= low) & (run.area <= high)
    return weights @ _by_category(run, run.object_image, run.object_category, counted)


def _mean(by_category: np.ndarray) -> np.ndarray:
    """(N,) mean of (N, C) over the categories that have objects, NaN elsewhere."""
    present = ~np.isnan(by_category)
    return _share(np.where(present, by_category, 0).sum(axis=1), present.sum(axis=1))


def _average_recall(run: Run, weights: np.ndarray, area: str, detections: int) -> np.ndarray:
    """(N,) mean over categories and thresholds, with so many detections of an image and category."""
    counted = np.where(run.rank < detections, np.bitwise_count(run.matched[area]), 0)
    right = weights @ _by_category(run, run.image, run.category, counted)
    return _mean(_share(right, len(IOU_THRESHOLDS) * _objects(run, weights, area)))


def average_precision(run: Run, times: np.ndarray, area: str) -> np.ndarray:
    """(N, C, 10) of each category at each IoU threshold, 0 to 1, NaN without objects; arguments as of `resampled`."""
    objects = _objects(run, times.astype(np.float32), area)
    counted = run.ignored[area] != ALL_THRESHOLDS
    starts = np.searchsorted(run.category[counted], np.arange(objects.shape[1] + 1))
    flags = run.matched[area][counted], run.ignored[area][counted]
    return _precision(times, run.image[counted], *flags, starts, objects, BITS, RECALLS)


@njit(cache=True, nogil=True)
def _precision(
    times: np.ndarray,
    image: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    starts: np.ndarray,
    objects: np.ndarray,
    bits: np.ndarray,
    recalls: np.ndarray,
) -> np.ndarray:
    """Interpolated average precision of each category at each threshold; NaN without objects.

    An image that is there m times gives m equal detections in a row. Precision rises along right ones, so that only
    their last matters to an interpolation by the highest precision at this recall or more.
    """
    result = np.full((len(times), len(starts) - 1, len(bits)), np.nan)
    longest = 0
    for category in range(len(starts) - 1):
        longest = max(longest, starts[category + 1] - starts[category])
    right = np.empty((len(bits), longest), np.int64)  # so far, after each detection that is right
    precision, read = np.empty((len(bits), longest)), np.empty(len(recalls))
    for draw in range(len(times)):
        for category in range(len(starts) - 1):
            if objects[draw, category] == 0:
                continue
            seen = np.int64(0)
            passed = np.zeros(len(bits), np.int64)  # ignored at this threshold
            length = np.zeros(len(bits), np.int64)
            for index in range(starts[category], starts[category + 1]):
                count = np.int64(times[draw, image[index]])
                if count == 0:
                    continue
                seen += count
                if matched[index] | ignored[index] == 0:
                    continue
                for threshold in range(len(bits)):
                    if ignored[index] & bits[threshold]:
                        passed[threshold] += count
                    elif matched[index] & bits[threshold]:
                        last = length[threshold]
                        right[threshold, last] = count + (right[threshold, last - 1] if last else 0)
                        precision[threshold, last] = right[threshold, last] / (seen - passed[threshold])
                        length[threshold] += 1
            for threshold in range(len(bits)):
                interpolate(
                    right[threshold, : length[threshold]],
                    precision[threshold, : length[threshold]],
                    objects[draw, category],
                    recalls,
                    read,
                )
                result[draw, category, threshold] = read.sum() / len(read)
    return result
