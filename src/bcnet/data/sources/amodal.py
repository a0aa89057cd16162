"""What the readers of amodal datasets share: masks in the project's format, and depth from who is in front of whom."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import segmentation_problem, to_rle
from bcnet.files import InputError, shown

Rle = dict[str, Any]  # compressed, of image size


def lists_of(path: Path, data: Any, names: Iterable[str]) -> list[list[Any]]:
    """The lists under these keys of a file's content.

    Raises:
        InputError: one is missing.
    """
    for name in names:
        if not isinstance(data, dict) or not isinstance(data.get(name), list):
            raise InputError(f"{path}: no list {name!r}")
    return [data[name] for name in names]


def checked_by_id(path: Path, what: str, entries: list[Any], check: Callable[[dict], Iterator[str]]) -> dict[int, dict]:
    """Entries of a section by their id; `what` and `check` as in `coco.section`.

    Raises:
        InputError: the first problem of an entry.
    """
    known: dict[int, dict] = {}
    for problem in annotation_file.section(what, entries, known, check):
        raise InputError(f"{path}: {problem.line}")
    return known


def reference_problems(entry: dict, images: dict[int, dict], categories: dict[int, dict]) -> Iterator[str]:
    """What is wrong with the ids of image and category that an annotation names."""
    for key, known in (("image_id", images), ("category_id", categories)):
        if type(value := entry.get(key)) is not int or value not in known:
            yield f"{key}: {shown(value)}: expected one of the file's {len(known)}"


def mask_of(segmentation: Any, image: dict[str, Any], where: str) -> Rle:
    """Compressed RLE of an original mask, cut to its image.

    Amodal outlines may leave the image. Parts of fewer than three points, which enclose nothing, are left out: the COCO
    API would take four numbers for a box.

    Args:
        segmentation: polygons, one flat polygon, RLE, or an empty list for an empty mask.
        image: its entry of `images`.
        where: file, object and key, for the error.

    Raises:
        InputError: none of these, of another size, or a point farther outside than the image is long.
    """
    height, width = image["height"], image["width"]
    if isinstance(segmentation, dict):
        if problem := segmentation_problem(segmentation, height, width):
            raise InputError(f"{where}: {problem}")
        return to_rle(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise InputError(f"{where}: {shown(segmentation)}, expected polygons or RLE")
    polygons = segmentation if all(isinstance(part, list) for part in segmentation) else [segmentation]
    side = max(height, width)
    for polygon in polygons:
        if len(polygon) % 2:
            raise InputError(f"{where}: a polygon has {len(polygon)} numbers, expected x and y of each point")
        for number in polygon:
            if type(number) not in (int, float) or not math.isfinite(number) or not -side <= number <= 2 * side:
                raise InputError(
                    f"{where}: {shown(number)} in a polygon, expected pixels of the {width}x{height} image"
                )
    enclosing = [polygon for polygon in polygons if len(polygon) >= 6]
    return to_rle(enclosing or {"size": [height, width], "counts": [height * width]}, height, width)


def shape_keys(amodal: Rle, visible: Rle) -> dict[str, Any]:
    """The keys of an annotation that say its shape: of what is seen, and `amodal_` of the whole object.

    Boxes and area are those of the masks. An object that is visible nowhere keeps its empty mask and area 0, and its
    amodal box as `bbox`: the place where it is hidden.
    """
    area, amodal_box = int(coco_mask.area(visible)), coco_mask.toBbox(amodal).tolist()
    return {
        "segmentation": visible,
        "area": area,
        "bbox": coco_mask.toBbox(visible).tolist() if area else amodal_box,
        "iscrowd": 0,
        "amodal_segmentation": amodal,
        "amodal_bbox": amodal_box,
    }


def depths(objects: Iterable[int], in_front_of: Iterable[tuple[int, int]]) -> dict[int, int] | None:
    """The depth of each object: how many stand before it on the longest way to the front, 0 with none before it.

    Every given pair is kept. Of two objects that no chain of pairs connects it says nothing, though it has to give
    both a number.

    Args:
        objects: names of the objects.
        in_front_of: pairs of (the one in front, the one behind).

    Returns:
        Depths by object, or None if the pairs form a cycle, as those of entangled objects do.
    """
    before: dict[int, set[int]] = {name: set() for name in objects}
    for front, behind in in_front_of:
        before[behind].add(front)
    depth: dict[int, int] = {}
    try:
        for name in TopologicalSorter(before).static_order():
            depth[name] = max((depth[other] + 1 for other in before[name]), default=0)
    except CycleError:
        return None
    return depth


def say_left_out(path: Path, count: int, what: str) -> None:
    """Tell on stderr what a reader left out, if anything."""
    if count:
        print(f"bcnet fetch: {path}: {count} {what}", file=sys.stderr)
