"""The report's pictures: which are shown, and ground truth and predictions drawn on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import decode, to_rle
from bcnet.drawing.figures import COLOURS, cut, text_width
from bcnet.drawing.outlines import Outline, outline
from bcnet.report.figures.predictions import Annotations

MIN_OBJECTS = 3
LINE = 1.2  # of a line of text, in sizes of its letters
RULE = (
    "the {n} images of val with the highest mean max_box_iou of their objects (the highest IoU of an object's box with "
    f"another object's box). Images with at least {MIN_OBJECTS} objects come first, and crowd regions do not count"
)


@dataclass(frozen=True)
class DrawnObject:
    """One object drawn on a picture; `matched` is false for what has no counterpart in the ground truth."""

    label: str
    colour: str
    outline: Outline
    matched: bool


@dataclass(frozen=True)
class Panel:
    """One drawing over a picture: its shapes, the lowest first, and a sentence of what they are."""

    shapes: tuple[DrawnObject, ...]
    caption: str


class Label(NamedTuple):
    """A shape's name on a drawing: where its middle is, and its width, in pixels of the picture."""

    text: str
    x: float
    y: float
    width: float


def labels(shapes: Iterable[DrawnObject], size: tuple[float, float], font: float) -> list[Label]:
    """The names of shapes, each on its shape or a line above or below; left out where it would lie on another one.

    Args:
        shapes: those of a panel; shapes smaller than a letter get none.
        size: (height, width) of the picture.
        font: its size in pixels.
    """
    height, width = size
    placed: list[Label] = []
    for shape in shapes:
        if shape.outline.radius <= 0.5 * font:
            continue
        text = cut(shape.label, width - font, font)
        long = text_width(text, font)
        x = min(max(shape.outline.x, long / 2), width - long / 2)
        for line in (0, -1, 1):
            label = Label(text, x, shape.outline.y + line * LINE * font, long)
            free = all(
                abs(label.x - other.x) >= (long + other.width) / 2 or abs(label.y - other.y) >= LINE * font
                for other in placed
            )
            if free and font <= label.y <= height - font:
                placed.append(label)
                break
    return placed


def most_occluded(images: Annotations, annotations: Annotations, n: int) -> list[tuple[dict[str, Any], float]]:
    """The pictures that `RULE` chooses, with their objects' mean `max_box_iou`, highest first; ties: lower id first.

    Args:
        images, annotations: of a split, every annotation with `occlusion`.
        n: at most so many.
    """
    overlaps: dict[int, list[float]] = {}
    for entry in _objects(annotations):
        overlaps.setdefault(entry["image_id"], []).append(entry["occlusion"]["max_box_iou"])
    means = {image_id: float(np.mean(values)) for image_id, values in overlaps.items()}
    shown = sorted(
        (image for image in images if image["id"] in means),
        key=lambda image: (len(overlaps[image["id"]]) < MIN_OBJECTS, -means[image["id"]], image["id"]),
    )
    return [(image, means[image["id"]]) for image in shown[:n]]


def truth_panel(annotations: Annotations, names: dict[int, str], size: tuple[int, int]) -> Panel:
    """The ground truth of a picture, a colour an object; crowd regions are dashed.

    Args:
        annotations: those of the picture.
        names: of the categories, by id.
        size: (height, width) of the picture.
    """
    objects = _largest_first(_objects(annotations), size)
    crowds = [entry for entry in annotations if entry["iscrowd"]]
    shapes = [_shape(entry, f"{names[entry['category_id']]} (crowd)", None, size) for entry in crowds]
    shapes += [_shape(entry, names[entry["category_id"]], index, size) for index, entry in enumerate(objects)]
    return Panel(tuple(shapes), _counted(len(objects), "object"))


def method_panel(
    annotations: Annotations,
    predictions: Annotations,
    detections: Mapping[int, int],
    names: dict[int, str],
    size: tuple[int, int],
    least: float,
) -> Panel:
    """A method's predictions, each in the colour of the object that it finds; dashed where it finds none.

    COCO's matching goes by falling score, so that what is drawn finds the same with and without the others.

    Args:
        annotations, names, size: as of `truth_panel`.
        predictions: those of the picture, in the order of their file.
        detections: by annotation id the place in `predictions` of the one that COCO's matching gives it at IoU .5.
        least: the score from which on predictions are drawn.
    """
    objects = _largest_first(_objects(annotations), size)
    object_of = {detections[entry["id"]]: index for index, entry in enumerate(objects) if entry["id"] in detections}
    drawn = [place for place, prediction in enumerate(predictions) if prediction["score"] >= least]
    areas = {place: _area(predictions[place], size) for place in drawn}
    shapes = tuple(
        _shape(entry, f"{names[entry['category_id']]} {entry['score']:.2f}", object_of.get(place), size)
        for place in sorted(drawn, key=lambda place: -areas[place])
        for entry in [predictions[place]]
    )
    hits = sum(shape.matched for shape in shapes)
    others = f", {len(shapes) - hits} unmatched" if hits < len(shapes) else ""
    return Panel(shapes, f"{hits} of {_counted(len(objects), 'object')} found{others}, from score {least:.2f}")


def _objects(annotations: Annotations) -> list[dict[str, Any]]:
    return [entry for entry in annotations if not entry["iscrowd"]]


def _largest_first(entries: Annotations, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The order to draw in, so that no mask hides a smaller one."""
    return sorted(entries, key=lambda entry: -_area(entry, size))


def _area(entry: dict[str, Any], size: tuple[int, int]) -> int:
    return int(coco_mask.area(to_rle(entry["segmentation"], *size)))


def _shape(entry: dict[str, Any], label: str, index: int | None, size: tuple[int, int]) -> DrawnObject:
    """The shape of an annotation or prediction, in the colour of the object of that index; None: of no object, grey."""
    colour = COLOURS[-1] if index is None else COLOURS[index % (len(COLOURS) - 1)]
    return DrawnObject(label, colour, outline(decode(entry["segmentation"], *size)), index is not None)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
