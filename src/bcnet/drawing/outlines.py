"""Masks as outlines: rings of points, the paths that SVG draws, and where a label has most room."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.measure import find_contours

from bcnet.compiled import njit

TOLERANCE = 0.4  # pixels that an outline may run beside the border between pixels


@dataclass(frozen=True)
class Outline:
    """A mask as a drawing: `path` is the `d` of an SVG path in picture pixels (fill rule evenodd), (`x`, `y`) the point
    farthest inside the mask and `radius` its distance to the mask's edge, pixels."""

    path: str
    x: float
    y: float
    radius: float


def rings(mask: np.ndarray) -> list[np.ndarray]:
    """The outline of a mask, within half a pixel: rings of points (x, y) in picture pixels, those of holes turn back.

    Args:
        mask: (H, W) bool.

    Returns:
        (K, 2) float each, the first point again at the end; none for an empty mask.
    """
    contours = find_contours(np.pad(mask, 1), 0.5)
    return [ring[needed(ring, TOLERANCE)][:, ::-1] - 0.5 for ring in contours]


@njit(cache=True, nogil=True)
def needed(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Which points a line needs so that it stays within `tolerance` of all: (N,) bool.

    Douglas and Peucker's rule, as `skimage.measure.approximate_polygon` has it, hundreds of times as fast.

    Args:
        points: (N, 2) float, N at least 1.
    """
    needs = np.zeros(len(points), np.bool_)
    needs[0] = needs[-1] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        y, x = points[last] - points[first]
        squared = y * y + x * x
        worst, place = tolerance, 0
        for k in range(first + 1, last):
            down, right = points[k] - points[first]
            along = down * y + right * x
            if 0 < along < squared:
                distance = abs(down * x - right * y) / np.sqrt(squared)
            else:
                distance = min(np.hypot(down, right), np.hypot(down - y, right - x))
            if distance > worst:
                worst, place = distance, k
        if place:
            needs[place] = True
            spans.append((first, place))
            spans.append((place, last))
    return needs


def path(mask: np.ndarray) -> str:
    """The `rings` of a mask as the `d` of an SVG path (fill rule evenodd).

    Args:
        mask: (H, W) bool.
    """
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring[:-1]) + "Z" for ring in rings(mask))


def outline(mask: np.ndarray) -> Outline:
    """A mask as a drawing: its `rings`, and its inmost point.

    Args:
        mask: (H, W) bool, with at least one pixel set.
    """
    rows, columns = (np.asarray(mask.any(axis=axis)) for axis in (1, 0))  # those that it takes: few of a picture's
    top, left = int(np.argmax(rows)), int(np.argmax(columns))
    bottom, right = len(rows) - int(np.argmax(rows[::-1])), len(columns) - int(np.argmax(columns[::-1]))
    depth = distance_transform_edt(np.pad(mask[top:bottom, left:right], 1))
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    place = float(left + column) - 0.5, float(top + row) - 0.5
    return Outline(path(mask), *place, float(depth[row, column]))
