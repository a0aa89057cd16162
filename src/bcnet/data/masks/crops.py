"""Masks without the background around them, and windows of an image to see them through."""

from typing import NamedTuple

import numpy as np

Window = tuple[slice, slice]  # rows and columns of the image, with start and stop


class Crop(NamedTuple):
    """A mask without the background around it: pixels (h, w) bool, at `window` of the image."""

    window: Window
    pixels: np.ndarray


def crop(mask: np.ndarray) -> Crop:
    """A mask, (H, W) bool, without the background around it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Crop((slice(0, 0), slice(0, 0)), mask[:0, :0])
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return Crop(window, mask[window].copy())


def paste(mask: Crop, height: int, width: int) -> np.ndarray:
    """The mask in its image, (height, width) bool."""
    return seen_through(mask, (slice(0, height), slice(0, width)))


def seen_through(mask: Crop, window: Window) -> np.ndarray:
    """What of a mask lies in a window of the image: bool, of the window's shape."""
    view = np.zeros([side.stop - side.start for side in window], bool)
    shared = [
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(mask.window, window, strict=True)
    ]
    source = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(shared, mask.window, strict=True))
    target = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, window, strict=True))
    view[target] = mask.pixels[source]
    return view
