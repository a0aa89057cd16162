"""Whether scores are probabilities of being right: calibration errors and reliability bins."""

from typing import TypedDict

import numpy as np

BINS = 10

Bin = TypedDict("Bin", {"from": float, "to": float, "detections": int, "score": float | None, "right": float | None})


class Calibration(TypedDict):
    """Expected and maximum calibration error and the bins, 0 to 1; None, and `why`, where there are none."""

    ECE: float | None
    MCE: float | None
    bins: list[Bin] | None
    why: str | None


def calibration(score: np.ndarray, matched: np.ndarray, ignored: np.ndarray) -> Calibration:
    """How far the scores of detections are from the share of them that is right.

    Detections are put into ten bins of equal width by score, each with its lower end, the last with 1 too. A bin's
    error is the difference between its mean score and its share of right detections; the expected error is the mean
    over bins, weighted by detections, the maximum error the largest. They tell of the detections that are there, not of
    objects that none finds, and change with how many of low score a method keeps.

    Args:
        score: (D,) of the kept detections of a split.
        matched: (D,) bool, to an object by COCO's matching at IoU .5.
        ignored: (D,) bool, matched to a crowd there: left out.

    Returns:
        `score` and `right` of a bin are means, None in an empty one. Where there are no detections, or scores outside 0
        to 1 as some frameworks write them, which are no probabilities, all is None but `why`. Source: Guo et al., On
        Calibration of Modern Neural Networks, ICML 2017.
    """
    score, matched = score[~ignored], matched[~ignored]
    if not len(score):
        return {"ECE": None, "MCE": None, "bins": None, "why": "no detections"}
    low, high = score.min(), score.max()
    if low < 0 or high > 1:
        return {"ECE": None, "MCE": None, "bins": None, "why": f"scores of {low:g} to {high:g}, not 0 to 1"}
    place = np.minimum(np.floor(score * BINS), BINS - 1).astype(int)
    count = np.bincount(place, minlength=BINS)
    mean, right = (np.bincount(place, each, BINS) / np.maximum(count, 1) for each in (score, matched))
    error = np.abs(mean - right)
    bins: list[Bin] = [
        {
            "from": index / BINS,
            "to": (index + 1) / BINS,
            "detections": int(count[index]),
            "score": float(mean[index]) if count[index] else None,
            "right": float(right[index]) if count[index] else None,
        }
        for index in range(BINS)
    ]
    return {"ECE": float(np.average(error, weights=count)), "MCE": float(error.max()), "bins": bins, "why": None}
