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

from bcnet.data.coco.annotation_rules import annotation_problems, fill_annotation
from bcnet.data.coco.checked import is_checked, note_checked
from bcnet.data.coco.foreign import foreign
from bcnet.data.masks.segmentation import NUMBERS, are_triples
from bcnet.files import InputError, at_place, from_json, read_json, readable, shown

SECTIONS = {"images": "image", "categories": "category", "annotations": "annotation"}  # and what an entry is called
AMODAL = {("visible_mask",): "cocoa_cls", ("inmodal_seg",): "kins"}  # keys beside an amodal `segmentation`: its source
MISSING = "missing"  # in place of the value of a key that is not there
LARGEST_ID = 2**63 - 1  # of the tables' columns
LARGEST_IMAGE = 178_956_970  # pixels: Pillow takes a larger picture for a decompression bomb
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # control characters and line ends


class Problem(NamedTuple):
    """What is wrong: the entry it is about, such as "image 3", and the whole line that says it."""

    entry: str
    line: str


def read(path: Path) -> dict[str, Any]:
    """Read an annotation file, and check it if its content was not checked before (`checked`).

    What a file may leave out is filled in: `iscrowd` with 0, `bbox` and `area` from the mask. A box without height or
    without width is accepted (train2017 has two), a polygon may reach `TOLERANCE` pixels outside its image.

    Returns:
        The file's content with `images`, `annotations` and `categories`; all else in it is kept.

    Raises:
        InputError: not JSON, or not COCO's format; names the image, annotation or category and what is wrong with it.
    """
    with readable(path):
        content = path.read_bytes()
    data, not_json = parse(path, content)
    if not is_checked(path, content):
        for problem in problems(data):
            raise InputError(f"{path}: {problem.line}")
        if not_json:
            raise not_json
        note_checked(path, content)
    fill(data)
    return data


def read_images(path: Path) -> list[dict[str, Any]]:
    """Read and check the images of a file that may have no annotations, such as COCO's `image_info` files.

    Raises:
        InputError: not JSON, no list of images, or a wrong one, which it names.
    """
    return _read_section(path, read_json(path), "images", image_problems)


def read_images_and_categories(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read and check both of a file that may have no annotations.

    Raises:
        InputError: not JSON, no list of either, or a wrong entry, which it names.
    """
    data = read_json(path)
    images = _read_section(path, data, "images", image_problems)
    return images, _read_section(path, data, "categories", category_problems)


def _read_section(path: Path, data: Any, name: str, check: Callable[[dict], Iterator[str]]) -> list[dict[str, Any]]:
    if not isinstance(data, dict) or not isinstance(data.get(name), list):
        raise InputError(f"{path}: no list {name!r}, expected a COCO file")
    for problem in section(SECTIONS[name], data[name], {}, check):
        raise InputError(f"{path}: {problem.line}")
    entries: list[dict[str, Any]] = data[name]
    return entries


def parse(path: Path, content: bytes) -> tuple[Any, InputError | None]:
    """What a file's bytes say, and why they are not JSON although Python can read them: NaN, a byte order mark.

    Raises:
        InputError: Python cannot read them either.
    """
    try:
        return from_json(path, content), None
    except InputError as error:
        with suppress(ValueError, RecursionError):
            return json.loads(content), error
        raise


def problems(data: Any) -> Iterator[Problem]:
    """All that is wrong with the content of an annotation file, in which nothing is changed.

    What annotations may leave out is no problem: `fill` fills it in. An annotation's mask and box are checked only
    where its image has a size.
    """
    if missing := missing_sections(data):
        if known := foreign(data):
            yield Problem("file", f"expected a COCO annotation file, this is {known}")
            return
        yield from (Problem(name, f"no list {name!r}, expected a COCO annotation file") for name in missing)
        return
    images: dict[int, Any] = {}
    yield from section("image", data["images"], images, image_problems)
    sized = with_size(images)
    categories: dict[int, Any] = {}
    if data["categories"] and all(isinstance(name, str) for name in data["categories"]):
        yield Problem("file", 'the categories are bare names, expected objects {"id": 1, "name": "…"}')
        return
    yield from section("category", data["categories"], categories, category_problems)
    if are_triples(entry.get("segmentation") for entry in data["annotations"] if isinstance(entry, dict)):
        yield Problem("file", "the polygons are x, y, z triples, expected x, y pairs (`bcnet check --fix` mends it)")
    yield from section("annotation", data["annotations"], {}, lambda it: annotation_problems(it, sized, categories))


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
        name = at_place(what, place)
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            yield Problem(name, f"{name} has no whole number as 'id'")
            if not isinstance(entry, dict):
                continue
        else:
            name = f"{what} {entry['id']}"
            if known.setdefault(entry["id"], entry) is not entry:
                yield Problem(name, f"{name}: this id occurs twice")
        for problem in check(entry):
            yield Problem(name, f"{name}: {problem}")


def by_id(entries: list) -> dict[int, dict]:
    """The entries of a section, checked or not, that have a right id."""
    return {entry["id"]: entry for entry in entries if isinstance(entry, dict) and is_id(entry.get("id"))}


def with_size(images: Mapping[int, Any]) -> dict[int, dict | None]:
    """Images by id, None in the place of one without a right size."""
    return {key: image if has_size(image) else None for key, image in images.items()}


def is_id(value: Any) -> bool:
    """Whether this can be an id: a whole number from 0 to `LARGEST_ID`."""
    return type(value) is int and 0 <= value <= LARGEST_ID


def image_problems(image: dict) -> Iterator[str]:
    """All that is wrong with an image beside its id."""
    width, height = image.get("width"), image.get("height")
    for key, side in (("width", width), ("height", height)):
        if not _is_side(side):
            yield f"{key} is {shown(side) if key in image else MISSING}, expected a whole number of pixels"
    if _is_side(width) and _is_side(height) and not has_size(image):
        yield f"width x height is {width}x{height}, expected at most {LARGEST_IMAGE} pixels"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        yield f"file_name is {shown(name) if 'file_name' in image else MISSING}, expected a path below the image folder"
    elif not names_a_file(image):
        yield f"file_name {shown(name)} leaves the image folder or contains a tab, line end or control character"


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
        yield f"name is {shown(category['name']) if 'name' in category else MISSING}, expected a text"


def fill(data: dict[str, Any]) -> None:
    """Fill in what the annotations of a file without problems leave out."""
    images = {image["id"]: image for image in data["images"]}
    for annotation in data["annotations"]:
        fill_annotation(annotation, images[annotation["image_id"]])


def depth_problem(annotation: dict) -> str | None:
    """What is wrong with an annotation's `depth`, None if nothing is or it has none; only who uses it needs to ask."""
    depth = annotation.get("depth", 0)
    if type(depth) in NUMBERS and 0 <= depth < math.inf:
        return None
    return f"depth is {shown(depth)}, expected a number from 0, smaller in front"


def is_outside(annotation: dict) -> bool:
    """Whether a video's track says that its object isn't in this image; its mask is then where it last was."""
    attributes = annotation.get("attributes")
    return isinstance(attributes, dict) and "track_id" in attributes and attributes.get("outside") is True


def hidden(annotation: dict) -> bool:
    """Whether an object is visible nowhere: only its amodal mask and box are known."""
    return annotation["area"] == 0 and "amodal_segmentation" in annotation
