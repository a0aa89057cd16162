"""Fix: what is wrong with an annotation file and has only one right answer, put right."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.check.conventions import conventions, mend_form
from bcnet.data.check.entries import FEWEST, MOST, entry_name, put
from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import clip, polygon_extent, segmentation_problem, to_rle
from bcnet.files import InputError, at_place, shown

EXACT = 2**53  # float64 tells whole numbers below it apart
BOX_AREA = 1.1  # an area that is the box's, and so many times the mask's, is not meant to be the mask's


@dataclass
class Fixed:
    """What was done to a file.

    Attributes:
        changes: the entry, and a line with key, old and new value.
        annotations, polygons: how many there were.
        lost_annotations, lost_polygons: how many of them are gone.
    """

    changes: list[Problem] = field(default_factory=list)
    annotations: int = 0
    polygons: int = 0
    lost_annotations: int = 0
    lost_polygons: int = 0

    def loss(self) -> float:
        """The share of the annotations or of the polygons that is lost, whichever is larger."""
        return max(
            self.lost_annotations / max(self.annotations, 1),
            self.lost_polygons / max(self.polygons, 1),
        )

    def lost(self) -> str:
        """What is lost, for a line; empty for nothing."""
        parts = (
            f"{lost} of {total} {what}"
            for what, lost, total in (
                ("annotations", self.lost_annotations, self.annotations),
                ("polygons of the rest", self.lost_polygons, self.polygons),
            )
            if lost
        )
        return " and ".join(parts)


def fix(data: Any, pictures: Path | None) -> Fixed:
    """Fix the content of an annotation file in place; `coco.problems` then tells what could not be fixed.

    What most entries have in common is mended first (`conventions`), everywhere. Whole numbers written as text or with
    ".0" become integers; an image without a size gets that of its picture; the second of two equal images or categories
    goes; a second annotation with an id gets a free one; polygons are fixed one by one; boxes and areas that are wrong
    are taken from the mask. An annotation that is still wrong, or of an object outside the image, goes.

    Args:
        pictures: the folder of its pictures, if sizes may be taken from them.
    """
    fixed = Fixed()
    if annotation_file.missing_sections(data):
        return fixed
    fixed.annotations = len(data["annotations"])
    fixed.changes += [*_fix_named("image", data, pictures), *_fix_named("category", data, None)]
    for entry, name in _entries(data):
        fixed.changes += _fix_values(entry, name)
    for convention in conventions(data):
        fixed.changes += convention.mend() if convention.mend else ()
    fixed.changes += _fix_annotations(data, fixed)
    fixed.changes += _fix_areas(data)
    fixed.changes += _without_nan(data)
    return fixed


def _entries(data: dict) -> Iterator[tuple[dict, str]]:
    """The annotations that are objects, and their names."""
    for place, entry in enumerate(data["annotations"]):
        if isinstance(entry, dict):
            yield entry, entry_name("annotation", entry, place)


def _whole(value: Any) -> Any:
    """A digit string or a whole float, below 2^53 where floats tell all apart, as an integer, all else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value


def _fix_whole(entry: dict, keys: tuple[str, ...], name: str) -> Iterator[Problem]:
    for key in keys:
        if key in entry:
            yield from put(entry, key, _whole(entry[key]), name)


def _fix_named(what: str, data: dict, pictures: Path | None) -> Iterator[Problem]:
    """Fix images or categories. Two different ones with one id stay: nobody knows whose the annotations are."""
    section = {"image": "images", "category": "categories"}[what]
    kept: dict[int, dict] = {}
    entries = []
    for place, entry in enumerate(data[section]):
        if isinstance(entry, dict):
            name = entry_name(what, entry, place)
            yield from _fix_whole(entry, ("id", "width", "height") if what == "image" else ("id",), name)
            if pictures and what == "image":
                yield from _fix_separators(entry, pictures, name)
            if pictures and not annotation_file.has_size(entry) and annotation_file.names_a_file(entry):
                try:
                    height, width = read_image(pictures / entry["file_name"]).shape[:2]
                except InputError:
                    pass  # the checks of the pictures tell it
                else:
                    yield from put(entry, "width", width, name)
                    yield from put(entry, "height", height, name)
            first = kept.setdefault(entry["id"], entry) if annotation_file.is_id(entry.get("id")) else entry
            if first is not entry and first == entry:
                yield Problem(name, f"{name}: removed: the same entry occurs twice")
                continue
        entries.append(entry)
    data[section] = entries


def _fix_separators(entry: dict, pictures: Path, name: str) -> Iterator[Problem]:
    """Write a path of Windows, with backslashes, as others do, if that is where the picture lies."""
    file = entry.get("file_name")
    if isinstance(file, str) and "\\" in file and annotation_file.names_a_file(entry):
        other = PurePosixPath(file.replace("\\", "/")).as_posix()
        moved = annotation_file.names_a_file({"file_name": other}) and (pictures / other).is_file()
        if moved and not (pictures / file).exists():
            yield from put(entry, "file_name", other, name)


