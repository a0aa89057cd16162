"""AP of objects by how occluded they are, and its form that does not depend on how many of them there are."""

import numpy as np

from bcnet.evaluation.matching.coco_matching import BITS
from bcnet.evaluation.matching.outcomes import NOTHING
from bcnet.evaluation.statistics.average_precision import Ranked, average_precision


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
    thresholds = object_place.shape[1]
    given = np.flatnonzero((object_place != NOTHING).any(axis=1))  # few of all
    places = object_place[given]
    bin_of = np.append(object_bin, -1)[np.maximum(places, -1)]  # the last: of no object
    precisions = np.full((2, bins), np.nan)
    for where in range(bins):
        matched, ignored = np.zeros((2, len(category)), np.uint16)
        matched[given] = (bin_of == where) @ BITS[:thresholds]
        ignored[given] = (places != NOTHING) @ BITS[:thresholds] & ~matched[given]
        ranked = Ranked(category, matched, ignored, np.zeros(len(category), np.int32))
        scale = np.divide(total, in_bin[where], out=np.ones(categories), where=in_bin[where] > 0)
        for form, own in enumerate((None, scale)):
            found = average_precision(ranked, np.ones((1, 1), np.uint16), in_bin[where][None], thresholds, own)
            if in_bin[where].any():
                precisions[form, where] = np.nanmean(found)
    return precisions[0], precisions[1]
