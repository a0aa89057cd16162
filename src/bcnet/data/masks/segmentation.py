"""Masks as COCO writes them: polygons, compressed and uncompressed RLE; their rules, and their pixels."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.masks.rle_text import bytes_of, read_lengths
from bcnet.files import as_in_file

# pixels that a polygon or box may reach outside its image: annotation tools round, COCO itself never does
TOLERANCE = 2.0
LARGE = 2**18  # pixels; pycocotools encodes smaller masks faster
NUMBERS = frozenset((int, float))  # not bool, which Python counts as one


FORMS = "polygons [[x, y, x, y, …], …] or RLE {size, counts}"


def segmentation_problem(segmentation: Any, height: int, width: int) -> str | None:
    """The first of `segmentation_problems`, None if there is none."""
    return next(segmentation_problems(segmentation, height, width), None)


def segmentation_problems(segmentation: Any, height: int, width: int) -> Iterator[str]:
    """All that is wrong with a segmentation (polygons, compressed or uncompressed RLE).

    Args:
        height, width: the size of its image, in pixels.
    """
    if isinstance(segmentation, dict):
        if problem := _rle_problem(segmentation, height, width):
            yield problem
    elif (
        not isinstance(segmentation, list)
        or not segmentation
        or not any(isinstance(polygon, list) for polygon in segmentation)
    ):
        yield f"segmentation is {as_in_file(segmentation)}, expected {FORMS}"
    else:
        problems = (_polygon_problem(polygon, height, width) for polygon in segmentation)
        yield from filter(None, problems)


def _polygon_problem(polygon: Any, height: int, width: int) -> str | None:
    """What is wrong with a polygon, None if nothing is."""
    extent = polygon_extent(polygon)
    if isinstance(extent, str):
        return extent
    left, right, top, bottom = extent
    if right < 0 or bottom < 0 or left > width or top > height:
        return f"a polygon lies wholly outside the {width}x{height} image"
    if min(left, top) < -TOLERANCE or right > width + TOLERANCE or bottom > height + TOLERANCE:
        beyond = f"by more than {TOLERANCE:g} pixels: x {left} to {right}, y {top} to {bottom}"
        return f"a polygon reaches outside the {width}x{height} image {beyond}"
    return None


def polygon_extent(polygon: Any) -> tuple[float, float, float, float] | str:
    """Left, right, top and bottom of a polygon [x0, y0, x1, y1, …] in pixels, or why it is no polygon."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return f"a polygon is {as_in_file(polygon)}, expected [x, y, x, y, …] of three points or more"
    try:
        finite = math.isfinite(sum(polygon))
    except (TypeError, OverflowError):  # no numbers, or one beyond all floats
        finite = False
    if finite:
        xs, ys = polygon[::2], polygon[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        if (left > 1 and top > 1) or bool not in map(type, polygon):  # a bool is 0 or 1 to Python; looking takes long
            return left, right, top, bottom
    return f"a polygon is {as_in_file(polygon)}, expected finite numbers [x, y, x, y, …]"


def are_triples(segmentations: Iterable[Any]) -> bool:
    """Whether all polygons, three or more, are triples x, y, z of one z each, which read as pairs are other outlines.

    It looks no further than the first one that is none: on a file like COCO's own at one or two.

    Args:
        segmentations: of a file, what is no list of polygons among them.
    """
    count = 0
    for segmentation in segmentations:
        for polygon in segmentation if isinstance(segmentation, list) else ():
            if not isinstance(polygon, list) or len(polygon) < 9 or len(polygon) % 3:
                return False
            if not NUMBERS.issuperset(map(type, polygon)) or polygon[2::3].count(polygon[2]) < len(polygon) // 3:
                return False
            count += 1
    return count >= 3


def clip(polygon: list[float], height: int, width: int) -> list[float]:
    """The part of a polygon [x0, y0, …] inside a height x width image; empty if there is none.

    Sutherland and Hodgman: cut at one side after the other; parts that come apart stay joined along the border.
    """
    points = list(zip(polygon[::2], polygon[1::2], strict=True))
    for axis, border, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        kept: list[tuple[float, float]] = []
        for a, b in zip([points[-1], *points[:-1]], points, strict=True):
            a_inside, b_inside = sign * (a[axis] - border), sign * (b[axis] - border)
            if (a_inside < 0) != (b_inside < 0):
                other = a[1 - axis] + (b[1 - axis] - a[1 - axis]) * a_inside / (a_inside - b_inside)
                kept.append((border, other) if axis == 0 else (other, border))
            if b_inside >= 0:
                kept.append(b)
        if not kept:
            return []
        points = kept
    return [coordinate for point in points for coordinate in point]


def _rle_problem(rle: dict, height: int, width: int) -> str | None:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width] or type(size[0]) is not int or type(size[1]) is not int:
        return f"RLE size is {as_in_file(size)}, expected the image's [{height}, {width}]"
    lengths: Any = run_lengths(counts) if isinstance(counts, str | bytes) else counts
    wrong = None
    if lengths is None or (lengths is counts and not _are_whole(counts)):
        wrong = "expected COCO's compressed string or a list of whole numbers"
        if isinstance(counts, str) and counts.startswith(("b'", 'b"')):
            wrong = "Python's text of bytes, expected the string itself (counts.decode())"
    elif len(lengths) and min(lengths) < 0:
        wrong = "in which a number is negative"
    elif (total := int(sum(lengths))) != height * width:
        wrong = f"which sum to {total}, expected height x width = {height * width}"
    return f"RLE counts are {as_in_file(counts)}, {wrong}" if wrong else None


