"""The COCO file format: annotation files, checked as they are read. Masks and pictures have files of their own.

Specification: https://cocodataset.org/#format-data.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import NUMBERS, TOLERANCE, segmentation_problems, to_rle
from bcnet.files import InputError, read_json, shown

SECTIONS = {"images": "image", "categories": "category", "annotations": "annotation"}  # and what an entry is called
LARGEST_ID = 2**63 - 1  # of the tables' columns
LARGEST_AREA = 2**53  # up to here float64, the tables' type, holds every whole number
LARGEST_IMAGE = 178_956_970  # pixels: Pillow takes a larger picture for a decompression bomb
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # control characters and line ends


class Problem(NamedTuple):
    """What is wrong: the entry it is about, such as "image 3", and the whole line that says it."""

    entry: str
    line: str


def read(path: Path) -> dict[str, Any]:
    """Read and check an annotation file.

    What a file may leave out is filled in: `iscrowd` with 0, `bbox` and `area` from the mask. A box without height or
    without width is accepted (train2017 has two), a polygon may reach `TOLERANCE` pixels outside its image.

    Returns:
        The file's content with `images`, `annotations` and `categories`; all else in it is kept.

    Raises:
        InputError: not JSON, or not COCO's format; names the image, annotation or category and what is wrong with it.
    """
    data, not_json = parse(path)
    for problem in problems(data):
        raise InputError(f"{path}: {problem.line}")
    if not_json:
        raise not_json
    return data


def read_images(path: Path) -> list[dict[str, Any]]:
    """Read and check the images of a file that may have no annotations, such as COCO's `image_info` files.

    Raises:
        InputError: not JSON, no list of images, or a wrong one, which it names.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise InputError(f"{path}: no list 'images', expected a COCO file")
    for problem in section("image", data["images"], {}, image_problems):
        raise InputError(f"{path}: {problem.line}")
    return data["images"]


def parse(path: Path) -> tuple[Any, InputError | None]:
    """Content of a file, and why it is not JSON although Python can read it: NaN, Infinity, a byte order mark.

    Raises:
        InputError: the file is missing or unreadable, or Python cannot read it either.
    """
    try:
        return read_json(path), None
    except InputError as error:
        with suppress(OSError, ValueError, RecursionError):
            return json.loads(path.read_bytes()), error
        raise


def problems(data: Any) -> Iterator[Problem]:
    """All that is wrong with the content of an annotation file; what annotations may leave out is filled in.

    An annotation's mask and box are checked only where its image has a size.
    """
    if missing := missing_sections(data):
        yield from (Problem(name, f"no list {name!r}, expected a COCO annotation file") for name in missing)
        return
    images: dict[int, Any] = {}
    yield from section("image", data["images"], images, image_problems)
    images = {key: image if has_size(image) else None for key, image in images.items()}
    categories: dict[int, Any] = {}
    yield from section("category", data["categories"], categories, category_problems)
    yield from section("annotation", data["annotations"], {}, lambda it: annotation_problems(it, images, categories))


def missing_sections(data: Any) -> list[str]:
    """Those of `SECTIONS` that are not there as lists."""
    return [name for name in SECTIONS if not isinstance(data, dict) or not isinstance(data.get(name), list)]


def section(
    what: str, entries: list, known: dict[int, Any], check: Callable[[dict], Iterator[str]]
) -> Iterator[Problem]:
    """The problems of a section's entries; the entries go into `known` by their id.

    Args:
        what: what an entry is called.
        check: all that is wrong with an entry beside its id.
    """
    for place, entry in enumerate(entries):
        name = f"{what} at place {place}"
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            yield Problem(name, f"{name} has no whole number as 'id'")
            if not isinstance(entry, dict):
                continue
        else:
            name = f"{what} {entry['id']}"
            if known.setdefault(entry["id"], entry) is not entry:
                yield Problem(name, f"{name}: this id is there twice")
        for problem in check(entry):
            yield Problem(name, f"{name}: {problem}")


def by_id(entries: list) -> dict[int, dict]:
    """The entries of a section, checked or not, that have a right id."""
    return {entry["id"]: entry for entry in entries if isinstance(entry, dict) and is_id(entry.get("id"))}


def is_id(value: Any) -> bool:
    """Whether this can be an id: a whole number from 0 to `LARGEST_ID`."""
    return type(value) is int and 0 <= value <= LARGEST_ID


def image_problems(image: dict) -> Iterator[str]:
    """All that is wrong with an image beside its id."""
    width, height = image.get("width"), image.get("height")
    for key, side in (("width", width), ("height", height)):
        if not _is_side(side):
            yield f"{key} is {shown(side)}, expected a whole number of pixels"
    if _is_side(width) and _is_side(height) and not has_size(image):
        yield f"width x height is {width}x{height}, expected at most {LARGEST_IMAGE} pixels"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        yield f"file_name is {shown(name)}, expected a path below the picture folder"
    elif not names_a_file(image):
        yield f"file_name {shown(name)} leaves the picture folder or holds a tab, line end or control character"


