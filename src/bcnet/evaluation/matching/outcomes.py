"""What becomes of each detection and each object of a split: everything that the metrics are computed from.

Images are taken one by one, so that only the arrays of one are in memory, beside some numbers of each detection.
"""

from typing import NamedTuple

import numpy as np

from bcnet.compiled import njit
from bcnet.data.coco.prediction_format import IouType
from bcnet.data.masks.pixel_runs import decode
from bcnet.evaluation.matching.arrays import Detections, Objects, by_image
from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS, match_by_area
from bcnet.evaluation.matching.overlap import (
    areas,
    boundary_iou,
    boundary_widths,
    boxes_around,
    coco_box_iou,
    decode_all,
    mask_at,
    mask_iou,
)
from bcnet.evaluation.metrics.confusion import taken_for
from bcnet.evaluation.metrics.failures import failures
from bcnet.evaluation.metrics.leak import leak

KINDS = {"segm": ("segm", "bbox", "boundary"), "bbox": ("bbox",)}  # of predictions: what they are matched by
NOTHING, CROWD = -1, -2  # in the place of an object that a detection is given


class Outcomes(NamedTuple):
    """What became of D detections and G objects. By mask where the predictions are masks, else by box.

    Of detections: `area` (D,) float64; `matched`, `ignored`: (K, D, 4) uint16 for each of KINDS and AREAS, as of
    `matching.match_by_area`; `object`: (D, 10) int32, the object that it is given at each IoU threshold, -1: none, -2:
    a crowd; `same_iou`, `same_object`: the highest IoU with an object of its category that is no crowd, and which,
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


def outcomes(detections: Detections, objects: Objects, sizes: list[tuple[int, int]], iou_type: IouType) -> Outcomes:
    """What becomes of each detection and object.

    Args:
        sizes: height and width of each image, pixels.
        iou_type: whether the detections are masks or boxes.
    """
    count, kinds = len(detections.place), len(KINDS[iou_type])
    result = Outcomes(
        area=np.zeros(count),
        matched=np.zeros((kinds, count, len(AREAS)), np.uint16),
        ignored=np.zeros((kinds, count, len(AREAS)), np.uint16),
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
    masks = iou_type == "segm"

    def of_images(first: int, last: int) -> None:
        _of_images(first, last, masks, heights, widths, detections, objects, result)

    by_image(of_images, len(sizes), "match")
    return result


def with_boxes(detections: Detections, sizes: list[tuple[int, int]]) -> Detections:
    """Detections that are masks with the boxes around these, so that `outcomes` can match them as boxes.

    Args:
        sizes: as of `outcomes`.
    """
    heights, boxes = np.array([height for height, _ in sizes], np.int64), np.zeros_like(detections.boxes)

    def of_images(first: int, last: int) -> None:
        _boxes_of_images(first, last, heights, detections, boxes)

    by_image(of_images, len(sizes), "boxes")
    return detections._replace(boxes=boxes)


@njit(cache=True, nogil=True)
def _boxes_of_images(first: int, last: int, heights: np.ndarray, detections: Detections, boxes: np.ndarray) -> None:
    """Fill in `boxes` for the images `first` to `last`, exclusive."""
    for image in range(first, last):
        d0, d1 = detections.ends[image - 1] if image else 0, detections.ends[image]
        runs, ends = decode_all(detections.texts, detections.start[d0:d1], detections.stop[d0:d1])
        boxes[d0:d1] = boxes_around(runs, ends, heights[image])


@njit(cache=True, nogil=True)
def _of_images(
    first: int,
    last: int,
    masks: bool,
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
        category, crowd = detections.category[d0:d1], objects.crowd[g0:g1]
        object_category = objects.category[g0:g1]
        runs, ends = decode_all(detections.texts, detections.start[d0:d1], detections.stop[d0:d1])
        before = objects.run_ends[g0 - 1] if g0 else 0
        their_ends = objects.run_ends[g0:g1] - before
        theirs = objects.runs[before : objects.run_ends[g1 - 1] if g1 else 0]
        boxes = boxes_around(runs, ends, height) if masks else detections.boxes[d0:d1]
        by_box = coco_box_iou(boxes, objects.boxes[g0:g1], crowd)
        if masks:
            their_boxes = boxes_around(theirs, their_ends, height)
            same = category.reshape(-1, 1) == object_category.reshape(1, -1)
            result.area[d0:d1] = areas(runs, ends)
            ious = mask_iou(runs, ends, result.area[d0:d1], boxes, theirs, their_ends, their_boxes, crowd, same)
            wanted = same & (ious >= IOU_THRESHOLDS[0]) & ~crowd  # the lower of the two IoUs counts
            by_boundary = boundary_iou(runs, ends, theirs, their_ends, wanted, height, widths[image])
            by_boundary = np.where(crowd, ious, np.minimum(ious, by_boundary))
        else:
            ious = by_boundary = by_box
            result.area[d0:d1] = boxes[:, 2] * boxes[:, 3]
        _best(d0, g0, ious, category, object_category, crowd, detections.score, result)
        _match(d0, g0, ious, by_box, by_boundary, boxes, category, object_category, crowd, objects.area[g0:g1], result)
        solid = np.flatnonzero(~crowd)
        fates = failures(ious[:, solid], category, detections.score[d0:d1], object_category[solid])
        result.failure[g0:g1][solid] = fates
        taken = taken_for(ious[:, solid], category, detections.score[d0:d1], object_category[solid])
        result.taken_for[g0:g1][solid] = taken
        if masks:
            _leaks(d0, g0, g1, runs, ends, theirs, their_ends, objects, result)


@njit(cache=True, nogil=True)
def _match(
    d0: int,
    g0: int,
    ious: np.ndarray,
    by_box: np.ndarray,
    by_boundary: np.ndarray,
    boxes: np.ndarray,
    category: np.ndarray,
    object_category: np.ndarray,
    crowd: np.ndarray,
    object_area: np.ndarray,
    result: Outcomes,
) -> None:
    """COCO's matching of an image, category by category, by each of the overlaps (D, G)."""
    start = 0
    for d in range(1, len(category) + 1):
        if d < len(category) and category[d] == category[start]:
            continue
        same = np.flatnonzero(object_category == category[start])
        a, b = d0 + start, d0 + d
        for kind in range(len(result.matched)):
            part = (ious if kind == 0 else by_box if kind == 1 else by_boundary)[start:d][:, same]
            area = boxes[start:d, 2] * boxes[start:d, 3] if kind == 1 else result.area[a:b]
            matched, ignored, given = match_by_area(part, crowd[same], object_area[same], area)
            result.matched[kind, a:b], result.ignored[kind, a:b] = matched, ignored
            if kind == 0:
                _pairs(a, g0, same, given, crowd, result)
        start = d


