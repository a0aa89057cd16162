"""Which objects show best where methods part, and an object's surroundings as a drawing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bcnet.data.masks.pixel_runs import decode, pixels
from bcnet.data.masks.rle_text import bytes_of
from bcnet.data.masks.segmentation import to_rle
from bcnet.drawing.outlines import path

OBJECTS = 12  # that are drawn with every method's mask
AROUND = 0.6  # of an object's box that is shown on each side of it
RULE = (
    "A method's best mask of an object is the one with the highest IoU among its predictions of the object's category, "
    f"whatever their scores. These are {OBJECTS} objects of val: first those that only one of two methods finds, then "
    "others; in both groups those first for which the IoUs of the two methods' best masks differ most."
)
Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the picture, the ends exclusive


def most_different(ious: np.ndarray, found: np.ndarray, most: int) -> list[int]:
    """The objects on which two methods differ most, by `RULE`, in its order.

    Args:
        ious: (2, G) float, of both methods' best masks with G objects, 0 to 1.
        found: (2, G) bool, whether the method finds the object.
        most: at most so many.

    Returns:
        Indices of objects, without those whose IoUs are equal and which both or neither find; ties: the earlier object.
    """
    difference, only_one = np.abs(ious[0] - ious[1]), found[0] != found[1]
    order = np.lexsort((-difference, ~only_one))
    return [int(index) for index in order if only_one[index] or difference[index] > 0][:most]


def window(bbox: Sequence[float], height: int, width: int) -> Window:
    """What of a picture is shown around an object: its box, larger by `AROUND` of its longer side, within the picture.

    Args:
        bbox: left, top, width, height, pixels.
        height, width: of the picture.
    """
    margin = AROUND * max(bbox[2], bbox[3])
    left, top = max(0, int(bbox[0] - margin)), max(0, int(bbox[1] - margin))
    right, bottom = int(np.ceil(bbox[0] + bbox[2] + margin)), int(np.ceil(bbox[1] + bbox[3] + margin))
    return left, top, min(width, right), min(height, bottom)


def seen(segmentation: Any, height: int, width: int, part: Window) -> np.ndarray:
    """What of a mask a window shows, (bottom - top, right - left) bool, without decoding the whole picture's.

    Args:
        segmentation: polygons or RLE.
        height, width: of the picture.
    """
    runs = decode(bytes_of(to_rle(segmentation, height, width)["counts"]))
    return pixels(runs, np.array(part, np.int64), height)


def drawn(segmentation: Any, height: int, width: int, part: Window) -> str:
    """The part of a mask that a window shows, as the `d` of an SVG path in pixels of the window.

    Args:
        segmentation: polygons or RLE.
        height, width: of the picture.
    """
    return path(seen(segmentation, height, width, part))
