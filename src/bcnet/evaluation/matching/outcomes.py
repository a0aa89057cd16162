"""What becomes of each detection and each object of a split: everything that the metrics are computed from.

Images are taken one by one, so that only the arrays of one are in memory, beside some numbers of each detection.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from bcnet.compiled import njit
from bcnet.data.coco.prediction_format import IouType
from bcnet.data.masks.pixel_runs import decode
from bcnet.evaluation.matching.arrays import Detections, Objects, over_images
from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS, match_categories
from bcnet.evaluation.matching.overlap import (
    CROSS_CATEGORY_MIN_IOU,
    areas,
    boundary_widths,
    box_areas,
    boxes_around,
    coco_box_iou,
    decode_all,
    ends_from,
    lower_iou,
    mask_at,
    mask_iou,
    same_category,
)
from bcnet.evaluation.metrics.confusion import taken_for
from bcnet.evaluation.metrics.failures import failures
from bcnet.evaluation.metrics.occlusion.leak import leak

KINDS = {"segm": ("segm", "bbox", "boundary"), "bbox": ("bbox",)}  # of predictions: what they are matched by
NOTHING, CROWD = -1, -2  # in the place of an object that a detection is given


class Outcomes(NamedTuple):
    """What became of D detections and G objects. By mask where the predictions are masks, else by box.

    Of detections: `area` (D,) float64; `matched`, `ignored`: (K, D, 4) uint16 for each of KINDS and AREAS, as of
    `coco_matching.match_by_area`; `object`: (D, 10) int32, the object that it is given at each IoU threshold, -1: none,
    -2: a crowd; `same_iou`, `same_object`: the highest IoU with an object of its category that is no crowd, and which,
    -1: none; `other_iou`, `other_object`: with one of another category.
    Of objects: `detection`: (G, 10) int32, which it is given at each IoU threshold, -1: none; `best`, `iou`, `score`:
    the detection of its category that overlaps it most, given to it or not, their IoU and its score, -1, 0 and NaN if
    none overlaps it; `failure`: (G,) uint8, as of `failures.failures`; `taken_for`: (G,) int64, as of
    `confusion.taken_for`; of masks only `leak`: (G,) float64, as of
    `leak.leak`, NaN for one without occluder or not found at .5.
    """

    area: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    object: np.ndarray
    same_iou: np.ndarray
    same_object: np.ndarray
    other_iou: np.ndarray
    other_object: np.ndarray
    detection: np.ndarray
    best: np.ndarray
    iou: np.ndarray
    score: np.ndarray
    failure: np.ndarray
    taken_for: np.ndarray
    leak: np.ndarray


class _Wanted(NamedTuple):
    """Whether detections are masks, are matched as boxes and as boundaries as well, and whether all is wanted."""

    masks: bool
    boxes: bool
    boundaries: bool
    everything: bool


def outcomes(
    detections: Detections,
    objects: Objects,
    sizes: list[tuple[int, int]],
    iou_type: IouType,
    kinds: Collection[str] | None = None,
) -> Outcomes:
    """What becomes of each detection and object.

    Args:
        sizes: height and width of each image, pixels.
        iou_type: whether the detections are masks or boxes.
        kinds: of KINDS; only `area`, and `matched` and `ignored` of these, are asked for. None: everything is.
    """
    count, of_kinds = len(detections.place), len(KINDS[iou_type])
    result = Outcomes(
        area=np.zeros(count),
        matched=np.zeros((of_kinds, count, len(AREAS)), np.uint16),
        ignored=np.zeros((of_kinds, count, len(AREAS)), np.uint16),
        object=np.full((count, len(IOU_THRESHOLDS)), NOTHING, np.int32),
        same_iou=np.zeros(count),
        same_object=np.full(count, -1, np.int32),
        other_iou=np.zeros(count),
        other_object=np.full(count, -1, np.int32),
        detection=np.full((len(objects.place), len(IOU_THRESHOLDS)), -1, np.int32),
        best=np.full(len(objects.place), -1, np.int32),
        iou=np.zeros(len(objects.place)),
        score=np.full(len(objects.place), np.nan),
        failure=np.zeros(len(objects.place), np.uint8),
        taken_for=np.full(len(objects.place), -1, np.int64),
        leak=np.full(len(objects.place), np.nan),
    )
    heights, widths = np.array([height for height, _ in sizes], np.int64), boundary_widths(sizes)
    wanted = _Wanted(
        masks=iou_type == "segm",
        boxes=kinds is None or "bbox" in kinds,
        boundaries=kinds is None or "boundary" in kinds,
        everything=kinds is None,
    )

    def of_images(first: int, last: int) -> None:
        _of_images(first, last, wanted, heights, widths, detections, objects, result)

    over_images(of_images, len(sizes), "match")
    return result


def with_boxes(detections: Detections, sizes: list[tuple[int, int]]) -> Detections:
    """Detections that are masks with the boxes around these, so that `outcomes` can match them as boxes.

    Args:
        sizes: as of `outcomes`.
    """
    heights, boxes = np.array([height for height, _ in sizes], np.int64), np.zeros_like(detections.boxes)

    def of_images(first: int, last: int) -> None:
        _boxes_of_images(first, last, heights, detections, boxes)

    over_images(of_images, len(sizes), "boxes")
    return detections._replace(boxes=boxes)


@njit(cache=True, nogil=True)
def _boxes_of_images(first: int, last: int, heights: np.ndarray, detections: Detections, boxes: np.ndarray) -> None:
    """Fill in `boxes` for the images `first` to `last`, exclusive."""
    for image in range(first, last):
        d0, d1 = detections.ends[image - 1] if image else 0, detections.ends[image]
        runs, ends = decode_all(detections.texts, detections.start[d0:d1], detections.stop[d0:d1])
        around = boxes_around(runs, ends, heights[image])
        for d in range(d1 - d0):
            for side in range(4):
                boxes[d0 + d, side] = around[d, side]


@njit(cache=True, nogil=True)
def _fare(fates: np.ndarray, taken: np.ndarray, crowd: np.ndarray, failure: np.ndarray, taken_for: np.ndarray) -> None:
    """Fill in how each object that is no crowd fares, and what it is taken for: the last two."""
    for g in range(len(crowd)):
        if not crowd[g]:
            failure[g], taken_for[g] = fates[g], taken[g]


@njit(cache=True, nogil=True)
def _of_images(
    first: int,
    last: int,
    wanted: _Wanted,
    heights: np.ndarray,
    widths: np.ndarray,
    detections: Detections,
    objects: Objects,
    result: Outcomes,
) -> None:
    """Fill in `result` for the images `first` to `last`, exclusive."""
    for image in range(first, last):
        height = heights[image]
        d0, d1 = detections.ends[image - 1] if image else 0, detections.ends[image]
        g0, g1 = objects.ends[image - 1] if image else 0, objects.ends[image]
        category, score = detections.category[d0:d1], detections.score[d0:d1]
        crowd, object_category, object_area = objects.crowd[g0:g1], objects.category[g0:g1], objects.area[g0:g1]
        matched, ignored, given = result.matched, result.ignored, result.object[d0:d1]
        runs, ends = decode_all(detections.texts, detections.start[d0:d1], detections.stop[d0:d1])
        before = objects.run_ends[g0 - 1] if g0 else 0
        their_ends = ends_from(objects.run_ends[g0:g1], before)
        theirs = objects.runs[before : objects.run_ends[g1 - 1] if g1 else 0]
        boxes = boxes_around(runs, ends, height) if wanted.masks else detections.boxes[d0:d1]
        by_box = coco_box_iou(boxes, objects.boxes[g0:g1], crowd)
        area = of_boxes = box_areas(boxes)
        ious = by_box
        if wanted.masks:
            least = CROSS_CATEGORY_MIN_IOU if wanted.everything else np.inf
            their_boxes = boxes_around(theirs, their_ends, height)
            same = same_category(category, object_category)
            area = areas(runs, ends)
            ious = mask_iou(runs, ends, area, boxes, theirs, their_ends, their_boxes, crowd, same, least)
        result.area[d0:d1] = area
        about = category, object_category, crowd, object_area
        match_categories(ious, *about, area, matched[0, d0:d1], ignored[0, d0:d1], given)
        if wanted.masks:
            other = np.empty((d1 - d0, len(IOU_THRESHOLDS)), np.int32)  # what they are given by box or boundary
            if wanted.boxes:
                other[:] = NOTHING
                match_categories(by_box, *about, of_boxes, matched[1, d0:d1], ignored[1, d0:d1], other)
            if wanted.boundaries:
                lower = lower_iou(ious, same, crowd, runs, ends, theirs, their_ends, height, widths[image])
                other[:] = NOTHING
                match_categories(lower, *about, area, matched[2, d0:d1], ignored[2, d0:d1], other)
        if not wanted.everything:
            continue
        _pairs(d0, g0, given, crowd, result.detection)
        best = result.best[g0:g1], result.iou[g0:g1], result.score[g0:g1]
        same_best = result.same_iou[d0:d1], result.same_object[d0:d1]
        other_best = result.other_iou[d0:d1], result.other_object[d0:d1]
        _best(d0, g0, ious, category, object_category, crowd, score, same_best, other_best, best)
        fates = failures(ious, category, score, object_category)
        taken = taken_for(ious, category, score, object_category)
        _fare(fates, taken, crowd, result.failure[g0:g1], result.taken_for[g0:g1])
        if wanted.masks:
            texts, start, stop = objects.occluder_texts, objects.occluder_start[g0:g1], objects.occluder_stop[g0:g1]
            of_image = runs, ends, theirs, their_ends
            _leaks(d0, *of_image, texts, start, stop, result.detection[g0:g1], result.leak[g0:g1])


@njit(cache=True, nogil=True)
def _leaks(
    d0: int,
    runs: np.ndarray,
    ends: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    texts: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    detection: np.ndarray,
    leaks: np.ndarray,
) -> None:
    """Note how much of each object's detection at IoU .5 is on its occluder."""
    for g in range(len(leaks)):
        d = detection[g, 0] - d0
        if d >= 0 and stop[g] > start[g]:
            occluder = decode(texts[start[g] : stop[g]])
            leaks[g] = leak(mask_at(runs, ends, d), occluder, mask_at(theirs, their_ends, g))