@njit(cache=True, nogil=True)
def _leaks(
    d0: int,
    g0: int,
    g1: int,
    runs: np.ndarray,
    ends: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    objects: Objects,
    result: Outcomes,
) -> None:
    """Note how much of each object's detection at IoU .5 is on its occluder."""
    for g in range(g1 - g0):
        d, start, stop = result.detection[g0 + g, 0] - d0, objects.occluder_start[g0 + g], objects.occluder_stop[g0 + g]
        if d >= 0 and stop > start:
            occluder = decode(objects.occluder_texts[start:stop])
            target = mask_at(theirs, their_ends, g)
            result.leak[g0 + g] = leak(mask_at(runs, ends, d), occluder, target)


@njit(cache=True, nogil=True)
def _pairs(a: int, g0: int, same: np.ndarray, given: np.ndarray, crowd: np.ndarray, result: Outcomes) -> None:
    """Note which detection was given which object of the same category."""
    for d in range(len(given)):
        for t in range(given.shape[1]):
            if given[d, t] < 0:
                continue
            g = same[given[d, t]]
            result.object[a + d, t] = np.int32(CROWD) if crowd[g] else np.int32(g0 + g)
            if not crowd[g]:
                result.detection[g0 + g, t] = a + d


@njit(cache=True, nogil=True)
def _best(
    d0: int,
    g0: int,
    ious: np.ndarray,
    category: np.ndarray,
    object_category: np.ndarray,
    crowd: np.ndarray,
    score: np.ndarray,
    result: Outcomes,
) -> None:
    """Note the highest overlaps; of equals the first."""
    for d in range(ious.shape[0]):
        for g in range(ious.shape[1]):
            if crowd[g] or ious[d, g] == 0:
                continue
            if object_category[g] != category[d]:
                if ious[d, g] > result.other_iou[d0 + d]:
                    result.other_iou[d0 + d], result.other_object[d0 + d] = ious[d, g], g0 + g
                continue
            if ious[d, g] > result.same_iou[d0 + d]:
                result.same_iou[d0 + d], result.same_object[d0 + d] = ious[d, g], g0 + g
            if ious[d, g] > result.iou[g0 + g]:
                result.best[g0 + g] = d0 + d
                result.iou[g0 + g], result.score[g0 + g] = ious[d, g], score[d0 + d]
