"""AP of objects by how occluded they are, and its form that does not depend on how many of them there are."""

import numpy as np

from bcnet.compiled import njit
from bcnet.evaluation.matching.outcomes import CROWD, NOTHING
from bcnet.evaluation.statistics.interpolation import RECALLS, interpolate


def ap_by_bin(
    category: np.ndarray, object_place: np.ndarray, object_category: np.ndarray, object_bin: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """AP and normalised AP of the objects in each bin.

    In a bin, detections that are matched to objects of other bins are left out; those matched to none are false in
    every bin, since nobody can say what they would be of. After each right detection of a category, of F false ones so
    far and a recall R of its objects in the bin, the precision is

        AP:  R n / (R n + F), n its objects in the bin
        APn: R N / (R N + F), N its objects in all of the split

    then COCO's interpolation at 101 recalls, and the mean over IoU thresholds and over the categories with objects in
    the bin. AP falls with n, as F stays the same: a bin of few objects has a low AP however well they are found. APn
    is what AP would be if all objects were found as those of the bin are, and so can be compared between bins. With all
    objects in one bin both are COCO's AP.

    Args:
        category: (D,) int, 0 to C - 1; detections of a split by category, falling score, ties in the order of images.
        object_place: (D, 10) int32, the object that COCO's matching gives it at each IoU threshold, NOTHING or CROWD.
        object_category: (G,) int, 0 to C - 1.
        object_bin: (G,) int, 0 to `bins` - 1; -1 for none.
        bins: how many.

    Returns:
        AP and APn, each (bins,) float64, 0 to 1, NaN without objects. Source of APn: Hoiem, Chodpathumwan and Dai,
        Diagnosing Error in Object Detectors, ECCV 2012 (there N is one number for all categories).
    """
    categories = int(object_category.max(initial=-1)) + 1
    total = np.bincount(object_category, minlength=categories)
    inside = object_bin >= 0
    in_bin = np.zeros((bins, categories), np.int64)
    np.add.at(in_bin, (object_bin[inside], object_category[inside]), 1)
    starts = np.searchsorted(category, np.arange(categories + 1))
    return _average_precision(object_place, object_bin, starts, in_bin, total, RECALLS)


@njit(cache=True, nogil=True)
def _average_precision(
    object_place: np.ndarray,
    object_bin: np.ndarray,
    starts: np.ndarray,
    in_bin: np.ndarray,
    total: np.ndarray,
    recalls: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """AP and APn, each (bins,), of detections of category c from `starts[c]` on, with `in_bin` (bins, C) objects."""
    bins, categories = in_bin.shape
    thresholds = object_place.shape[1]
    sums = np.zeros((2, bins))
    longest = 0
    for c in range(categories):
        longest = max(longest, starts[c + 1] - starts[c])
    right, precision, read = np.empty(longest, np.int64), np.empty((2, longest)), np.empty(len(recalls))
    for where in range(bins):
        present = 0
        for c in range(categories):
            objects = in_bin[where, c]
            if objects == 0:
                continue
            present += 1
            for threshold in range(thresholds):
                count = wrong = 0
                for index in range(starts[c], starts[c + 1]):
                    place = object_place[index, threshold]
                    if place == NOTHING:
                        wrong += 1
                    elif place != CROWD and object_bin[place] == where:
                        right[count] = count + 1
                        scaled = (count + 1) * total[c] / objects
                        precision[0, count] = (count + 1) / (count + 1 + wrong)
                        precision[1, count] = scaled / (scaled + wrong)
                        count += 1
                for form in range(2):
                    interpolate(right[:count], precision[form, :count], objects, recalls, read)
                    sums[form, where] += read.sum() / len(read)
        sums[:, where] /= present * thresholds if present else np.nan
    return sums[0], sums[1]
