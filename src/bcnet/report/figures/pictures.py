"""The report's pictures: which are shown, and ground truth and predictions drawn on them."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import decode, to_rle
from bcnet.drawing.figures import COLOURS, Outline, outline
from bcnet.files import InputError

MIN_SCORE, MIN_IOU, MIN_OBJECTS = 0.5, 0.5, 3
RULE = (
    "the {n} pictures of val whose objects have the highest mean max_box_iou (the largest IoU of an object's box with "
    f"another's), among those with at least {MIN_OBJECTS} objects first; crowd regions do not count"
)
Annotations = Sequence[dict[str, Any]]  # entries of a COCO file's `annotations`, or of a result file


@dataclass(frozen=True)
class Shape:
    """One object drawn on a picture; `matched` is false for what has no counterpart in the ground truth."""

    label: str
    colour: str
    outline: Outline
    matched: bool


@dataclass(frozen=True)
class Panel:
    """One drawing over a picture: its shapes, the lowest first, and a sentence of what they are."""

    shapes: tuple[Shape, ...]
    caption: str


def most_occluded(images: Annotations, annotations: Annotations, n: int) -> list[tuple[dict[str, Any], float]]:
    """The pictures that `RULE` chooses, with their objects' mean `max_box_iou`, highest first; ties: lower id first.

    Args:
        images, annotations: of a split, every annotation with `occlusion`.
        n: at most so many.
    """
    overlaps: dict[int, list[float]] = {}
    for each in _objects(annotations):
        overlaps.setdefault(each["image_id"], []).append(each["occlusion"]["max_box_iou"])
    means = {image_id: float(np.mean(values)) for image_id, values in overlaps.items()}
    shown = sorted(
        (image for image in images if image["id"] in means),
        key=lambda image: (len(overlaps[image["id"]]) < MIN_OBJECTS, -means[image["id"]], image["id"]),
    )
    return [(image, means[image["id"]]) for image in shown[:n]]


class _Entry(msgspec.Struct):
    """A prediction of a result file, its mask not read yet."""

    image_id: int
    category_id: int
    score: float
    segmentation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def read_predictions(path: Path, image_ids: Container[int]) -> list[dict[str, Any]]:
    """The predictions of these images in a result file, in its order, as they are written but for other keys.

    Raises:
        InputError: it is no result file.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: expected COCO's result format, a list of predictions: {error}") from error
    entries = []
    for each in found:
        if each.image_id not in image_ids:
            continue
        entry = {"image_id": each.image_id, "category_id": each.category_id, "score": each.score}
        if each.segmentation is not msgspec.UNSET:
            entry["segmentation"] = msgspec.json.decode(each.segmentation)
        entries.append(entry)
    return entries


def by_image(entries: Annotations, image_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The annotations or predictions of each of these images, in file order."""
    parts: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in image_ids}
    for each in entries:
        if each["image_id"] in parts:
            parts[each["image_id"]].append(each)
    return parts


def matches(objects: Annotations, predictions: Annotations, ious: np.ndarray) -> list[int | None]:
    """For each prediction the index of the object that it finds, or None: COCO's greedy matching at IoU 0.5.

    Args:
        objects: (G,) with `category_id`.
        predictions: (P,) with `category_id` and `score`; the higher score chooses first among the objects still free.
        ious: (P, G) float, of the masks.
    """
    found: list[int | None] = [None] * len(predictions)
    free = set(range(len(objects)))
    for p in sorted(range(len(predictions)), key=lambda p: -predictions[p]["score"]):
        mine = [g for g in sorted(free) if objects[g]["category_id"] == predictions[p]["category_id"]]
        best = max(mine, key=lambda g: ious[p, g], default=None)
        if best is not None and ious[p, best] >= MIN_IOU:
            found[p] = best
            free.remove(best)
    return found


def truth_panel(annotations: Annotations, names: dict[int, str], size: tuple[int, int]) -> Panel:
    """The ground truth of a picture, a colour an object; crowd regions are dashed.

    Args:
        annotations: those of the picture.
        names: of the categories, by id.
        size: (height, width) of the picture.
    """
    objects = _largest_first(_objects(annotations), size)
    crowds = [each for each in annotations if each["iscrowd"]]
    shapes = [_shape(each, f"{names[each['category_id']]} (crowd)", None, size) for each in crowds]
    shapes += [_shape(each, names[each["category_id"]], index, size) for index, each in enumerate(objects)]
    return Panel(tuple(shapes), _counted(len(objects), "object"))


def method_panel(
    annotations: Annotations, predictions: Annotations, names: dict[int, str], size: tuple[int, int]
) -> Panel:
    """A method's predictions, each in the colour of the object that it finds; dashed where it finds none.

    Args:
        annotations, names, size: as of `truth_panel`.
        predictions: those to draw.
    """
    objects, ordered = _largest_first(_objects(annotations), size), _largest_first(predictions, size)
    rles = [[to_rle(each["segmentation"], *size) for each in part] for part in (ordered, objects)]
    ious = np.reshape(coco_mask.iou(*rles, [0] * len(objects)), (len(ordered), len(objects)))
    found = matches(objects, ordered, ious)
    shapes = tuple(
        _shape(each, f"{names[each['category_id']]} {each['score']:.2f}", match, size)
        for each, match in zip(ordered, found, strict=True)
    )
    hits = sum(shape.matched for shape in shapes)
    others = f", {len(shapes) - hits} unmatched" if hits < len(shapes) else ""
    return Panel(shapes, f"{hits} of {_counted(len(objects), 'object')} found{others}")


def _objects(annotations: Annotations) -> list[dict[str, Any]]:
    return [each for each in annotations if not each["iscrowd"]]


def _largest_first(entries: Annotations, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The order to draw in, so that no mask hides a smaller one."""
    return sorted(entries, key=lambda each: -int(coco_mask.area(to_rle(each["segmentation"], *size))))


def _shape(entry: dict[str, Any], label: str, index: int | None, size: tuple[int, int]) -> Shape:
    """The shape of an annotation or prediction, in the colour of the object of that index; None: of no object, grey."""
    colour = COLOURS[-1] if index is None else COLOURS[index % (len(COLOURS) - 1)]
    return Shape(label, colour, outline(decode(entry["segmentation"], *size)), index is not None)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
