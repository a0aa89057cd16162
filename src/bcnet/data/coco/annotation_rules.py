"""What an entry of a COCO file's `annotations` must say, and what it may leave out."""

from collections.abc import Iterator, Mapping
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import FORMS, NUMBERS, TOLERANCE, segmentation_problems, to_rle
from bcnet.files import shown

AREA_FACTOR, AREA_SLACK = 2.0, 50.0  # an area is far from the mask's by this factor and by this many pixels
LARGEST_AREA = 2**53  # up to here float64, the tables' type, holds every whole number


def annotation_problem(
    annotation: dict, images: Mapping[int, dict | None], categories: Mapping[int, dict]
) -> str | None:
    """The first of `annotation_problems`, None if there is none."""
    return next(annotation_problems(annotation, images, categories), None)


def annotation_problems(
    annotation: dict, images: Mapping[int, dict | None], categories: Mapping[int, dict]
) -> Iterator[str]:
    """All that is wrong with an annotation beside its id.

    Args:
        annotation: an entry of `annotations`; it may leave out what `fill_annotation` fills in.
        images: the file's images by id; None for one without a right size, whose masks and boxes are not checked.
        categories: the file's categories by id.
    """
    image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
    image = None
    if type(image_id) is int and image_id in images:
        image = images[image_id]
    elif "image_id" not in annotation:
        yield "image_id is missing"
    else:
        yield f"image_id {shown(image_id)} is not the id of an image of this file"
    if "category_id" not in annotation:
        yield "category_id is missing"
    elif type(category_id) is not int or category_id not in categories:
        yield f"category_id {shown(category_id)} is not the id of a category of this file"
    crowd = annotation.get("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        yield f"iscrowd is {shown(crowd)}, expected 0 or 1"
    if image:
        yield from _mask_problems(annotation, image["height"], image["width"])
    area = annotation.get("area")
    if area is not None and not is_area(area):
        yield f"area is {shown(area)}, expected a number of pixels"
    if image:
        yield from _box_problems(annotation, "bbox", image["height"], image["width"])
        yield from _further_mask_problems(annotation, "amodal_segmentation", image["height"], image["width"])
        if "amodal_segmentation" in annotation:
            yield from _box_problems(annotation, "amodal_bbox", image["height"], image["width"])
        yield from _further_mask_problems(annotation, "visible_segmentation", image["height"], image["width"])


def _mask_problems(annotation: dict, height: int, width: int) -> Iterator[str]:
    if "segmentation" not in annotation:
        yield f"segmentation is missing, expected {FORMS}"
        return
    wrong = list(segmentation_problems(annotation.get("segmentation"), height, width))
    yield from wrong
    lacks = annotation.get("bbox") is None or annotation.get("area") is None
    if lacks and not wrong and not coco_mask.area(to_rle(annotation["segmentation"], height, width)):
        yield "its mask is empty, so no bbox and area can be computed from it"


def _box_problems(annotation: dict, key: str, height: int, width: int) -> Iterator[str]:
    box = annotation.get(key)
    if box is not None and not is_box_inside(box, height, width):
        yield f"{key} is {shown(box)}, expected [x, y, width, height] inside the {width}x{height} image"


def _further_mask_problems(annotation: dict, key: str, height: int, width: int) -> Iterator[str]:
    """Those of a mask that an annotation may have beside its own."""
    if key in annotation:
        yield from (f"{key}: {problem}" for problem in segmentation_problems(annotation[key], height, width))


def fill_annotation(annotation: dict, image: dict) -> None:
    """Fill in what an annotation without problems leaves out.

    These are a missing `iscrowd` with 0, `bbox` and `area` with those of the mask, and beside an `amodal_segmentation`
    its `amodal_bbox`.

    Args:
        annotation: an entry of `annotations`.
        image: its image.
    """
    annotation.setdefault("iscrowd", 0)
    if annotation.get("bbox") is None or annotation.get("area") is None:
        rle = to_rle(annotation["segmentation"], image["height"], image["width"])
        if annotation.get("bbox") is None:
            annotation["bbox"] = coco_mask.toBbox(rle).tolist()
        if annotation.get("area") is None:
            annotation["area"] = int(coco_mask.area(rle))
    if "amodal_segmentation" in annotation and annotation.get("amodal_bbox") is None:
        rle = to_rle(annotation["amodal_segmentation"], image["height"], image["width"])
        annotation["amodal_bbox"] = coco_mask.toBbox(rle).tolist()


def is_area(area: Any) -> bool:
    """Whether this is a number of pixels."""
    return type(area) in NUMBERS and 0 <= area <= LARGEST_AREA


def is_box_inside(box: Any, height: int, width: int) -> bool:
    """Whether this is [x, y, width, height] inside a height x width image."""
    if not isinstance(box, list) or len(box) != 4 or not NUMBERS.issuperset(map(type, box)):
        return False
    x, y, w, h = box
    inside = x >= -TOLERANCE and y >= -TOLERANCE and x + w <= width + TOLERANCE and y + h <= height + TOLERANCE
    return w >= 0 and h >= 0 and w + h > 0 and inside


def is_far(area: float, pixels: int) -> bool:
    """Whether an area is not that of a mask of so many pixels, from 1."""
    return not pixels / AREA_FACTOR <= area <= pixels * AREA_FACTOR and abs(area - pixels) > AREA_SLACK