def _are_whole(counts: Any) -> bool:
    return isinstance(counts, list) and all(type(count) is int for count in counts)


def run_lengths(counts: str | bytes) -> np.ndarray | None:
    """Run lengths behind the string of a compressed RLE, (runs,) int64, background first; None if it is broken."""
    if isinstance(counts, str) and not counts.isascii():
        return None
    text = bytes_of(counts) if isinstance(counts, str) else np.frombuffer(bytearray(counts), np.uint8)
    lengths = np.empty(len(text), np.int64)
    count = read_lengths(text, 0, len(text), lengths)
    return lengths[:count] if count > 0 else None


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Compressed RLE `{"size": [height, width], "counts": str}` of a checked segmentation; polygons are united."""
    if isinstance(segmentation, list):
        parts = coco_mask.frPyObjects(segmentation, height, width)
        rle = parts[0] if len(parts) == 1 else coco_mask.merge(parts)
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    counts = rle["counts"]
    return {"size": [height, width], "counts": counts.decode() if isinstance(counts, bytes) else counts}


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE of a mask, (H, W) bool."""
    if mask.size < LARGE:
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    else:
        rle = coco_mask.frPyObjects({"size": mask.shape, "counts": _lengths(mask)}, *mask.shape)
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def _lengths(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask, (H, W) bool, from its smallest box alone: a large picture is mostly background."""
    height, width = mask.shape
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return [height * width]
    part = mask[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(part.any(0))
    part = part[:, columns[0] : columns[-1] + 1].T
    column, row = np.nonzero(np.diff(np.pad(part.astype(np.int8), ((0, 0), (1, 1))), axis=1))
    edges = (column + columns[0]) * height + row + rows[0]  # where a run starts, where it ends, where the next starts …
    joined = 2 * np.flatnonzero(edges[1:-1:2] == edges[2::2]) + 1  # from the foot of a column to the head of the next
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    lengths: list[int] = np.diff(edges, prepend=0, append=height * width).tolist()
    return lengths if lengths[-1] else lengths[:-1]


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Mask of a checked segmentation, (H, W) bool."""
    return coco_mask.decode(to_rle(segmentation, height, width)).astype(bool)
