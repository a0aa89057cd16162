"""TIDE: what kinds of errors there are, and how much AP each costs, from overlaps of detections and objects."""

from typing import TypedDict

import numpy as np

from bcnet.evaluation.statistics.average_precision import Ranked, average_precision

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU: from here on found; up to here nothing is there
WRONG = ("Cls", "Loc", "Both", "Dupe", "Bkg")  # kinds of wrong detections
CLS, LOC, BOTH, DUPE, BKG = range(len(WRONG))
NOT_WRONG = -1


class Tide(TypedDict):
    """AP50, what it gains if all errors of a kind are fixed, and how many there are: see `tide`."""

    AP50: float | None
    gain: dict[str, float | None]
    count: dict[str, int]


def tide(
    category: np.ndarray,
    score: np.ndarray,
    object: np.ndarray,
    ignored: np.ndarray,
    same_iou: np.ndarray,
    same_object: np.ndarray,
    other_iou: np.ndarray,
    other_object: np.ndarray,
    object_category: np.ndarray,
    crowd: np.ndarray,
) -> Tide:
    """The errors of a run on a split by kind, and the AP50 that each kind costs.

    A wrong detection is of the first kind that applies. Loc: IoU of .1 to .5 with an object of its category. Cls: .5 or
    more with one of another category. Dupe: over .5 with one of its category, which another detection has. Bkg: .1 or
    less with any. Both: the rest. Miss: an object that is not found and that no Loc or Cls points at. To fix is, of
    - Loc, Cls: of those that point at an object that is not found the best becomes right, of that object's category;
      the others go, as do those that point at a found one;
    - Dupe, Bkg, Both, and FP (all wrong detections): they go;
    - Miss, and FN (all objects that are not found): the objects go. A category that has none left has an AP of 0.
    Each is fixed alone, and gains do not add up to 1 - AP50.

    Args:
        category: (D,) of the kept detections, in the order image, category, falling score.
        score: (D,).
        object: (D,) place of the object that COCO's matching at IoU .5 gives it, negative for none or a crowd.
        ignored: (D,) bool, matched to a crowd there.
        same_iou: (D,) highest IoU with an object of its image and category, no crowd; 0 for none.
        same_object: (D,) place of that object, the first of several.
        other_iou: (D,) highest IoU with an object of its image and another category, no crowd; 0 for none.
        other_object: (D,) place of that object, the first of several.
        object_category: (G,) of the objects.
        crowd: (G,) bool: it is no object to find.

    Returns:
        `AP50`, and `gain` of each of WRONG, "Miss", "FP", "FN": 0 to 1, means over categories with objects, None if
        there is none. `count` of each of WRONG, "Miss". Source: Bolya et al., TIDE: A General Toolbox for Identifying
        Object Detection Errors, ECCV 2020, and its code (tidecv 1.0.1), which has two other rules: categories without
        objects but with detections count in the means, with AP 0, and 100 detections of an image are kept.
    """
    right = object >= 0
    is_found = np.zeros(len(object_category), bool)
    is_found[object[right]] = True
    kind = _kinds(right | ignored, same_iou, other_iou)
    target = np.select([kind == LOC, kind == CLS], [same_object, other_object], -1)
    target[np.isin(target, np.flatnonzero(is_found))] = -1
    best = _best(target, score)
    not_found = ~(is_found | crowd)
    missed = not_found.copy()
    missed[target[best]] = False
    count = {name: int(np.sum(kind == place)) for place, name in enumerate(WRONG)} | {"Miss": int(missed.sum())}

    categories = np.unique(object_category[~crowd])
    if not len(categories):
        return {"AP50": None, "gain": dict.fromkeys((*WRONG, "Miss", "FP", "FN")), "count": count}
    column = np.searchsorted(categories, category)
    column[~np.isin(category, categories)] = len(categories)  # beyond those that count
    object_column = np.searchsorted(categories, object_category)
    fixed = column.copy()
    fixed[best] = object_column[target[best]]

    by_score = np.argsort(-score, kind="stable")

    def ap50(gone: np.ndarray, made_right: np.ndarray, lost: np.ndarray) -> float:
        kept = by_score[~(gone | ignored)[by_score]]
        columns = np.where(made_right, fixed, column)[kept]
        objects = np.bincount(object_column[~(lost | crowd)], minlength=len(categories))
        return _average_precision(columns, (right | made_right)[kept], objects)

    no_detection, no_object = np.zeros(len(score), bool), np.zeros(len(is_found), bool)
    base = ap50(no_detection, no_detection, no_object)
    after = {name: ap50((kind == place) & ~best, (kind == place) & best, no_object) for place, name in enumerate(WRONG)}
    after["Miss"] = ap50(no_detection, no_detection, missed)
    after["FP"] = ap50(kind != NOT_WRONG, no_detection, no_object)
    after["FN"] = ap50(no_detection, no_detection, not_found)
    return {"AP50": base, "gain": {name: value - base for name, value in after.items()}, "count": count}


def _kinds(not_wrong: np.ndarray, same_iou: np.ndarray, other_iou: np.ndarray) -> np.ndarray:
    """Place in WRONG of each detection, or NOT_WRONG."""
    conditions = {
        NOT_WRONG: not_wrong,
        LOC: (same_iou >= BACKGROUND) & (same_iou <= FOREGROUND),
        CLS: other_iou >= FOREGROUND,
        DUPE: same_iou > FOREGROUND,
        BKG: other_iou <= BACKGROUND,
    }
    return np.select(list(conditions.values()), list(conditions), BOTH)


def _best(target: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(D,) bool, the best of those with one target, the first of several; target -1: none."""
    order = np.lexsort((-score, target))  # stable
    order = order[target[order] >= 0]
    best = np.zeros(len(score), bool)
    best[order[np.unique(target[order], return_index=True)[1]]] = True
    return best


def _average_precision(column: np.ndarray, right: np.ndarray, objects: np.ndarray) -> float:
    """COCO's AP at one IoU threshold, mean over the categories.

    Args:
        column: (D,) which category, 0 to C - 1, or C: counts nowhere; by falling score.
        right: (D,) bool.
        objects: (C,) how many there are; 0: AP is 0.
    """
    order = np.argsort(column.astype(np.min_scalar_type(len(objects))), kind="stable")  # small numbers sort fast
    of_order = column[order], right[order].astype(np.uint16)
    ranked = Ranked(*of_order, *np.zeros((2, len(order)), np.uint16))
    precision = average_precision(ranked, np.ones((1, 1), np.uint16), objects[None], 1)
    return float(np.nan_to_num(precision).mean())
