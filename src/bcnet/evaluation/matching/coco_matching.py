"""COCO's matching of detections and objects, compiled."""

import numpy as np

from bcnet.compiled import njit

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # as the COCO API has them: .6 is a little more
BITS = 1 << np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)
ALL_THRESHOLDS = (1 << len(IOU_THRESHOLDS)) - 1
AREAS = {  # of objects, pixels, both ends included
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_THRESHOLDS, _BOUNDS = np.array(IOU_THRESHOLDS), np.array(list(AREAS.values()))


@njit(cache=True, nogil=True)
def match(ious: np.ndarray, crowd: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Which object each detection of an image and category is given, at each IoU threshold.

    Each detection in turn takes, of the objects that are free or a crowd, the one that it overlaps most, of equals the
    last; an ignored one only if no other reaches the threshold.

    Args:
        ious: (D, G) float64; detections by falling score, objects in file order.
        crowd: (G,) bool; can be given to many.
        ignored: (G,) bool; crowds, and objects of another size than is asked for.

    Returns:
        (D, 10) int32, -1: none. Source: cocoapi, cocoeval.py, `evaluateImg`.
    """
    given = np.empty((len(ious), len(_THRESHOLDS)), np.int32)
    given[:] = -1
    taken = np.zeros((len(_THRESHOLDS), len(crowd)), np.bool_)
    near = np.empty(len(crowd), np.int64)
    for d in range(len(ious)):
        count = 0
        for g in range(len(crowd)):
            if ious[d, g] >= _THRESHOLDS[0]:
                near[count] = g
                count += 1
        if not count:
            continue
        for t in range(len(_THRESHOLDS)):
            best, most = -1, _THRESHOLDS[t]
            for last in (False, True):
                for k in range(count):
                    g = near[k]
                    free = crowd[g] or not taken[t, g]
                    if free and ignored[g] == last and ious[d, g] >= most:
                        best, most = g, ious[d, g]
                if best >= 0:
                    taken[t, best] = True
                    given[d, t] = best
                    break
    return given


def match_at_half(ious: np.ndarray, category: np.ndarray, score: np.ndarray, object_category: np.ndarray) -> np.ndarray:
    """Which object of an image each of its detections is given at IoU .5, where there is no crowd.

    Args:
        ious: (D, G) float64, in any order.
        category, score: (D,), of detections.
        object_category: (G,)

    Returns:
        (D,) int32, the place of the object, -1: none; as of `match`.
    """
    same = category[:, None] == object_category
    order = np.argsort(-score, kind="stable")
    none = np.zeros(len(object_category), np.bool_)
    given = np.empty(len(score), np.int32)
    given[order] = match(np.where(same, ious, 0.0)[order], none, none)[:, 0]
    return given


@njit(cache=True, nogil=True)
def match_by_area(
    ious: np.ndarray,
    crowd: np.ndarray,
    object_area: np.ndarray,
    detection_area: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    given: np.ndarray,
) -> None:
    """`match` for objects of each of AREAS, as bits.

    Args:
        ious, crowd: as of `match`.
        object_area: (G,) float64, pixels; what size an object has.
        detection_area: (D,) float64, pixels.
        matched, ignored: (D, 4) uint16, zeros, the result: bit k (of value 2^k) for the IoU threshold .50 + .05 k: the
            detection is given an object of this size; it is given another or a crowd, or nothing and has another size
            itself.
        given: (D, 10) int32, of -1, the result: of all sizes; as of `match`.
    """
    some = (ious >= _THRESHOLDS[0]).any()  # mostly nothing is given: no need to match
    passed = np.empty(len(crowd), np.bool_)
    for a in range(len(_BOUNDS)):
        low, high = _BOUNDS[a, 0], _BOUNDS[a, 1]
        for d in range(len(ious)):
            if detection_area[d] < low or detection_area[d] > high:
                ignored[d, a] = ALL_THRESHOLDS
        if not some:
            continue
        for g in range(len(crowd)):
            passed[g] = crowd[g] or object_area[g] < low or object_area[g] > high
        found = match(ious, crowd, passed)
        for d in range(len(ious)):
            for t in range(len(_THRESHOLDS)):
                if a == 0:
                    given[d, t] = found[d, t]
                if found[d, t] < 0:
                    continue
                if passed[found[d, t]]:
                    ignored[d, a] |= 1 << t
                else:
                    matched[d, a] |= 1 << t
                    ignored[d, a] &= ~(1 << t)


@njit(cache=True, nogil=True)
def match_categories(
    ious: np.ndarray,
    category: np.ndarray,
    object_category: np.ndarray,
    crowd: np.ndarray,
    object_area: np.ndarray,
    detection_area: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    given: np.ndarray,
) -> None:
    """`match_by_area` for the detections and objects of each category of an image.

    Args:
        category: (D,) rising.
        object_category: (G,); all else is as of `match_by_area`, with objects of all categories.
    """
    start = 0
    same, size = np.empty(len(crowd), np.int64), 0
    for d in range(1, len(category) + 1):
        if d < len(category) and category[d] == category[start]:
            continue
        size = 0
        for g in range(len(crowd)):
            if object_category[g] == category[start]:
                same[size] = g
                size += 1
        part, crowds, sizes = np.empty((d - start, size)), np.empty(size, np.bool_), np.empty(size)
        for k in range(size):
            crowds[k], sizes[k] = crowd[same[k]], object_area[same[k]]
            for row in range(start, d):
                part[row - start, k] = ious[row, same[k]]
        own = given[start:d]
        match_by_area(part, crowds, sizes, detection_area[start:d], matched[start:d], ignored[start:d], own)
        for row in range(len(own)):
            for t in range(len(_THRESHOLDS)):
                if own[row, t] >= 0:
                    own[row, t] = same[own[row, t]]
        start = d
