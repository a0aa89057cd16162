"""How objects are found or missed: each is found, takes a wrong class, a bad mask, both, or is missed."""

import numpy as np

from bcnet.compiled import njit

MIN_SCORE = 0.3
FOUND_IOU = 0.75
BACKGROUND_IOU = 0.1

FOUND, WRONG_CLASS, BADLY_LOCALISED, BOTH, MISSED = range(5)
NAMES = ("found", "wrong_class", "badly_localised", "both", "missed")


@njit(cache=True, nogil=True)
def failures(ious: np.ndarray, category: np.ndarray, score: np.ndarray, object_category: np.ndarray) -> np.ndarray:
    """How each object of an image fares, by detections of `MIN_SCORE` or more.

    The first of these that is true of any detection:
    - FOUND: of its category, IoU >= `FOUND_IOU`
    - WRONG_CLASS: of another category, IoU >= `FOUND_IOU`
    - BADLY_LOCALISED: of its category, IoU >= `BACKGROUND_IOU`
    - BOTH: of another category, IoU >= `BACKGROUND_IOU`
    - MISSED: always

    The share of found objects is what mmdetection's CocoOccludedSeparatedMetric calls recall. As there, one detection
    may serve several objects, and false detections cost nothing. The kinds of failure are those of the tri-layer
    plugin's released code, which judges by the one detection of highest IoU, where here a right category goes first.

    Args:
        ious: (D, G) float, 0 to 1; of masks, or of boxes, of all categories.
        category: (D,) of detections.
        score: (D,) float, 0 to 1.
        object_category: (G,)

    Returns:
        (G,) uint8. Source: Zhan, Xie and Zisserman, A Tri-Layer Plugin to Improve Occluded Detection, BMVC 2022, and
        its released code, test_recall_occluded_separated.py.
    """
    fate = np.empty(len(object_category), np.uint8)
    fate[:] = MISSED
    for detection in range(len(category)):
        if score[detection] < MIN_SCORE:
            continue
        for place in range(len(object_category)):
            iou, right = ious[detection, place], category[detection] == object_category[place]
            if iou >= FOUND_IOU:
                new = FOUND if right else WRONG_CLASS
            elif iou >= BACKGROUND_IOU:
                new = BADLY_LOCALISED if right else BOTH
            else:
                continue
            fate[place] = min(fate[place], new)
    return fate
