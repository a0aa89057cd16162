"""Fix: what is wrong with an annotation file and has only one right answer, put right."""

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import NUMBERS, clip, polygon_extent, segmentation_problem
from bcnet.files import InputError, shown


def fix(data: Any, pictures: Path | None) -> list[Problem]:
    """Fix the content of an annotation file in place; `coco.problems` then tells what could not be fixed.

    Whole numbers written as text or with ".0" become integers; an image without a size gets that of its picture; the
    second of two equal images or categories goes; a second annotation with an id gets a free one; polygons are fixed
    one by one; boxes and areas that are wrong are taken from the mask. An annotation that is still wrong goes.

    Args:
        pictures: the folder of its pictures, if sizes may be taken from them.

    Returns:
        The changes: the entry, and a line with key, old and new value.
    """
    if annotation_file.missing_sections(data):
        return []
    changes = [*_fix_named("image", data, pictures), *_fix_named("category", data, None), *_fix_annotations(data)]
    return changes + list(_without_nan(data))


def _name(what: str, entry: dict, place: int) -> str:
    return f"{what} {entry['id']}" if annotation_file.is_id(entry.get("id")) else f"{what} at place {place}"


def _put(entry: dict, key: str, value: Any, name: str) -> Iterator[Problem]:
    """Set a key, and say so if its value or type is another."""
    old = entry.get(key)
    if key not in entry or type(old) is not type(value) or old != value:
        was = shown(old) if key in entry else "missing"
        entry[key] = value
        yield Problem(name, f"{name}: {key}: {was} -> {shown(value)}")


def _whole(value: Any) -> Any:
    """A digit string or a whole float as an integer, all else as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value


def _fix_whole(entry: dict, keys: tuple[str, ...], name: str) -> Iterator[Problem]:
    for key in keys:
        if key in entry:
            yield from _put(entry, key, _whole(entry[key]), name)


def _fix_named(what: str, data: dict, pictures: Path | None) -> Iterator[Problem]:
    """Fix images or categories. Two different ones with one id stay: nobody knows whose the annotations are."""
    section = {"image": "images", "category": "categories"}[what]
    kept: dict[int, dict] = {}
    entries = []
    for place, entry in enumerate(data[section]):
        if isinstance(entry, dict):
            name = _name(what, entry, place)
            yield from _fix_whole(entry, ("id", "width", "height") if what == "image" else ("id",), name)
            if pictures and not annotation_file.has_size(entry) and annotation_file.names_a_file(entry):
                try:
                    height, width = read_image(pictures / entry["file_name"]).shape[:2]
                except InputError:
                    pass  # the checks of the pictures tell it
                else:
                    yield from _put(entry, "width", width, name)
                    yield from _put(entry, "height", height, name)
            first = kept.setdefault(entry["id"], entry) if annotation_file.is_id(entry.get("id")) else entry
            if first is not entry and first == entry:
                yield Problem(name, f"{name}: removed: the same entry occurs twice")
                continue
        entries.append(entry)
    data[section] = entries


def _fix_annotations(data: dict) -> Iterator[Problem]:
    images = annotation_file.with_size(annotation_file.by_id(data["images"]))
    categories, free = annotation_file.by_id(data["categories"]), _free_ids(data["annotations"])
    kept: dict[int, dict] = {}
    for place, entry in enumerate(data["annotations"]):
        if not isinstance(entry, dict):
            name = f"annotation at place {place}"
            yield Problem(name, f"{name}: removed: {shown(entry)}, expected an object")
            continue
        name = _name("annotation", entry, place)
        yield from _fix_values(entry, name)
        image = images.get(entry["image_id"]) if annotation_file.is_id(entry.get("image_id")) else None
        old = {key: entry.get(key) for key in ("bbox", "area")}
        if image:
            yield from _fix_shape(entry, image["height"], image["width"], name)
        if problem := annotation_rules.annotation_problem(entry, images, categories):
            yield Problem(name, f"{name}: removed: {problem}")
            continue
        if image:
            annotation_rules.fill_annotation(entry, image)
        for key in [key for key, value in old.items() if entry.get(key) is not value]:
            yield Problem(name, f"{name}: {key}: {shown(old[key])} -> {shown(entry[key])}")
        if not annotation_file.is_id(entry.get("id")) or entry["id"] in kept:
            yield from _put(entry, "id", next(free), name)
        kept[entry["id"]] = entry
    data["annotations"] = list(kept.values())


def _free_ids(entries: list[Any]) -> Iterator[int]:
    """The ids from 1 on that no entry has, or will have once it is fixed."""
    named = [_whole(entry.get("id")) for entry in entries if isinstance(entry, dict)]
    taken = {number for number in named if annotation_file.is_id(number)}
    return (number for number in count(1) if number not in taken)


def _fix_values(entry: dict, name: str) -> Iterator[Problem]:
    """Fix what an annotation says beside its shape and its own id's being free."""
    yield from _fix_whole(entry, ("id", "image_id", "category_id"), name)
    crowd = entry.get("iscrowd")
    crowd = int(crowd or 0) if crowd is None or isinstance(crowd, bool) else _whole(crowd)
    yield from _put(entry, "iscrowd", crowd, name)


def _fix_shape(entry: dict, height: int, width: int, name: str) -> Iterator[Problem]:
    """Fix an annotation's mask; a box and an area that are wrong are taken away."""
    box, area = entry.get("bbox"), entry.get("area")
    yield from _fix_segmentation(entry, height, width, name)
    if not annotation_rules.is_box(box, height, width):
        entry["bbox"] = None
    if not annotation_rules.is_area(area):
        entry["area"] = None


def _fix_segmentation(entry: dict, height: int, width: int, name: str) -> Iterator[Problem]:
    """Fix a flat polygon, the size of an RLE, polygons that are none, and polygons that reach outside.

    Where one is cut at the image's border, the box and the area that it had are taken away.
    """
    segmentation: Any = entry.get("segmentation")
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if size == [height, width] and list(map(type, size)) != [int, int]:
        segmentation["size"] = [height, width]
        yield Problem(name, f"{name}: segmentation: size: {shown(size)} -> {[height, width]}")
    if not isinstance(segmentation, list):
        return
    if segmentation and NUMBERS.issuperset(map(type, segmentation)):
        yield Problem(name, f"{name}: segmentation: {shown(segmentation)} -> a list of this polygon")
        segmentation = [segmentation]
    entry["segmentation"] = polygons = []
    for polygon in segmentation:
        problem = segmentation_problem([polygon], height, width)
        if problem is None:
            polygons.append(polygon)
            continue
        cut = [] if isinstance(polygon_extent(polygon), str) else clip(polygon, height, width)
        if cut and segmentation_problem([cut], height, width) is None:
            polygons.append(cut)
            entry["bbox"] = entry["area"] = None
            yield Problem(name, f"{name}: segmentation: cut at the image's border: {problem}")
        else:
            yield Problem(name, f"{name}: segmentation: polygon dropped: {problem}")


def _without_nan(data: dict) -> Iterator[Problem]:
    """NaN and infinities, which JSON has not, become null where no rule asks for a number."""
    waiting: list[tuple[str, Any]] = [("file", data)]
    while waiting:
        name, value = waiting.pop()
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            where = f"{name}: {key}"
            if isinstance(item, dict) and annotation_file.is_id(item.get("id")) and isinstance(value, list):
                where = f"{name}: id {item['id']}"
            if isinstance(item, float) and not math.isfinite(item):
                value[key] = None
                yield Problem("file", f"{where}: {item} -> null")
            elif isinstance(item, dict | list):
                waiting.append((where, item))