@njit(cache=True, nogil=True)
def _pairs(d0: int, g0: int, given: np.ndarray, crowd: np.ndarray, detection: np.ndarray) -> None:
    """Note which detection each object is given, and make places of objects in the image those of all, or CROWD."""
    for d in range(len(given)):
        for t in range(given.shape[1]):
            g = given[d, t]
            if g < 0:
                continue
            given[d, t] = CROWD if crowd[g] else g0 + g
            if not crowd[g]:
                detection[g0 + g, t] = d0 + d


@njit(cache=True, nogil=True)
def _best(
    d0: int,
    g0: int,
    ious: np.ndarray,
    category: np.ndarray,
    object_category: np.ndarray,
    crowd: np.ndarray,
    score: np.ndarray,
    same_best: tuple[np.ndarray, np.ndarray],
    other_best: tuple[np.ndarray, np.ndarray],
    best: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Note the highest overlaps; of equals the first.

    Args:
        same_best, other_best: of each detection of the image the IoU and the object, of its and of other categories.
        best: of each object of the image the detection, the IoU and the score.
    """
    same_iou, same_object = same_best
    other_iou, other_object = other_best
    detection, iou, best_score = best
    for d in range(len(category)):
        for g in range(len(crowd)):
            if crowd[g] or ious[d, g] == 0:
                continue
            if object_category[g] != category[d]:
                if ious[d, g] > other_iou[d]:
                    other_iou[d], other_object[d] = ious[d, g], g0 + g
                continue
            if ious[d, g] > same_iou[d]:
                same_iou[d], same_object[d] = ious[d, g], g0 + g
            if ious[d, g] > iou[g]:
                detection[g], iou[g], best_score[g] = d0 + d, ious[d, g], score[d]
