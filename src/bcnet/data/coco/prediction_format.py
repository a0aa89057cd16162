"""COCO's result format: predicted masks or boxes, and what may be wrong or odd with them.

Specification: https://cocodataset.org/#format-results.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bcnet.data.masks.rle_text import bytes_of, pixels_of
from bcnet.data.masks.segmentation import segmentation_problem
from bcnet.files import as_in_file

DETECTIONS = 100  # of an image, and in evaluation of an image and category: all that COCO looks at
MIXERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)  # odd, to mix numbers by
IouType = Literal["segm", "bbox"]
OF_ANNOTATIONS = {"area", "iscrowd"}  # keys that predictions do not have
ANNOTATION = ": this is an annotation, and the file a list of annotations, which have no scores"
SHAPE = {"segm": "segmentation", "bbox": "bbox"}  # where a prediction has its shape


@dataclass(frozen=True)
class Predictions:
    """N predictions as columns, in file order.

    `image`, `category`: (N,) int64 ids; `score`: (N,) float64; `box_score`: (N,) float64, what the boxes around masks
    are ranked by: `box_score` of an entry, or its `score`; `box_scored`: (N,) bool, whether it has one; `texts`:
    (bytes,) uint8, compressed RLE of masks, one after the other; `ends`: (N,) int64, where each ends; `boxes`: (N, 4)
    float64, x, y, width and height in pixels, in a file of masks those beside them, NaN for none; `occluder_texts`,
    `occluder_ends`: as `texts` and `ends`, of the masks that they have as `occluder`, no bytes for one that has none;
    `ids`: what they have as `id`, if anything, which nothing reads.
    """

    iou_type: IouType
    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    box_score: np.ndarray
    box_scored: np.ndarray
    texts: np.ndarray
    ends: np.ndarray
    boxes: np.ndarray
    occluder_texts: np.ndarray
    occluder_ends: np.ndarray
    ids: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    @property
    def boxes_beside(self) -> int:
        """How many masks have a box beside them."""
        return int((~np.isnan(self.boxes[:, 0])).sum()) if self.iou_type == "segm" else 0


def remarks(predictions: Predictions, images: int, file_boxes: bool = False) -> list[str]:
    """What a reader of their numbers should know: no mistakes, but seldom what was meant.

    Args:
        images: of the ground truth.
        file_boxes: boxes beside masks are evaluated, if there are any.
    """
    image, category, score = predictions.image, predictions.category, predictions.score
    if not len(predictions):
        return ["there are no predictions: every number is 0"]
    lines = []
    if without := images - len(np.unique(image)):
        lines.append(f"{without} of {images} images have no predictions")
    if score.min() < 0 or score.max() > 1:
        lines.append(f"scores go from {score.min():g} to {score.max():g}: they are no probabilities")
    if len(predictions) > 1 and score.min() == score.max():
        lines.append(f"all scores are {score[0]:g}: the order of the file decides which detection is taken first")
    if 0 < (ranked := np.count_nonzero(predictions.box_scored)) < (count := len(predictions)):
        lines.append(f"{count - ranked} of {count} predictions have no box_score: their boxes are ranked by score")
    if predictions.iou_type == "segm":
        lines += _of_boxes(predictions.boxes_beside, len(predictions), file_boxes)
    of_image, counts = np.unique(image, return_counts=True)
    if (counts > DETECTIONS).any():
        lines.append(
            f"{(counts > DETECTIONS).sum()} of {images} images have more than {DETECTIONS} predictions (image"
            f" {of_image[counts.argmax()]}: {counts.max()}): COCO's server takes no more of an image"
        )
    of_both = (
        pa.table({"image": image, "category": category}).group_by(["image", "category"]).aggregate([([], "count_all")])
    )
    if beyond := int(np.maximum(of_both["count_all"].to_numpy() - DETECTIONS, 0).sum()):
        lines.append(
            f"{beyond} predictions are not among the {DETECTIONS} best of a category in their image:"
            " COCO's evaluation does not count them, as right or as wrong"
        )
    if copies := _copies(predictions):
        lines.append(f"{copies} predictions repeat another one exactly: all but one of equal ones count as wrong")
    if repeated := len(predictions.ids) - len(set(predictions.ids)):
        lines.append(f"{repeated} predictions have the id of another one: ids are not read")
    return lines


def _of_boxes(boxes: int, count: int, file_boxes: bool) -> list[str]:
    """What boxes beside masks mean; of `count` masks `boxes` have one."""
    areas = "pycocotools takes the areas of masks from these boxes: its APs, APm, APl, ARs, ARm, ARl differ"
    if file_boxes:
        return [
            f"box_AP is of each prediction's bbox; {areas}" if boxes else "no bbox: box_AP is of boxes around masks"
        ]
    if not boxes:
        return []
    return [f"{boxes} of {count} masks have a bbox, which is not read: box_AP is of boxes around the masks; {areas}"]


def _copies(predictions: Predictions) -> int:
    """How many predictions equal an earlier one in image, category, score and shape."""
    columns = np.column_stack([predictions.image, predictions.category, predictions.score.view(np.int64)])
    mixed = columns.view(np.uint64) @ MIXERS  # of equal ones equal, of others hardly ever
    order = np.argsort(mixed)
    alike = np.flatnonzero(mixed[order][1:] == mixed[order][:-1])  # with the next in this order
    shapes: dict[tuple[int, ...], set[bytes]] = {}
    copies = 0
    for place in np.unique(order[np.concatenate([alike, alike + 1])]) if len(alike) else ():
        start = predictions.ends[place - 1] if place else 0
        box = predictions.boxes[place].tobytes() if predictions.iou_type == "bbox" else b""
        shape = predictions.texts[start : predictions.ends[place]].tobytes() + box
        seen = shapes.setdefault(tuple(columns[place].tolist()), set())
        copies += shape in seen
        seen.add(shape)
    return copies


def problem(entry: Any, images: Mapping[int, dict], categories: Set[int], iou_type: IouType) -> str | None:
    """What is wrong with a prediction, None if nothing is.

    Args:
        images: of the ground truth, by id; each with `height` and `width`.
        categories: ids of the ground truth's.
        iou_type: whether it must have a mask or a box.
    """
    if not isinstance(entry, dict):
        return f"{as_in_file(entry)}: expected an object with image_id, category_id, score and {SHAPE[iou_type]}"
    needed = ("image_id", "category_id", "score", SHAPE[iou_type])
    if missing := next((key for key in needed if key not in entry), None):
        annotated = missing == "score" and entry.keys() & OF_ANNOTATIONS
        return f"{missing}: missing{ANNOTATION if annotated else ''}"
    if wrong := _id_problem(entry, images, categories):
        return wrong
    if not _is_number(score := entry["score"]):
        return f"score: {as_in_file(score)}: expected a finite number"
    if iou_type == "segm":
        image = images[entry["image_id"]]
        return _box_score_problem(entry) or _mask_problem(entry, (image["height"], image["width"]))
    if not is_box(box := entry.get("bbox")):
        return f"bbox: {as_in_file(box)}: expected [x, y, width, height] in pixels"
    return None


def _id_problem(entry: Mapping[str, Any], images: Mapping[int, dict], categories: Set[int]) -> str | None:
    """Which id of a prediction no image or category of the ground truth has."""
    for key, known, what in (("image_id", images, "image"), ("category_id", categories, "category")):
        if type(value := entry[key]) is not int or value not in known:
            called = _image_called(value, images) if what == "image" else None
            return f"{key}: {as_in_file(value)}: no {what} has this id, {called or _ids(known)}"
    return None


def _box_score_problem(entry: Mapping[str, Any]) -> str | None:
    """What is wrong with the score of a mask's box, if there is one."""
    if (box_score := entry.get("box_score")) is None or _is_number(box_score):
        return None
    return f"box_score: {as_in_file(box_score)}: expected a finite number, or none"