def _is_side(side: Any) -> bool:
    return type(side) is int and side >= 1


def has_size(image: dict) -> bool:
    """Whether an image's width and height are right."""
    sides: list[Any] = [image.get("width"), image.get("height")]
    return all(map(_is_side, sides)) and math.prod(sides) <= LARGEST_IMAGE


def names_a_file(image: dict) -> bool:
    """Whether an image's file_name is right."""
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        return False
    return not (name.startswith("/") or ".." in name.split("/") or UNSAFE.search(name))


def category_problems(category: dict) -> Iterator[str]:
    """All that is wrong with a category beside its id."""
    if not isinstance(category.get("name"), str):
        yield f"name is {shown(category.get('name'))}, expected a text"


def annotation_problem(
    annotation: dict, images: Mapping[int, dict | None], categories: Mapping[int, dict]
) -> str | None:
    """The first of `annotation_problems`, None if there is none; then what the annotation leaves out is filled in."""
    return next(annotation_problems(annotation, images, categories), None)


def annotation_problems(
    annotation: dict, images: Mapping[int, dict | None], categories: Mapping[int, dict]
) -> Iterator[str]:
    """All that is wrong with an annotation beside its id.

    Args:
        annotation: an entry of `annotations`; a missing `iscrowd`, and `bbox` and `area` where its mask is right, are
            filled in, as is an `amodal_bbox` beside an `amodal_segmentation`.
        images: the file's images by id; None for one without a right size, whose masks and boxes are not checked.
        categories: the file's categories by id.
    """
    image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
    image = None
    if type(image_id) is int and image_id in images:
        image = images[image_id]
    else:
        yield f"image_id {shown(image_id)} is not the id of an image of this file"
    if type(category_id) is not int or category_id not in categories:
        yield f"category_id {shown(category_id)} is not the id of a category of this file"
    crowd = annotation.setdefault("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        yield f"iscrowd is {shown(crowd)}, expected 0 or 1"
    if image:
        height, width = image["height"], image["width"]
        wrong = list(segmentation_problems(annotation.get("segmentation"), height, width))
        yield from wrong
        if not wrong and (annotation.get("bbox") is None or annotation.get("area") is None):
            rle = to_rle(annotation["segmentation"], height, width)
            if size := int(coco_mask.area(rle)):
                if annotation.get("bbox") is None:
                    annotation["bbox"] = coco_mask.toBbox(rle).tolist()
                if annotation.get("area") is None:
                    annotation["area"] = size
            else:
                yield "its mask is empty, so no bbox and area can be computed from it"
    area, box = annotation.get("area"), annotation.get("bbox")
    if area is not None and not is_area(area):
        yield f"area is {shown(area)}, expected a number of pixels"
    if image and box is not None and not is_box(box, height, width):
        yield f"bbox is {shown(box)}, expected [x, y, width, height] inside the {width}x{height} image"
    if image and "amodal_segmentation" in annotation:
        yield from _amodal_problems(annotation, height, width)
    if image and "visible_segmentation" in annotation:
        wrong = list(segmentation_problems(annotation["visible_segmentation"], height, width))
        yield from (f"visible_segmentation: {problem}" for problem in wrong)


def _amodal_problems(annotation: dict, height: int, width: int) -> Iterator[str]:
    wrong = list(segmentation_problems(annotation["amodal_segmentation"], height, width))
    yield from (f"amodal_segmentation: {problem}" for problem in wrong)
    if not wrong and annotation.get("amodal_bbox") is None:
        rle = to_rle(annotation["amodal_segmentation"], height, width)
        annotation["amodal_bbox"] = coco_mask.toBbox(rle).tolist()
    box = annotation.get("amodal_bbox")
    if box is not None and not is_box(box, height, width):
        yield f"amodal_bbox is {shown(box)}, expected [x, y, width, height] inside the {width}x{height} image"


def depth_problem(annotation: dict) -> str | None:
    """What is wrong with an annotation's `depth`, None if nothing is or it has none; only who uses it needs to ask."""
    depth = annotation.get("depth", 0)
    if type(depth) in NUMBERS and 0 <= depth < math.inf:
        return None
    return f"depth is {shown(depth)}, expected a number from 0, smaller in front"


def hidden(annotation: dict) -> bool:
    """Whether an object is visible nowhere: only its amodal mask and box are known."""
    return annotation["area"] == 0 and "amodal_segmentation" in annotation


def is_area(area: Any) -> bool:
    """Whether this is a number of pixels."""
    return type(area) in NUMBERS and 0 <= area <= LARGEST_AREA


def is_box(box: Any, height: int, width: int) -> bool:
    """Whether this is [x, y, width, height] inside a height x width image."""
    if not isinstance(box, list) or len(box) != 4 or not NUMBERS.issuperset(map(type, box)):
        return False
    x, y, w, h = box
    inside = x >= -TOLERANCE and y >= -TOLERANCE and x + w <= width + TOLERANCE and y + h <= height + TOLERANCE
    return w >= 0 and h >= 0 and w + h > 0 and inside
