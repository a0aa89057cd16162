"""Curves of a run on a split: precision by recall, and both by the score from which detections count."""

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.coco_matching import BITS
from bcnet.evaluation.matching.detection_table import flag
from bcnet.evaluation.statistics.average_precision import RECALLS, interpolate, least_right
from bcnet.evaluation.statistics.resampling import Run

SCORES = np.linspace(0, 1, 101)


def precision_by_recall(run: Run, threshold: int) -> np.ndarray:
    """Interpolated precision at `average_precision.RECALLS`, the mean over categories: its mean is COCO's AP.

    Args:
        threshold: which of the ten IoU thresholds, 0 for .5.

    Returns:
        (101,) 0 to 1; zeros without objects. Source: cocoapi, cocoeval.py, `accumulate`.
    """
    total, counted = np.zeros(len(RECALLS)), 0
    matched, ignored = (flags["all"] & BITS[threshold] > 0 for flags in (run.matched, run.ignored))
    read, least = np.empty(len(RECALLS)), np.empty(len(RECALLS), np.int64)
    for category in range(run.object_category.max(initial=-1) + 1):
        objects = int(np.sum(run.object_category == category))
        if not objects:
            continue
        own = (run.category == category) & ~ignored
        hits = matched[own]
        places = np.flatnonzero(hits)
        right = np.arange(1, len(places) + 1)
        least_right(float(objects), least)
        interpolate(right, right / (places + 1), len(right), least, read)
        total += read
        counted += 1
    return total / max(1, counted)


def by_score(detections: pa.Table, objects: int) -> np.ndarray:
    """Precision, recall and F1 of the detections of each score or more, all categories together, at IoU .5.

    COCO's matching takes detections by falling score: those that remain are matched as if the others were not there.

    Args:
        detections: the table of detections of a split.
        objects: how many there are that are no crowd.

    Returns:
        (3, 101) at `SCORES`; precision is NaN where no detection has such a score, F1 is 0 there.
    """
    score, matched, ignored = (
        detections[name].combine_chunks().flatten().to_numpy()
        for name in ("score", flag("segm", "matched", "all"), flag("segm", "ignored", "all"))
    )
    counted = (ignored & BITS[0]) == 0
    order = np.argsort(score[counted], kind="stable")
    rising, hits = score[counted][order], (matched[counted][order] & BITS[0]) > 0
    first = np.searchsorted(rising, SCORES)
    right = np.append(np.cumsum(hits[::-1])[::-1], 0)[first]
    kept = len(rising) - first
    precision = np.divide(right, kept, out=np.full(len(SCORES), np.nan), where=kept > 0)
    recall = right / max(1, objects)
    f1 = 2 * right / np.maximum(1, kept + objects)
    return np.stack([precision, recall, f1])


def best(values: np.ndarray) -> int:
    """The place in `SCORES` at which F1 is highest, of several the last.

    Args:
        values: (3, 101), as of `by_score`.
    """
    return len(SCORES) - 1 - int(np.argmax(values[2][::-1]))
