"""The detections and objects of a split as arrays, image by image."""

from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from bcnet.compiled import njit
from bcnet.data.coco.prediction_format import DETECTIONS, Predictions
from bcnet.data.masks.pixel_runs import append, decode
from bcnet.data.masks.rasterise import rasterise
from bcnet.data.masks.rle_text import bytes_of
from bcnet.data.masks.segmentation import to_rle
from bcnet.progress import in_threads

CHUNK = 64  # images that a thread takes at once


class Detections(NamedTuple):
    """The predictions that are evaluated, by image, category, falling score, place in the file.

    `ends`: (I,) where those of each image end; `place`: (D,) int64, in the file; `place_in_image`: (D,) int64, among
    the file's predictions of the image, from 0; `category`, `score`: (D,); `texts`: compressed RLE of all predictions,
    those of a detection from `start` to `stop`; `boxes`: (D, 4) float64, as in `Predictions`.
    """

    ends: np.ndarray
    place: np.ndarray
    place_in_image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    texts: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    boxes: np.ndarray


class Objects(NamedTuple):
    """The annotations, by image and place in the file.

    `ends`: (I,) where those of each image end; `place`: (G,) int64, in the file; `category`; `area`: float64, pixels;
    `crowd`: bool; `boxes`: (G, 4) float64; `runs`: of all masks (`bcnet.data.masks.pixel_runs`), those of each end at
    `run_ends`; masks of the occluders as in `Detections`, nothing for none.
    """

    ends: np.ndarray
    place: np.ndarray
    category: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    boxes: np.ndarray
    runs: np.ndarray
    run_ends: np.ndarray
    occluder_texts: np.ndarray
    occluder_start: np.ndarray
    occluder_stop: np.ndarray


class MaskTexts(NamedTuple):
    """Compressed RLE of masks: (bytes,) uint8, those of a mask from `start` to `stop`."""

    texts: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def image_ids(content: dict[str, Any]) -> np.ndarray:
    """(I,) int64, rising: the ids of the images of a file (from `coco.read`)."""
    return np.sort(np.array([image["id"] for image in content["images"]], np.int64))


def detections_of(predictions: Predictions, images: np.ndarray, as_boxes: bool = False) -> Detections:
    """The best 100 predictions of each image and category.

    Args:
        images: (I,) rising ids of the images; all predictions are of these.
        as_boxes: they are ranked as boxes, by `box_score`.
    """
    score = predictions.box_score if as_boxes else predictions.score
    place = np.searchsorted(images, predictions.image)
    order = np.lexsort((-score, _narrow(predictions.category), _narrow(place)))  # stable
    order = order[rank(place[order], predictions.category[order]) < DETECTIONS]
    return Detections(
        ends=np.searchsorted(place[order], np.arange(len(images)), side="right"),
        place=order,
        place_in_image=_place_in_image(predictions.image)[order],
        category=predictions.category[order],
        score=score[order],
        texts=predictions.texts,
        start=starts(predictions.ends)[order],
        stop=predictions.ends[order],
        boxes=predictions.boxes[order],
    )


class AnnotationMasks(NamedTuple):
    """The masks of annotations, by image and place in the file: `place`, `runs`, `run_ends` as of `Objects`."""

    place: np.ndarray
    runs: np.ndarray
    run_ends: np.ndarray

    def in_file_order(self) -> list[np.ndarray]:
        """The runs of each annotation, in the file's order."""
        masks = [self.runs[:0]] * len(self.place)
        for place, start, end in zip(self.place.tolist(), starts(self.run_ends), self.run_ends, strict=True):
            masks[place] = self.runs[start:end]
        return masks


def shapes_of(content: dict[str, Any]) -> AnnotationMasks:
    """The masks of the annotations of a file (from `coco.read`)."""
    annotations = content["annotations"]
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    image = np.array([annotation["image_id"] for annotation in annotations], np.int64)
    order = np.argsort(image, kind="stable")
    shapes = [annotations[place]["segmentation"] for place in order]
    of_shape = np.array([sizes[i] for i in image[order].tolist()], np.int64).reshape(-1, 2)
    masks = [
        "" if isinstance(shape, list) else to_rle(shape, *size)["counts"]
        for shape, size in zip(shapes, of_shape.tolist(), strict=True)
    ]
    polygons = [shape if isinstance(shape, list) else [] for shape in shapes]
    lengths = [len(polygon) for of_object in polygons for polygon in of_object]
    points = np.fromiter(chain.from_iterable(chain.from_iterable(polygons)), np.float64, sum(lengths))
    last_polygon = np.cumsum([len(of_object) for of_object in polygons], dtype=np.int64)
    runs, run_ends = _runs_of(*joined(masks), points, np.cumsum(lengths, dtype=np.int64), last_polygon, of_shape)
    return AnnotationMasks(order, runs, run_ends)


