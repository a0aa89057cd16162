"""COCOA-cls and D2SA: amodal objects with categories (Follmann et al., Learning to See the Invisible, WACV 2019).

The files have COCO's sections. An annotation's `segmentation` is its amodal mask; `visible_mask`, RLE, is there where
something hides it. `invisible_mask`, `bbox`, `area` and `occlude_rate` are not read: ours are those of the masks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file
from bcnet.data.sources.amodal import checked_by_id, lists_of, mask_of, reference_problems, say_left_out, shape_keys
from bcnet.files import InputError, read_json, shown
from bcnet.progress import progress

VISIBLE = "visible_mask"


def read(path: Path) -> dict[str, Any]:
    """Read an annotation file of COCOA-cls or D2SA in the project's format for amodal data.

    Ids, images and categories stay as they are. Objects whose amodal mask has no pixel are left out, and a line on
    stderr says how many.

    Returns:
        A COCO file's content. Each annotation has `segmentation`, `bbox` and `area` of what is seen, all of it where
        nothing hides it, `amodal_segmentation` and `amodal_bbox`; the files know no order, so there is no `depth`.

    Raises:
        InputError: not that format; names annotation, key and what was expected.
    """
    data = read_json(path)
    pictures, kinds, objects = lists_of(path, data, ("images", "categories", "annotations"))
    images = checked_by_id(path, "image", pictures, annotation_file.image_problems)
    categories = checked_by_id(path, "category", kinds, annotation_file.category_problems)
    originals = checked_by_id(path, "annotation", objects, lambda annotation: _problems(annotation, images, categories))
    if originals and not any(VISIBLE in original for original in originals.values()):
        raise InputError(f"{path}: no annotation has {VISIBLE!r}, expected COCOA-cls or D2SA (COCO: source: files)")

    annotations = []
    for original in progress(originals.values(), f"read {path.name}"):
        image, where = images[original["image_id"]], f"{path}: annotation {original['id']}"
        amodal = mask_of(original.get("segmentation"), image, f"{where}: segmentation")
        seen = original.get(VISIBLE)
        visible = amodal if seen is None else mask_of(seen, image, f"{where}: {VISIBLE}")
        if coco_mask.area(amodal):
            ids = {key: original[key] for key in ("id", "image_id", "category_id")}
            annotations.append({**ids, **shape_keys(amodal, visible), "iscrowd": original.get("iscrowd", 0)})
    say_left_out(path, len(originals) - len(annotations), "objects without a pixel are left out")
    return {**data, "annotations": annotations}


def _problems(original: dict, images: dict[int, dict], categories: dict[int, dict]) -> Iterator[str]:
    yield from reference_problems(original, images, categories)
    if type(crowd := original.get("iscrowd", 0)) is not int or crowd not in (0, 1):
        yield f"iscrowd: {shown(crowd)}: expected 0 or 1"