def _fix_annotations(data: dict, fixed: Fixed) -> Iterator[Problem]:
    images = annotation_file.with_size(annotation_file.by_id(data["images"]))
    categories, free = annotation_file.by_id(data["categories"]), _free_ids(data["annotations"])
    kept: dict[int, dict] = {}
    for place, entry in enumerate(data["annotations"]):
        if not isinstance(entry, dict):
            name = at_place("annotation", place)
            yield Problem(name, f"{name}: removed: {shown(entry)}, expected an object")
            continue
        name = entry_name("annotation", entry, place)
        image = images.get(entry["image_id"]) if annotation_file.is_id(entry.get("image_id")) else None
        if annotation_file.is_outside(entry):
            yield Problem(name, f"{name}: removed: attributes: outside: no object is there")
            continue
        old = {key: entry.get(key) for key in ("bbox", "area")}
        dropped = polygons = 0
        if image:
            yield from mend_form(entry, image["height"], image["width"], name)
            polygons = len(entry["segmentation"]) if isinstance(entry.get("segmentation"), list) else 0
            for problem in _fix_shape(entry, image["height"], image["width"], name):
                dropped += "polygon dropped: " in problem.line
                yield problem
        if wrong := annotation_rules.annotation_problem(entry, images, categories):
            yield Problem(name, f"{name}: removed: {wrong}")
            continue
        fixed.polygons, fixed.lost_polygons = fixed.polygons + polygons, fixed.lost_polygons + dropped
        if image:
            annotation_rules.fill_annotation(entry, image)
        yield from _filled_in(entry, old, name)
        if not annotation_file.is_id(entry.get("id")) or entry["id"] in kept:
            yield from put(entry, "id", next(free), name)
        kept[entry["id"]] = entry
    fixed.lost_annotations = len(data["annotations"]) - len(kept)
    data["annotations"] = list(kept.values())


def _filled_in(entry: dict, old: dict[str, Any], name: str) -> Iterator[Problem]:
    """The keys of an annotation whose values are no longer the old ones."""
    for key, value in old.items():
        if entry.get(key) is not value:
            yield Problem(name, f"{name}: {key}: {shown(value)} -> {shown(entry[key])}")


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
    yield from put(entry, "iscrowd", crowd, name)


def _fix_shape(entry: dict, height: int, width: int, name: str) -> Iterator[Problem]:
    """Fix an annotation's mask; a box and an area that are wrong are taken away."""
    box, area = entry.get("bbox"), entry.get("area")
    yield from _fix_segmentation(entry, height, width, name)
    if not annotation_rules.is_box_inside(box, height, width):
        entry["bbox"] = None
    if not annotation_rules.is_area(area):
        entry["area"] = None


def _fix_segmentation(entry: dict, height: int, width: int, name: str) -> Iterator[Problem]:
    """Fix the size of an RLE, polygons that are none, and polygons that reach outside.

    Where one is cut at the image's border, the box and the area that it had are taken away.
    """
    segmentation: Any = entry.get("segmentation")
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if size == [height, width] and list(map(type, size)) != [int, int]:
        segmentation["size"] = [height, width]
        yield Problem(name, f"{name}: segmentation: size: {shown(size)} -> {[height, width]}")
    if not isinstance(segmentation, list):
        return
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
        elif isinstance(polygon, list) and len(polygon) < 6:
            yield Problem(name, f"{name}: segmentation: dropped what encloses nothing: {problem}")
        else:
            yield Problem(name, f"{name}: segmentation: polygon dropped: {problem}")


def _fix_areas(data: dict) -> Iterator[Problem]:
    """Take areas from the masks: those that are 0, and all that are far from the mask's if most are.

    Where most are width times height of the box, all of these are.
    """
    images = annotation_file.with_size(annotation_file.by_id(data["images"]))
    zero, far, of_box = [], [], []
    for entry, name in _entries(data):
        if not (image := images.get(entry["image_id"])):
            continue
        pixels, area = (
            int(coco_mask.area(to_rle(entry["segmentation"], image["height"], image["width"]))),
            entry["area"],
        )
        if pixels and not area:
            zero.append((entry, name, pixels))
        elif annotation_rules.is_far(area, pixels):
            far.append((entry, name, pixels))
        elif area == entry["bbox"][2] * entry["bbox"][3] and area > BOX_AREA * pixels > 0:
            of_box.append((entry, name, pixels))
    wrong = far + of_box
    for entry, name, pixels in zero + (wrong if len(wrong) >= max(FEWEST, MOST * len(data["annotations"])) else []):
        yield from put(entry, "area", pixels, name)


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
