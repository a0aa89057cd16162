"""COCO's interpolation of precision, at the recalls where COCO reads it, compiled."""

import numpy as np

from bcnet.compiled import njit

RECALLS = np.linspace(0, 1, 101)


@njit(cache=True, nogil=True)
def interpolate(
    right: np.ndarray, precision: np.ndarray, objects: float, recalls: np.ndarray, read: np.ndarray
) -> None:
    """Read the highest precision at each recall or more; precision beyond the highest recall is 0.

    Precision rises along right detections only, so that those that are wrong need not be given.

    Args:
        right: (N,) int64, how many detections are right so far, after each that is.
        precision: (N,) float64, there; is overwritten.
        objects: how many there are to be found, more than 0.
        recalls: (R,) float64, rising.
        read: (R,) float64, what is read. Its mean is the average precision. Source: cocoapi, cocoeval.py, `accumulate`.
    """
    for index in range(len(precision) - 2, -1, -1):
        precision[index] = max(precision[index], precision[index + 1])
    index = 0
    for place in range(len(recalls)):
        while index < len(right) and right[index] / objects < recalls[place]:
            index += 1
        read[place] = precision[index] if index < len(right) else 0.0
