"""Masks in the forms that other programs write, as COCO writes the same mask."""

import ast
import json
import math
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import NUMBERS, segmentation_problem, to_rle

POINTS = (("x", "y"), ("all_points_x", "all_points_y"))  # keys of points: of one point, or of all of a polygon


def as_coco(segmentation: Any, height: int, width: int) -> tuple[str, Any] | None:
    """A segmentation in a form of its own that has one reading only.

    Args:
        height, width: of its image, pixels.

    Returns:
        The form's name and the segmentation as COCO has it, polygons or RLE, whose numbers may still be wrong; None
        for COCO's own forms and for what has no reading.
    """
    if isinstance(segmentation, str):
        try:
            parsed = json.loads(segmentation)
        except (ValueError, RecursionError):
            return None
        if not isinstance(parsed, list | dict):
            return None
        _, parsed = as_coco(parsed, height, width) or ("", parsed)
        return ("text", parsed) if _is_coco(parsed) else None
    if isinstance(segmentation, dict):
        return _of_object(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return None
    if all(isinstance(part, dict) and "counts" in part for part in segmentation):
        return _united(segmentation, height, width)
    return _of_list(segmentation)


def _is_coco(segmentation: Any) -> bool:
    """Whether this is COCO's form, whatever its numbers are."""
    if isinstance(segmentation, dict):
        return "counts" in segmentation
    return bool(segmentation) and all(isinstance(polygon, list) and _are_numbers(polygon) for polygon in segmentation)


def _of_object(value: dict) -> tuple[str, Any] | None:
    """Coordinates in two lists; run lengths as floats."""
    if (polygon := _polygon_of_lists(value)) is not None:
        return "lists of x and of y", [polygon]
    counts = value.get("counts")
    if isinstance(counts, str) and (text := bytes_in_text(counts)) is not None:
        return "RLE as Python's text of bytes", {**value, "counts": text}
    if not isinstance(counts, list) or float not in map(type, counts) or not _are_numbers(counts):
        return None
    if all(abs(count) < 2**53 and count == int(count) for count in counts):
        return "run lengths with .0", {**value, "counts": [int(count) for count in counts]}
    return None


def _polygon_of_lists(value: dict) -> list | None:
    """[x0, y0, x1, y1, …] of coordinates in two lists of one length; None if there are none."""
    for keys in POINTS:
        xs, ys = (value.get(key) for key in keys)
        if isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys) and _are_numbers(xs + ys):
            return [number for point in zip(xs, ys, strict=True) for number in point]
    return None


def bytes_in_text(text: str) -> str | None:
    """What Python's text of bytes holds, b'…', as `str` makes it of them; None if this isn't one."""
    if not text.startswith(("b'", 'b"')):  # no run length is written with a quotation mark
        return None
    try:
        content = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return content.decode() if isinstance(content, bytes) and content.isascii() else None


def _united(masks: list[dict], height: int, width: int) -> tuple[str, Any] | None:
    """RLE in a list: that one, or the union of several."""
    if len(masks) == 1:
        return "RLE in a list", masks[0]
    if any(segmentation_problem(mask, height, width) for mask in masks):
        return None
    union = coco_mask.merge([to_rle(mask, height, width) for mask in masks])
    return "several RLE in a list", {"size": [height, width], "counts": union["counts"].decode()}


def _of_list(value: list) -> tuple[str, Any] | None:
    """Polygons of numbers as text, flat, of pairs or of points, or one list deeper."""
    numbers = _with_numbers(value)
    if numbers != value:
        _, polygons = _of_list(numbers) or ("", numbers)
        return ("numbers as text", polygons) if _is_coco(polygons) else None
    if _are_numbers(value):
        return "one flat list", [value]
    if (polygon := _polygon_of_points(value)) is not None:
        return "points [x, y] in one list", [polygon]
    if not all(isinstance(part, list) and part for part in value) or _is_coco(value):
        return None
    polygons = [_polygon_of_points(part) for part in value]
    if None not in polygons:
        return "polygons of points [x, y]", polygons
    deeper = [polygon for part in value for polygon in part]
    return ("polygons one list deeper", deeper) if all(map(_are_points, deeper)) else None


def _are_points(value: Any) -> bool:
    """Whether this is a list of numbers, those of three points or more."""
    return isinstance(value, list) and len(value) >= 6 and _are_numbers(value)


def _are_numbers(values: list) -> bool:
    return bool(values) and NUMBERS.issuperset(map(type, values))


def _with_numbers(value: Any, depth: int = 4) -> Any:
    """Lists in which text that is a finite number is this number."""
    if isinstance(value, list) and depth:
        return [_with_numbers(item, depth - 1) for item in value]
    if isinstance(value, str) and len(value) < 40:
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _polygon_of_points(points: list) -> list | None:
    """[x0, y0, x1, y1, …] of three points or more, objects of x and y, pairs or triples; None if they are none."""
    polygon: list = []
    for point in points:
        if isinstance(point, dict) and point.keys() >= {"x", "y"}:
            point = [point["x"], point["y"]]
        if not isinstance(point, list) or len(point) not in (2, 3) or not _are_numbers(point):
            return None
        polygon += point[:2]
    return polygon if len(polygon) >= 6 else None
