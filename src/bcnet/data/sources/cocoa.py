"""COCOA: amodal regions of COCO 2014 pictures (Zhu et al., Semantic Amodal Segmentation, CVPR 2017).

Files: github.com/Wakeupbuddy/amodalAPI, `COCO_amodal_{train,val,test}2014.json`. `images` is COCO's; an entry of
`annotations` is one person's work on one image: `image_id`, `depth_constraint` (a text like "1-2,1-3", the one in front
first; empty, null or missing without any) and `regions`. A region has

- `segmentation`: its amodal outline, one flat polygon [x, y, …] (a list of polygons or RLE is taken too);
- `visible_mask`, `invisible_mask`: RLE, only where the region is occluded;
- `order`: its number in `depth_constraint`, from 1; `isStuff`; `name`, a free text; `area`, `occlude_rate`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file
from bcnet.data.sources.amodal import checked_by_id, depths, lists_of, mask_of, say_left_out, shape_keys
from bcnet.files import InputError, at_place, read_json, shown
from bcnet.progress import progress

PAIRS = "({0}(,{0})*)?".format("[0-9]{1,9}-[0-9]{1,9}")
OBJECT = {"id": 1, "name": "object"}


def read(path: Path) -> dict[str, Any]:
    """Read an annotation file of COCOA in the project's format for amodal data.

    Every region becomes an object of one category, since `name` is a free text (the advice of BCNet's author, thread 87
    of its tracker). Stuff (walls, ground) is left out, as in the dataset's own evaluation: it has no instances; as a
    crowd it would excuse every wrong detection before it. Left out are regions without a pixel and images without an
    entry, too. Of several people's work on an image the first is taken, as in the dataset's own evaluation. Lines on
    stderr count regions without a pixel and images without a depth.

    Returns:
        A COCO file's content, annotations numbered from 1. Each has `segmentation`, `bbox` and `area` of what is seen
        (all of it where nothing hides it), `amodal_segmentation`, `amodal_bbox`, `name`, and `depth`: consistent with
        every pair of `depth_constraint`, those through stuff included. In an image whose pairs form a cycle no
        annotation has one: two objects can each lie partly before the other.

    Raises:
        InputError: not COCOA's format; names image, region, key and what was expected.
    """
    data = read_json(path)
    pictures, entries = lists_of(path, data, ("images", "annotations"))
    images = checked_by_id(path, "image", pictures, annotation_file.image_problems)
    regions_of: dict[int, list[dict[str, Any]]] = {}
    depth_of: dict[int, dict[int, int] | None] = {}
    for place, entry in enumerate(entries):
        image_id = _image_of(entry, images, f"{path}: {at_place('annotation', place)}")
        if image_id not in regions_of:
            where = f"{path}: image {image_id}"
            regions_of[image_id] = _regions(entry, where)
            depth_of[image_id] = _depths(entry, regions_of[image_id], where)

    annotations: list[dict[str, Any]] = []
    empty = 0
    for image_id, regions in progress(regions_of.items(), f"read {path.name}"):
        things = [region for region in regions if not region["isStuff"]]
        depth = depth_of[image_id]
        levels = [] if depth is None else sorted({depth[region["order"]] for region in things})
        for region in things:
            shape = _shape(region, images[image_id], f"{path}: image {image_id}: region {region['order']}")
            if shape is None:
                empty += 1
                continue
            ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": OBJECT["id"]}
            level = {} if depth is None else {"depth": levels.index(depth[region["order"]])}
            annotations.append({**ids, "name": region.get("name"), **shape, **level})
    say_left_out(path, empty, "regions without a pixel are left out")
    cycles = sum(depth is None for depth in depth_of.values())
    say_left_out(path, cycles, "images get no depth: their depth_constraint forms a cycle")
    return {"images": [images[one] for one in regions_of], "annotations": annotations, "categories": [OBJECT]}


def _image_of(entry: Any, images: Mapping[int, dict], where: str) -> int:
    image_id = entry.get("image_id") if isinstance(entry, dict) else None
    if type(image_id) is not int or image_id not in images:
        raise InputError(f"{where}: image_id: {shown(image_id)}: no image of this file")
    return image_id


def _shape(region: dict[str, Any], image: dict[str, Any], where: str) -> dict[str, Any] | None:
    """The keys of an annotation that say its shape; None for a region without a pixel."""
    amodal = mask_of(region.get("segmentation"), image, f"{where}: segmentation")
    seen = region.get("visible_mask")
    visible = amodal if seen is None else mask_of(seen, image, f"{where}: visible_mask")
    return shape_keys(amodal, visible) if coco_mask.area(amodal) else None


def _regions(entry: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The checked regions of an entry."""
    regions = entry.get("regions")
    if not isinstance(regions, list) or not all(isinstance(region, dict) for region in regions):
        raise InputError(f"{where}: regions: expected a list of objects")
    taken: set[int] = set()
    for place, region in enumerate(regions):
        order, stuff = region.get("order"), region.get("isStuff")
        if type(order) is not int or order in taken:
            raise InputError(
                f"{where}: {at_place('region', place)}: order: {shown(order)}: expected a number of its own"
            )
        if stuff not in (0, 1):
            raise InputError(f"{where}: region {order}: isStuff: {shown(stuff)}: expected 0 or 1")
        taken.add(order)
    return regions


def _depths(entry: dict[str, Any], regions: list[dict[str, Any]], where: str) -> dict[int, int] | None:
    """Depth by `order`; None where `depth_constraint` forms a cycle."""
    constraint, orders = entry.get("depth_constraint") or "", {region["order"] for region in regions}
    if not isinstance(constraint, str) or not re.fullmatch(PAIRS, constraint):
        raise InputError(f"{where}: depth_constraint: {shown(constraint)}: expected pairs such as '1-2,1-3'")
    pairs = [(int(front), int(behind)) for front, behind in re.findall("([0-9]+)-([0-9]+)", constraint)]
    if unknown := sorted({one for pair in pairs for one in pair} - orders):
        raise InputError(f"{where}: depth_constraint: {unknown[0]}: no region has this order")
    return depths(sorted(orders), pairs)