def _image_called(name: Any, images: Mapping[int, dict]) -> str | None:
    """Which image has this as its file name, with its ending or without, or as its id, and how to get ids instead."""
    if not isinstance(name, str) or not name:
        return None
    for key, image in images.items():
        path = PurePosixPath(str(image.get("file_name", "")))
        if name in (str(path), path.name, path.stem, str(key)):
            return f"it names image {key} (`bcnet predict` with --annotations writes ids; see docs/predictions.md)"
    return None


def _ids(known: Collection[int]) -> str:
    """Which ids there are."""
    return f"there are {len(known)}, with ids from {min(known)} to {max(known)}" if known else "there are none"


def is_box(box: Any) -> bool:
    """Whether this is [x, y, width, height]."""
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) >= 0


def _mask_problem(entry: dict[str, Any], size: tuple[int, int]) -> str | None:
    shape, occluder = entry.get("segmentation"), entry.get("occluder")
    if not _is_plain_mask(shape, size) and (wrong := segmentation_problem(shape, *size)):
        return wrong
    if occluder is None or _is_plain_mask(occluder, size):
        return None
    return f"occluder: {wrong}" if (wrong := segmentation_problem(occluder, *size)) else None


def _is_plain_mask(shape: Any, size: tuple[int, int]) -> bool:
    """Whether this is compressed RLE of that size, as the COCO API writes it: a quick yes for most of them."""
    if not isinstance(shape, dict) or shape.get("size") != list(size) or not isinstance(shape.get("counts"), str):
        return False
    text = bytes_of(shape["counts"])
    return bool(pixels_of(text, 0, len(text)) == math.prod(size))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def entries(predictions: Predictions, images: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predictions in COCO's result format, by image and falling score, equal scores in their order.

    Args:
        images: entries of the ground truth, with `height` and `width`.
    """
    sizes = {image["id"]: [image["height"], image["width"]] for image in images}
    results: list[dict[str, Any]] = []

    def rle(texts: np.ndarray, ends: np.ndarray, place: int) -> dict[str, Any]:
        counts = texts[ends[place - 1] if place else 0 : ends[place]].tobytes().decode()
        return {"size": sizes[int(predictions.image[place])], "counts": counts}

    for place in np.lexsort((-predictions.score, predictions.image)).tolist():
        entry: dict[str, Any] = {
            "image_id": int(predictions.image[place]),
            "category_id": int(predictions.category[place]),
        }
        entry["score"] = float(predictions.score[place])
        if predictions.box_scored[place]:
            entry["box_score"] = float(predictions.box_score[place])
        if predictions.iou_type == "bbox":
            entry["bbox"] = predictions.boxes[place].tolist()
        else:
            entry["segmentation"] = rle(predictions.texts, predictions.ends, place)
            occluder = rle(predictions.occluder_texts, predictions.occluder_ends, place)
            entry |= {"occluder": occluder} if occluder["counts"] else {}
        results.append(entry)
    return results
