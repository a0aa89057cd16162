"""COCO's numbers of any choice of a split's images, from the tables that `evaluate` writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.arrays import coco_order, rank
from bcnet.evaluation.matching.coco_matching import ALL_THRESHOLDS, AREAS, IOU_THRESHOLDS
from bcnet.evaluation.matching.detection_table import flag, ranking
from bcnet.evaluation.statistics.average_precision import Ranked, average_precision

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

TOGETHER = 6  # runs whose flags at all thresholds have room in 64 bits
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


def run_of(
    detections: pa.Table, objects: pa.Table, kind: str = "segm", order: tuple[np.ndarray, np.ndarray] | None = None
) -> Run:
    """The two tables of an evaluation (`detections.detection_table`, `occlusion_metrics.object_table`) as a run.

    Detections of categories that no image has objects of are left out: COCO's means leave them out.

    Args:
        kind: what detections and objects are matched by: "segm", "bbox" or "boundary".
        order: of the detections as they are ranked (`coco_order`), if it is known.
    """
    images = detections["image_id"].to_numpy()
    column = {name: detections[name].combine_chunks().flatten().to_numpy() for name in detections.column_names[1:]}
    of, by = ranking(kind, detections.column_names)
    image = np.repeat(np.arange(len(images)), detections[by].combine_chunks().value_lengths().to_numpy())
    categories, object_category = np.unique(objects["category_id"].to_numpy(), return_inverse=True)
    places, category = order or coco_order(column[of], column[by], categories)
    return Run(
        images=images,
        image=image[places],
        category=category,
        rank=rank(image, column[of])[places],
        matched={area: column[flag(kind, "matched", area)][places] for area in AREAS},
        ignored={area: column[flag(kind, "ignored", area)][places] for area in AREAS},
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
    return resampled_together({0: run}, times, {0: metrics})[0]


def resampled_together(
    runs: Mapping[Key, Run], times: np.ndarray, metrics: Mapping[Key, Iterable[str]]
) -> dict[Key, dict[str, np.ndarray]]:
    """`resampled` for each of several runs, faster where they rank the same detections alike.

    Args:
        runs: by any key, of the same images and objects.
        metrics: of each run.
    """
    precisions = _precisions_together(runs, times, metrics)
    weights = times.astype(np.float32)  # sums of whole numbers, exact below 2^24
    return {
        key: {
            metric: _average_recall(run, weights, *RECALL[metric])
            if metric in RECALL
            else _mean_precision(precisions[key, PRECISION[metric][0]], PRECISION[metric][1])
            for metric in metrics[key]
        }
        for key, run in runs.items()
    }


def _precisions_together(
    runs: Mapping[Key, Run], times: np.ndarray, metrics: Mapping[Key, Iterable[str]]
) -> dict[tuple[Key, str], np.ndarray]:
    """`precisions_of` of each run and each area that one of its metrics is of; arguments as of `resampled_together`."""
    precisions: dict[tuple[Key, str], np.ndarray] = {}
    for area in AREAS:
        named = {metric for metric, (own, _) in PRECISION.items() if own == area}
        of_area = [key for key in runs if not named.isdisjoint(metrics[key])]
        while of_area:
            first = runs[of_area[0]]
            alike = [key for key in of_area if _rank_alike(first, runs[key])][:TOGETHER]
            found = precisions_of([runs[key] for key in alike], times, area)
            precisions |= {(key, area): own for key, own in zip(alike, found, strict=True)}
            of_area = [key for key in of_area if key not in alike]
    return precisions


def _rank_alike(a: Run, b: Run) -> bool:
    return a is b or (np.array_equal(a.image, b.image) and np.array_equal(a.category, b.category))


def _mean_precision(precisions: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """(N,) mean over categories and some of the IoU thresholds of (N, C, 10)."""
    return _mean(precisions[:, :, np.isin(IOU_THRESHOLDS, thresholds)].mean(axis=2))


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


def precisions_of(runs: Sequence[Run], times: np.ndarray, area: str) -> list[np.ndarray]:
    """(N, C, 10) of each category at each IoU threshold, 0 to 1, NaN without objects; for each run.

    Args:
        runs: which rank the same detections alike.
        times: as of `resampled`.
    """
    objects = _objects(runs[0], times.astype(np.float32), area)
    counted = np.any([run.ignored[area] != ALL_THRESHOLDS for run in runs], axis=0)
    size = len(IOU_THRESHOLDS)
    matched, ignored = np.zeros((2, np.count_nonzero(counted)), np.int64)
    for place, run in enumerate(runs):
        matched |= run.matched[area][counted].astype(np.int64) << size * place
        ignored |= run.ignored[area][counted].astype(np.int64) << size * place
    ranked = Ranked(runs[0].category[counted], matched, ignored, runs[0].image[counted])
    found = average_precision(ranked, times, objects, size * len(runs))
    return np.split(found, len(runs), axis=2)