def objects_of(content: dict[str, Any], images: np.ndarray, shapes: AnnotationMasks | None = None) -> Objects:
    """The annotations of a file (from `coco.read`), of images with these rising ids.

    Args:
        shapes: the masks of the file, if they are known.
    """
    annotations = content["annotations"]
    order, runs, run_ends = shapes or shapes_of(content)
    image = np.array([annotation["image_id"] for annotation in annotations], np.int64)
    occluders = [occluder["counts"] if (occluder := annotation.get("occluder")) else "" for annotation in annotations]

    def column(key: str, dtype: type) -> np.ndarray:
        return np.array([annotation[key] for annotation in annotations], dtype)[order]

    return Objects(
        ends=np.searchsorted(image[order], images, side="right"),
        place=order,
        category=column("category_id", np.int64),
        area=column("area", np.float64),
        crowd=column("iscrowd", np.bool_),
        boxes=column("bbox", np.float64).reshape(-1, 4),
        runs=runs,
        run_ends=run_ends,
        **dict(zip(("occluder_texts", "occluder_start", "occluder_stop"), joined(occluders, order), strict=True)),
    )


def joined(texts: list[str], order: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts as bytes in one array, and where each starts and stops, in that order."""
    stops = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return bytes_of("".join(texts)), starts(stops)[order], stops[order]


def starts(ends: np.ndarray) -> np.ndarray:
    """(N,) int64: where each of what lies one after the other starts, by where each ends."""
    return np.concatenate([[0], ends]).astype(np.int64)[:-1]


def rank(image: np.ndarray, category: np.ndarray) -> np.ndarray:
    """How many come before each in its run of equal (image, category)."""
    index = np.arange(len(image))
    first = np.ones(len(image), bool)
    first[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    return index - np.maximum.accumulate(np.where(first, index, 0))


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers in the fewest bits that hold them, which NumPy sorts the quicker."""
    low, high = numbers.min(initial=0), numbers.max(initial=0)
    return numbers.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))


def _place_in_image(image: np.ndarray) -> np.ndarray:
    """How many of the same image come before each."""
    order = np.argsort(image, kind="stable")
    place = np.empty(len(image), np.int64)
    place[order] = rank(image[order], np.zeros(len(image), np.int64))
    return place


def coco_order(category: np.ndarray, score: np.ndarray, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which detections are of `categories`, rising ids, by category, falling score, image; and the category's place.

    Args:
        category, score: (D,), of detections by image.
    """
    order = np.argsort(-score, kind="stable")
    order = order[np.isin(category[order], categories)]
    place = np.searchsorted(categories, category[order])
    by_category = np.argsort(_narrow(place), kind="stable")
    return order[by_category], place[by_category]


def order_of(detections: Detections, objects: Objects) -> tuple[np.ndarray, np.ndarray]:
    """`coco_order` of detections, of the categories that have objects."""
    return coco_order(detections.category, detections.score, np.unique(objects.category[~objects.crowd]))


def images_of(ends: np.ndarray) -> np.ndarray:
    """The place of the image of each detection or object, by where those of each image end."""
    return np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))


def in_file_order(objects: Objects) -> np.ndarray:
    """Places of those that are no crowd, by their place in the file."""
    order = np.argsort(objects.place)
    return order[~objects.crowd[order]]


def over_images(function: Callable[[int, int], None], images: int, what: str) -> None:
    """Call `function` with the first and the last image, exclusive, of parts of all images, in threads."""
    chunks = list(pairwise([*range(0, images, CHUNK), images]))
    in_threads(lambda chunk: function(*chunk), chunks, what)


@njit(cache=True, nogil=True)
def _runs_of(
    texts: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    points: np.ndarray,
    polygon_ends: np.ndarray,
    last_polygon: np.ndarray,
    sizes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Runs of the masks of objects, and where those of each end.

    Args:
        texts, start, stop: compressed RLE as of `MaskTexts`, nothing for an object of polygons.
        points: (N,) float64, x and y in turn; `polygon_ends`: where each polygon's end.
        last_polygon: (G,) where the polygons of each object end.
        sizes: (G, 2) int64, height and width of its image, pixels.
    """
    runs, ends = np.empty(2 * len(points) + len(texts), np.int64), np.empty(len(last_polygon), np.int64)
    first = count = 0
    for g in range(len(last_polygon)):
        last = last_polygon[g]
        if first < last:
            mask = rasterise(points, polygon_ends, first, last, sizes[g, 0], sizes[g, 1])
        else:
            mask = decode(texts[start[g] : stop[g]])
        runs = append(runs, count, mask)
        count += len(mask)
        ends[g] = count
        first = last
    return runs[:count], ends
