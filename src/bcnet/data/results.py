"""COCO's result format: predicted masks or boxes, checked as they are read.

Specification: https://cocodataset.org/#format-results.
"""

import math
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Literal

from hotcoco import mask

from bcnet.data.masks import segmentation_problem, to_rle
from bcnet.files import InputError, read_json
from bcnet.progress import progress

DETECTIONS = 100  # of an image: all that COCO's evaluation looks at
IouType = Literal["segm", "bbox"]
Predictions = list[dict[str, Any]]
SHAPE = {"segm": "segmentation", "bbox": "bbox"}  # where a prediction has its shape


def read(path: Path, truth: dict[str, Any], left_out: Set[int] = frozenset()) -> tuple[Predictions, IouType]:
    """Predictions in COCO's result format, checked: the evaluator would pass over wrong ones in silence.

    Args:
        truth: the annotation file (from `coco.read`) whose images and categories they are of.
        left_out: ids of images that are not in `truth`, but whose predictions are no mistake.

    Returns:
        The predictions of the images in `truth`, and whether they are masks ("segm", compressed RLE) or only boxes
        ("bbox"), as the first one is. An empty list counts as masks.

    Raises:
        InputError: not a list of results; names the first wrong one by its place (from 0).
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: expected COCO's result format, a list of predictions")
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    boxes_only = bool(content) and isinstance(content[0], dict) and "segmentation" not in content[0]
    iou_type: IouType = "bbox" if boxes_only else "segm"
    kept: Predictions = []
    for place, entry in enumerate(progress(content, f"check {path.name}")):
        if isinstance(entry, dict) and type(entry.get("image_id")) is int and entry["image_id"] in left_out:
            continue
        if wrong := problem(entry, images, categories, iou_type):
            raise InputError(f"{path}: prediction at place {place}: {wrong}")
        shape = entry[SHAPE[iou_type]]
        if iou_type == "segm":
            image = images[entry["image_id"]]
            shape = to_rle(shape, image["height"], image["width"])
        kept.append({**{key: entry[key] for key in ("image_id", "category_id", "score")}, SHAPE[iou_type]: shape})
    return kept, iou_type


def problem(entry: Any, images: Mapping[int, dict], categories: Set[int], iou_type: IouType) -> str | None:
    """What is wrong with a prediction, None if nothing is.

    Args:
        images: of the ground truth, by id; each with `height` and `width`.
        categories: ids of the ground truth's.
        iou_type: whether it must have a mask or a box.
    """
    if not isinstance(entry, dict):
        return f"{entry!r:.60}: expected an object with image_id, category_id, score and {SHAPE[iou_type]}"
    for key, known, what in (("image_id", images, "image"), ("category_id", categories, "category")):
        if type(value := entry.get(key)) is not int or value not in known:
            return f"{key}: {value!r:.60}: expected the id of one of the ground truth's {len(known)} ({what})"
    if not _is_number(score := entry.get("score")):
        return f"score: {score!r:.60}: expected a finite number"
    if iou_type == "segm":
        image = images[entry["image_id"]]
        size, shape = (image["height"], image["width"]), entry.get("segmentation")
        return None if _is_plain_mask(shape, size) else segmentation_problem(shape, *size)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        return f"bbox: {box!r:.60}: expected [x, y, width, height] in pixels"
    return None


def _is_plain_mask(shape: Any, size: tuple[int, int]) -> bool:
    """Whether this is compressed RLE of that size, as the COCO API writes it: a quick yes for most of them."""
    if not isinstance(shape, dict) or shape.get("size") != list(size) or not isinstance(shape.get("counts"), str):
        return False
    nothing = {"size": shape["size"], "counts": [math.prod(size)]}
    try:  # the union with an empty mask has all pixels: a string that ends too early does not come back as it was
        return mask.merge([shape, nothing])["counts"].decode() == shape["counts"]
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def top(results: Iterable[dict[str, Any]]) -> Predictions:
    """Results by image and falling score, equal scores in their order, and of each image the first `DETECTIONS`."""
    kept: Predictions = []
    for result in sorted(results, key=lambda result: (result["image_id"], -result["score"])):
        place = len(kept) - DETECTIONS
        if place < 0 or kept[place]["image_id"] != result["image_id"]:
            kept.append(result)
    return kept
