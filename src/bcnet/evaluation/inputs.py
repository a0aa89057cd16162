"""What `evaluate` reads, checked: the evaluator itself passes over wrong ids, sizes and masks in silence."""

import math
from pathlib import Path
from typing import Any, TypeGuard

from hotcoco import mask

from bcnet.evaluation.coco_ap import SHAPE, IouType, Predictions
from bcnet.evaluation.occlusion_metrics import OCCLUSION
from bcnet.files import InputError, read_json
from bcnet.progress import progress


def read_truth(path: Path) -> dict[str, Any]:
    """A COCO-format file: unique ids, annotations of known images and categories with box, area and mask.

    Raises:
        InputError: it is not one, or some of its annotations have `occlusion` and others have not.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images, annotations and categories (COCO's format)")
    images, annotations, categories = (_by_id(path, content, key) for key in ("images", "annotations", "categories"))
    for image_id, image in images.items():
        for key in ("height", "width"):
            if not _is_number(image.get(key)) or image[key] < 1:
                raise InputError(f"{path}: image {image_id}: {key}: {image.get(key)!r}: expected pixels")
    converted = any("occlusion" in annotation for annotation in annotations.values())
    for annotation in progress(content["annotations"], f"check {path.name}"):
        where = f"{path}: annotation {annotation['id']}"
        _known(where, annotation, "image_id", images)
        _known(where, annotation, "category_id", categories)
        if not _is_number(annotation.get("area")):
            raise InputError(f"{where}: area: {annotation.get('area')!r}: expected pixels")
        _check_box(where, annotation)
        if isinstance(annotation.get("segmentation"), dict):
            _check_mask(where, annotation, images[annotation["image_id"]])
        elif not _is_polygons(annotation.get("segmentation")):
            raise InputError(
                f"{where}: segmentation: {_short(annotation.get('segmentation'))}: expected polygons or RLE"
            )
        if converted:
            _check_occlusion(where, annotation)
    return content


def read_predictions(path: Path, truth_path: Path, truth: dict[str, Any]) -> tuple[Predictions, IouType]:
    """Predictions in COCO's result format, without those of images that the split leaves out.

    Returns:
        The predictions, and whether they are masks ("segm") or only boxes ("bbox"). An empty list counts as masks.

    Raises:
        InputError: an entry is not a result of the ground truth's images and categories.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list (COCO's result format), found {type(content).__name__}")
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"]: category for category in truth["categories"]}
    others = dict.fromkeys(split_of(truth_path, truth).get("other_images", []))
    boxes_only = bool(content) and isinstance(content[0], dict) and "segmentation" not in content[0]
    iou_type: IouType = "bbox" if boxes_only else "segm"
    kept = []
    for index, prediction in enumerate(progress(content, f"check {path.name}")):
        where = f"{path}: prediction {index}"
        if not isinstance(prediction, dict):
            raise InputError(
                f"{where}: {_short(prediction)}: expected image_id, category_id, score and {SHAPE[iou_type]}"
            )
        _known(where, prediction, "image_id", images, others)
        _known(where, prediction, "category_id", categories)
        if not _is_number(prediction.get("score")):
            raise InputError(f"{where}: score: {prediction.get('score')!r}: expected a finite number")
        if prediction["image_id"] in others:
            continue
        if iou_type == "bbox":
            _check_box(where, prediction)
        else:
            _check_mask(where, prediction, images[prediction["image_id"]])
        kept.append(prediction)
    return kept, iou_type


def split_of(path: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """`info.split` of a split; for any other COCO-format file its name."""
    info = truth.get("info")
    split = info.get("split") if isinstance(info, dict) else None
    return split if isinstance(split, dict) else {"name": path.stem}


def _by_id(path: Path, content: dict[str, Any], key: str) -> dict[int, dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        raise InputError(f"{path}: {key}: expected a list (COCO's format), found {type(entries).__name__}")
    found: dict[int, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        identity = entry.get("id") if isinstance(entry, dict) else None
        if not _is_id(identity):
            raise InputError(f"{path}: {key}[{index}]: id: {_short(identity)}: expected an integer")
        if identity in found:
            raise InputError(f"{path}: {key}[{index}]: id: {identity}: taken by an earlier one")
        found[identity] = entry
    return found


def _known(where: str, entry: dict[str, Any], key: str, *known: dict[int, Any]) -> None:
    value = entry.get(key)
    if not _is_id(value) or not any(value in ids for ids in known):
        what = "an image" if key == "image_id" else "a category"
        raise InputError(f"{where}: {key}: {_short(value)}: expected the id of {what} of the ground truth")


def _check_box(where: str, entry: dict[str, Any]) -> None:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        raise InputError(f"{where}: bbox: {_short(box)}: expected [x, y, width, height] in pixels")


def _check_mask(where: str, entry: dict[str, Any], image: dict[str, Any]) -> None:
    rle, size = entry.get("segmentation"), [image["height"], image["width"]]
    if not isinstance(rle, dict) or not isinstance(rle.get("counts"), str | list):
        raise InputError(f"{where}: segmentation: {_short(rle)}: expected RLE")
    if rle.get("size") != size:
        raise InputError(f"{where}: segmentation.size: {_short(rle.get('size'))}: expected the image's {size}")
    try:
        mask.area(rle)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: segmentation.counts: {_short(rle['counts'])}: {error}") from error


def _check_occlusion(where: str, annotation: dict[str, Any]) -> None:
    occlusion = annotation.get("occlusion")
    if not isinstance(occlusion, dict) or not occlusion.keys() >= OCCLUSION.keys():
        raise InputError(
            f"{where}: occlusion: {_short(occlusion)}: expected {', '.join(OCCLUSION)} (of `bcnet convert`)"
        )
    if not _is_number(cover := occlusion["box_cover"]) or not 0 <= cover <= 1:
        raise InputError(f"{where}: occlusion.box_cover: {_short(cover)}: expected 0 to 1")


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_polygons(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(polygon, list) for polygon in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
