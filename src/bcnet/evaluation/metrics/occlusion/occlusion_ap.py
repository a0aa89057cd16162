"""AP of objects by how occluded they are, and its form that does not depend on how many of them there are."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bcnet.compiled import njit
from bcnet.evaluation.matching.outcomes import NOTHING
from bcnet.evaluation.statistics.average_precision import CHUNK, RECALLS, count_detections, least_right
from bcnet.progress import in_threads


class Draws(NamedTuple):
    """Draws of images: of each detection (D,) and object (G,) the place of its image; `times`: (N, I) uint16."""

    image: np.ndarray
    object_image: np.ndarray
    times: np.ndarray


def ap_by_bin(
    category: np.ndarray,
    object_place: np.ndarray,
    object_category: np.ndarray,
    object_bin: np.ndarray,
    bins: int,
    draws: Draws | None = None,
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
        draws: of images; None: the split itself.

    Returns:
        AP and APn, each (N, bins) float64, 0 to 1, NaN without objects; N is 1 for the split itself. Source of APn:
        Hoiem, Chodpathumwan and Dai, Diagnosing Error in Object Detectors, ECCV 2012 (there N is one number for all
        categories).
    """
    if draws is None:
        draws = Draws(np.zeros(len(category), int), np.zeros(len(object_bin), int), np.ones((1, 1), np.uint16))
    categories = int(object_category.max(initial=-1)) + 1
    total = _objects_of_bins(draws, object_category, np.zeros_like(object_bin), 1, categories)
    in_bin = _objects_of_bins(draws, object_category, object_bin, bins, categories)
    given = np.flatnonzero((object_place != NOTHING).any(axis=1))  # few of all
    places = object_place[given]
    bin_of = np.append(object_bin, -1)[np.maximum(places, -1)]  # the last: of no object
    precisions = np.full((2, len(draws.times), categories, bins, object_place.shape[1]), np.nan)
    arguments = (
        np.ascontiguousarray(draws.times, np.uint16),
        draws.image.astype(np.int32),
        np.searchsorted(category, np.arange(categories + 1)),
        given,
        np.searchsorted(category[given], np.arange(categories + 1)),
        np.ascontiguousarray((places != NOTHING).T),
        np.ascontiguousarray(np.where(places != NOTHING, bin_of, -1).T.astype(np.int16)),
        in_bin,
        np.divide(total, in_bin, out=np.ones_like(in_bin), where=in_bin > 0),
        precisions,
    )

    def of_draws(chunk: tuple[int, int]) -> None:
        _bins_of_draws(*chunk, *arguments)

    in_threads(of_draws, list(pairwise([*range(0, len(draws.times), CHUNK), len(draws.times)])), "AP by occlusion")
    means = np.full((2, len(draws.times), bins), np.nan)
    for draw, where in zip(*np.nonzero(in_bin.any(axis=1)), strict=True):
        means[:, draw, where] = [np.nanmean(of_form[draw, :, where]) for of_form in precisions]
    return means[0], means[1]


@njit(cache=True, nogil=True)
def _bins_of_draws(
    first: int,
    last: int,
    times: np.ndarray,
    image: np.ndarray,
    starts: np.ndarray,
    given: np.ndarray,
    given_starts: np.ndarray,
    is_given: np.ndarray,
    bin_of: np.ndarray,
    in_bin: np.ndarray,
    scale: np.ndarray,
    precisions: np.ndarray,
) -> None:
    """Fill in `precisions` (2, N, C, bins, T), AP and APn of each category, for the draws `first` to `last`, exclusive.

    Args:
        starts: (C + 1,) where the detections of each category start; `given`: which of them are matched at any
            threshold; `given_starts`: the same of these.
        is_given, bin_of: (T, given) whether each is matched, and to an object of which bin, -1: of none.
        in_bin, scale: (N, C, bins) objects of the bin, and all over these.
    """
    longest = 0
    for c in range(len(starts) - 1):
        longest = max(longest, given_starts[c + 1] - given_starts[c])
    bins = in_bin.shape[2]
    copies, seen = np.empty(longest, np.int64), np.empty(longest, np.int64)
    right, precision = np.empty((bins, longest), np.int64), np.empty((2, bins, longest))
    count, total = np.empty(bins, np.int64), np.empty(bins, np.int64)
    least = np.empty(len(RECALLS), np.int64)
    reached = np.empty((bins, int(in_bin.max()) + 1), np.int64) if in_bin.size else np.empty((0, 0), np.int64)
    for draw in range(first, last):
        for c in range(len(starts) - 1):
            base, size = given_starts[c], given_starts[c + 1] - given_starts[c]
            count_detections(times[draw], image, starts[c], given[base : base + size], copies, seen)
            for where in range(bins):
                if in_bin[draw, c, where] > 0:
                    least_right(in_bin[draw, c, where], least)
                    _recalls_reached(least, int(in_bin[draw, c, where]), reached[where])
            for t in range(len(is_given)):
                passed, count[:], total[:] = 0, 0, 0
                for f in range(size):
                    passed += copies[f] * is_given[t, base + f]
                    where = bin_of[t, base + f]
                    if where < 0 or copies[f] == 0:
                        continue
                    total[where] += copies[f]
                    scaled, false = scale[draw, c, where] * total[where], seen[f] - passed
                    right[where, count[where]] = total[where]
                    precision[0, where, count[where]] = total[where] / (total[where] + false)
                    precision[1, where, count[where]] = scaled / (scaled + false)
                    count[where] += 1
                for where in range(bins):
                    if in_bin[draw, c, where] > 0:
                        for form in range(2):
                            area = _area(right[where], precision[form, where], count[where], reached[where])
                            precisions[form, draw, c, where, t] = area / len(RECALLS)


@njit(cache=True, nogil=True)
def _recalls_reached(least: np.ndarray, objects: int, reached: np.ndarray) -> None:
    """How many of RECALLS are reached with 0, 1, ... `objects` right detections, as `least_right` has it: `reached`."""
    place = 0
    for right in range(objects + 1):
        while place < len(least) and least[place] <= right:
            place += 1
        reached[right] = place


@njit(cache=True, nogil=True)
def _area(right: np.ndarray, precision: np.ndarray, count: int, reached: np.ndarray) -> float:
    """The sum of `interpolate`'s precisions, which are equal between the recalls of two right detections."""
    most, area = 0.0, 0.0
    for k in range(count - 1, -1, -1):
        most = max(most, precision[k])
        area += most * (reached[right[k]] - (reached[right[k - 1]] if k else 0))
    return area


def _objects_of_bins(
    draws: Draws, object_category: np.ndarray, object_bin: np.ndarray, bins: int, categories: int
) -> np.ndarray:
    """Objects of each draw, category and bin, (N, C, bins) float64."""
    images, inside = draws.times.shape[1], object_bin >= 0
    cell = (draws.object_image * categories + object_category) * bins + object_bin
    by_image = np.bincount(cell[inside], minlength=images * categories * bins).reshape(images, categories * bins)
    return (draws.times.astype(np.float64) @ by_image).reshape(len(draws.times), categories, bins)
