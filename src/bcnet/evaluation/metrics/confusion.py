"""What objects are taken for: the category that a detector gives to each, and how often it confuses which."""

import numpy as np

from bcnet.compiled import njit
from bcnet.evaluation.metrics.failures import MIN_SCORE

TAKEN_IOU = 0.5
NOTHING = -1


@njit(cache=True, nogil=True)
def taken_for(ious: np.ndarray, category: np.ndarray, score: np.ndarray, object_category: np.ndarray) -> np.ndarray:
    """The category that each object of an image is taken for: that of the detection that overlaps it most.

    Detections count from a score of `MIN_SCORE` and an IoU of `TAKEN_IOU`. Of equal overlaps the object's own category
    goes first, then the earlier detection. As with failures, one detection may serve several objects.

    Args:
        ious: (D, G) float, 0 to 1; of masks of all categories.
        category: (D,) of detections.
        score: (D,) float, 0 to 1.
        object_category: (G,)

    Returns:
        (G,) int64, a category, or `NOTHING`.
    """
    taken = np.empty(len(object_category), np.int64)
    taken[:] = NOTHING
    best = np.zeros(len(object_category))
    for detection in range(len(category)):
        if score[detection] < MIN_SCORE:
            continue
        for place in range(len(object_category)):
            iou = ious[detection, place]
            if iou < TAKEN_IOU or iou < best[place]:
                continue
            right = category[detection] == object_category[place]
            if iou > best[place] or (right and taken[place] != object_category[place]):
                best[place], taken[place] = iou, category[detection]
    return taken


def confusion(object_category: np.ndarray, taken: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """How many objects of each category are taken for each.

    Args:
        object_category, taken: (G,) of objects, as of `taken_for`.
        categories: (C,) ids, rising, all that are in either.

    Returns:
        (C, C + 1) int64: rows are what objects are, columns what they are taken for, the last: nothing.
    """
    rows = np.searchsorted(categories, object_category)
    columns = np.where(taken == NOTHING, len(categories), np.searchsorted(categories, taken))
    counts = np.zeros((len(categories), len(categories) + 1), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def false_detections(
    category: np.ndarray, score: np.ndarray, iou: np.ndarray, on_crowd: np.ndarray, categories: np.ndarray
) -> np.ndarray:
    """How many detections of each category are of nothing: the matrix's row of the background.

    They have a score of `MIN_SCORE` or more, overlap no object of any category with an IoU of `TAKEN_IOU`, and are on
    no crowd.

    Args:
        category, score: (D,) of detections; scores 0 to 1.
        iou: (D,) the highest with any object that is no crowd, 0 to 1.
        on_crowd: (D,) bool, whether COCO's matching at .5 gives it a crowd of its category.
        categories: (C,) ids, rising, all that `category` has.

    Returns:
        (C,) int64.
    """
    false = (score >= MIN_SCORE) & (iou < TAKEN_IOU) & ~on_crowd
    return np.bincount(np.searchsorted(categories, category[false]), minlength=len(categories))


def found_by_bin(object_category: np.ndarray, place: np.ndarray, found: np.ndarray, bins: int) -> dict[int, np.ndarray]:
    """Of each category how many objects a bin of occlusion has, and how many of them are found.

    Args:
        object_category: (G,) of objects.
        place: (G,) the bin of each, -1: in none.
        found: (G,) bool.
        bins: how many there are.

    Returns:
        By category, rising, (2, bins) int64: objects, and those that are found.
    """
    return {
        int(category): np.stack(
            [
                np.bincount(place[chosen & (place >= 0)], minlength=bins)
                for chosen in (object_category == category, (object_category == category) & found)
            ]
        )
        for category in np.unique(object_category)
    }
