"""Polygons as runs of pixels (`bcnet.data.masks.pixel_runs`), compiled: the masks that the COCO API makes of them."""

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks.pixel_runs import union

FINER = 5  # an outline is drawn on a grid that is so many times as fine


@njit(cache=True, nogil=True)
def rasterise(points: np.ndarray, ends: np.ndarray, first: int, last: int, height: int, width: int) -> np.ndarray:
    """Runs of the union of the polygons from `first` to `last`, exclusive.

    Args:
        points: (N,) float64, x and y in turn, pixels; one polygon after the other.
        ends: (P,) int64, where each polygon ends in `points`.
        height, width: of the image, pixels.
    """
    runs = np.empty(0, np.int64)
    for k in range(first, last):
        polygon = _of_polygon(points[ends[k - 1] if k else 0 : ends[k]], height, width)
        runs = union(runs, polygon) if len(runs) else polygon
    return runs


@njit(cache=True, nogil=True)
def _of_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Runs of one polygon.

    Its outline is drawn on the finer grid; where it goes from a column of pixels to the next, on the line through the
    pixels' centres, the mask begins or ends. Source: cocoapi, maskApi.c, `rleFrPoly`.
    """
    corners = _corners(points)
    size = 0
    for k in range(1, len(corners)):
        size += abs(corners[k, 0] - corners[k - 1, 0]) // FINER + 1
    borders, count = np.empty(size, np.int64), 0
    for k in range(1, len(corners)):
        x0, y0, x1, y1 = corners[k - 1, 0], corners[k - 1, 1], corners[k, 0], corners[k, 1]
        across, down = abs(x1 - x0), abs(y1 - y0)
        if (across >= down and x0 > x1) or (across < down and y0 > y1):
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = (min(x0, x1) + FINER // 2) // FINER, (max(x0, x1) + FINER // 2) // FINER
        for column in range(max(first, 0), min(last, width)):  # whose centres it crosses
            centre = FINER * column + FINER // 2
            if across >= down:
                slope = (y1 - y0) / across
                before, behind = y0 + slope * (centre - x0), y0 + slope * (centre + 1 - x0)
                y = min(int(before + 0.5), int(behind + 0.5))
            else:
                y = y0 + _crossing(x0, x1, down, centre) - 1
            row = int(np.ceil((y + 0.5) / FINER - 0.5))
            borders[count] = column * height + min(max(row, 0), height)
            count += 1
    _sort(borders, count)
    return _between(borders[:count], height * width)


@njit(cache=True, nogil=True)
def _crossing(x0: int, x1: int, down: int, centre: int) -> int:
    """The first of `down` steps from `x0` to `x1`, fewer apart, that is on the other side of a column's centre."""
    slope, rises = (x1 - x0) / down, x1 > x0
    step = min(max(int((centre + 0.5 - x0) / slope), 1), down)  # or one close by
    while step < down and (int(x0 + slope * step + 0.5) > centre) != rises:
        step += 1
    while step > 1 and (int(x0 + slope * (step - 1) + 0.5) > centre) == rises:
        step -= 1
    return step


@njit(cache=True, nogil=True)
def _corners(points: np.ndarray) -> np.ndarray:
    """A polygon's corners on the finer grid, the first one again at the end: x and y, (K + 1, 2) int64."""
    corners = np.empty((len(points) // 2 + 1, 2), np.int64)
    for k in range(len(corners)):
        place = 2 * (k % (len(corners) - 1))
        corners[k, 0], corners[k, 1] = int(FINER * points[place] + 0.5), int(FINER * points[place + 1] + 0.5)
    return corners


@njit(cache=True, nogil=True)
def _sort(numbers: np.ndarray, count: int) -> None:
    """Sort the first `count` numbers in place, as Shell does (numba's own sorting takes a second to compile)."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap:
        for k in range(gap, count):
            number, place = numbers[k], k
            while place >= gap and numbers[place - gap] > number:
                numbers[place] = numbers[place - gap]
                place -= gap
            numbers[place] = number
        gap //= 3


@njit(cache=True, nogil=True)
def _between(borders: np.ndarray, size: int) -> np.ndarray:
    """Runs from every other border to the next, the last to the image's end; two at one place are none."""
    runs, count = np.empty(len(borders) + 1, np.int64), 0
    for k in range(len(borders)):
        border = borders[k]
        if count and runs[count - 1] == border:
            count -= 1
        else:
            runs[count] = border
            count += 1
    if count % 2:
        runs[count] = size
        count += 1
    if count >= 2 and runs[count - 2] == runs[count - 1]:  # from the image's end to its end
        count -= 2
    return runs[:count]
