"""COCO's average precision of ranked detections, on any number of draws of their images, compiled."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bcnet.compiled import njit
from bcnet.progress import in_threads

RECALLS = np.linspace(0, 1, 101)
CHUNK = 50  # draws that a thread takes at once


class Ranked(NamedTuple):
    """D detections by category and falling score, as bits of T thresholds, at most 62, bit k of value 2^k.

    `category`: (D,) int, 0 to C - 1; larger ones count nowhere. `matched`, `ignored`: (D,) int, right, and neither
    right nor wrong. `image`: (D,) int, the place of each one's image.
    """

    category: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    image: np.ndarray


def average_precision(
    ranked: Ranked, times: np.ndarray, objects: np.ndarray, thresholds: int, scale: np.ndarray | None = None
) -> np.ndarray:
    """Interpolated average precision of each category at each threshold.

    An image that is there m times gives m equal detections in a row. Precision rises along right detections only, so
    that it is looked at there alone; the wrong ones in between are counted.

    Args:
        times: (N, I) uint16; N draws, how often each has each image.
        objects: (N, C) float, to be found in each draw.
        thresholds: T.
        scale: (C,) float64, by which right detections are multiplied in the precision; None: 1.

    Returns:
        (N, C, T) float64, 0 to 1, NaN without objects. Source: cocoapi, cocoeval.py, `accumulate`.
    """
    draws, categories = objects.shape
    starts = np.searchsorted(ranked.category, np.arange(categories + 1))
    flagged = np.flatnonzero((ranked.matched | ranked.ignored)[: starts[-1]])
    matched, ignored = (flags[flagged].astype(np.int64) for flags in (ranked.matched, ranked.ignored))
    flagged_starts = np.searchsorted(flagged, starts)
    hits = [np.flatnonzero(matched & 1 << t) for t in range(thresholds)]
    before = np.cumsum([0, *map(len, hits)])
    result = np.full((draws, categories, thresholds), np.nan)
    arguments = (
        np.ascontiguousarray(times, np.uint16),
        ranked.image.astype(np.int32),
        starts.astype(np.int64),
        flagged.astype(np.int64),
        flagged_starts.astype(np.int64),
        ignored,
        np.concatenate(hits).astype(np.int64),
        np.array([first + np.searchsorted(own, flagged_starts) for first, own in zip(before[:-1], hits, strict=True)]),
        objects.astype(np.float64),
        np.ones(categories) if scale is None else scale.astype(np.float64),
        result,
    )

    def of_draws(chunk: tuple[int, int]) -> None:
        _of_draws(*chunk, *arguments)

    in_threads(of_draws, list(pairwise([*range(0, draws, CHUNK), draws])), "draws")
    return result


@njit(cache=True, nogil=True)
def _of_draws(
    first: int,
    last: int,
    times: np.ndarray,
    image: np.ndarray,
    starts: np.ndarray,
    flagged: np.ndarray,
    flagged_starts: np.ndarray,
    ignored: np.ndarray,
    hits: np.ndarray,
    hit_starts: np.ndarray,
    objects: np.ndarray,
    scale: np.ndarray,
    result: np.ndarray,
) -> None:
    """Fill in `result` for the draws `first` to `last`, exclusive.

    Args:
        starts: (C + 1,) where the detections of each category start; `flagged`: which of them are matched or ignored
            anywhere; `flagged_starts`: the same of these; `ignored`: their bits.
        hits: places in `flagged` of the right ones of each threshold and category, from `hit_starts` (T, C + 1) on.
    """
    longest, any_ignored = 0, np.zeros(len(starts) - 1, np.int64)
    for c in range(len(starts) - 1):
        longest = max(longest, flagged_starts[c + 1] - flagged_starts[c])
        for f in range(flagged_starts[c], flagged_starts[c + 1]):
            any_ignored[c] |= ignored[f]
    copies, seen, counted = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    right, precision = np.empty(longest, np.int64), np.empty(longest)
    least, read = np.empty(len(RECALLS), np.int64), np.empty(len(RECALLS))
    for draw in range(first, last):
        for c in range(len(starts) - 1):
            if objects[draw, c] == 0:
                continue
            base, size = flagged_starts[c], flagged_starts[c + 1] - flagged_starts[c]
            count_detections(times[draw], image, starts[c], flagged[base : base + size], copies, seen)
            least_right(objects[draw, c], least)
            for t in range(len(hit_starts)):
                ranks = seen
                if any_ignored[c] >> t & 1:
                    ranks, passed = counted, 0
                    for f in range(size):
                        passed += copies[f] * (ignored[base + f] >> t & 1)
                        counted[f] = seen[f] - passed
                h, count, total = hit_starts[t, c], hit_starts[t, c + 1] - hit_starts[t, c], 0
                for k in range(count):
                    f = hits[h + k] - base
                    total += copies[f]
                    right[k] = total
                    scaled = scale[c] * total
                    precision[k] = scaled / (scaled + (ranks[f] - total)) if total else 0.0
                interpolate(right, precision, count, least, read)
                area = 0.0
                for place in range(len(read)):
                    area += read[place]
                result[draw, c, t] = area / len(read)


@njit(cache=True, nogil=True)
def count_detections(
    times: np.ndarray, image: np.ndarray, first: int, some: np.ndarray, copies: np.ndarray, seen: np.ndarray
) -> None:
    """Count the detections of a draw, of which all are ranked and a few looked at.

    Args:
        times: (I,) uint16, how often the draw has each image.
        image: (D,) int32, the place of each detection's image.
        first: the detection to count from.
        some: (N,) int64, rising, not below `first`: those that are looked at.
        copies: (N,) int64 or longer, filled in: how often each of these is in the draw.
        seen: the same, filled in: how many detections there are from `first` up to it, it included.
    """
    so_far, d = 0, first
    for s in range(len(some)):
        for other in range(d, some[s]):
            so_far += times[image[other]]
        d = some[s]
        copies[s] = times[image[d]]
        so_far += copies[s]
        seen[s] = so_far
        d += 1


@njit(cache=True, nogil=True)
def least_right(objects: float, least: np.ndarray) -> None:
    """How many of so many objects, more than 0, must be found for each of RECALLS: the result, `least` (101,) int64."""
    for place in range(len(RECALLS)):
        number = int(RECALLS[place] * objects)
        while number / objects < RECALLS[place]:
            number += 1
        least[place] = number


@njit(cache=True, nogil=True)
def interpolate(right: np.ndarray, precision: np.ndarray, count: int, least: np.ndarray, read: np.ndarray) -> None:
    """Read the highest precision at each recall or more; precision beyond the highest recall is 0.

    Precision rises along right detections only, so that those that are wrong need not be given.

    Args:
        right: (N,) int64, how many detections are right so far, after each that is.
        precision: (N,) float64, there.
        count: how many of these there are, N or fewer.
        least: (101,) int64, as of `least_right`.
        read: (101,) float64, what is read. Its mean is the average precision.
    """
    most, k = 0.0, count - 1
    for place in range(len(least) - 1, -1, -1):
        while k >= 0 and right[k] >= least[place]:
            most = max(most, precision[k])
            k -= 1
        read[place] = most
