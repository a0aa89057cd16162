"""Predictions as columns, made of a part of a file and checked.

Of a part that is as the COCO API writes it only the columns are looked at; any other is looked at entry by entry.
"""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from bcnet.data.coco.annotation_file import LARGEST_ID
from bcnet.data.coco.prediction_format import IouType, Predictions, is_box, problem
from bcnet.data.masks.rle_text import are_masks, bytes_of
from bcnet.data.masks.segmentation import are_triples, to_rle
from bcnet.files import InputError


class Known(NamedTuple):
    """What predictions may be of: entries of images by id, ids of categories and of images that are left out."""

    images: Mapping[int, dict[str, Any]]
    categories: Set[int]
    left_out: Set[int]

    def pixels(self, ids: np.ndarray) -> np.ndarray:
        """(N,) int64: of images."""
        images, place = np.unique(ids, return_inverse=True)
        pixels = [self.images[i]["height"] * self.images[i]["width"] for i in images.tolist()]
        return np.array(pixels, np.int64)[place]


Texts = tuple[np.ndarray, np.ndarray]  # strings of masks, (bytes,) uint8, one after the other, and where each ends
Id = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)]


class _Rle(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


class _Mask(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    score: float
    segmentation: _Rle
    occluder: _Rle | None = None
    box_score: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    id: int | str | None = None


class _Box(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    score: float
    bbox: tuple[float, float, float, float]
    id: int | str | None = None


def plain(block: memoryview, known: Known, iou_type: IouType) -> tuple[Predictions, int] | None:
    """The predictions of a block and how many entries it has; None if one is wrong or not as the COCO API writes it."""
    decoded = _decoded(block, iou_type)
    if decoded is None:
        return None
    count, entries = len(decoded), _kept(decoded, known.left_out)
    # (a column at a time: tuples of all columns would keep the garbage collector busy)
    image_ids = [entry.image_id for entry in entries]
    category_ids = [entry.category_id for entry in entries]
    image, category = np.array(image_ids, np.int64), np.array(category_ids, np.int64)
    score = np.array([entry.score for entry in entries], np.float64)
    sound = known.images.keys() >= set(image_ids) and known.categories >= set(category_ids)
    if not sound or not np.isfinite(score).all():
        return None
    ids = tuple(entry.id for entry in entries if entry.id is not None)
    none: Texts = np.empty(0, np.uint8), np.zeros(len(image), np.int64)
    if iou_type == "bbox":
        boxes = _plain_boxes(entries)
        if boxes is None:
            return None
        return Predictions("bbox", image, category, score, *_unscored(score), *none, boxes, *none, ids), count
    box_scores = [entry.box_score for entry in entries]
    box_score = np.full(len(score), np.nan) if _all_none(box_scores) else np.array(box_scores, np.float64)
    masks = _plain_masks(entries, image_ids, known)
    if masks is None or np.isinf(box_score).any():
        return None
    shapes, occluders = masks
    scores, beside = (score, *_scored(box_score, score)), _beside([entry.bbox for entry in entries])
    return Predictions("segm", image, category, *scores, *shapes, beside, *occluders, ids), count


def _scored(box_score: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What boxes are ranked by, and which have a score of their own; it is NaN (null in a file) for the others."""
    own = ~np.isnan(box_score)
    return np.where(own, box_score, score), own


def _unscored(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of predictions that are boxes themselves."""
    return score, np.zeros(len(score), bool)


def _decoded(block: memoryview, iou_type: IouType) -> list[Any] | None:
    try:
        entries: list[Any] = msgspec.json.decode(block, type=list[_Mask] if iou_type == "segm" else list[_Box])
    except (msgspec.DecodeError, RecursionError):
        return None
    return entries


def _kept(entries: list[Any], left_out: Set[int]) -> list[Any]:
    return [entry for entry in entries if entry.image_id not in left_out] if left_out else entries


def _plain_boxes(entries: list[_Box]) -> np.ndarray | None:
    """(N, 4) float64; None if one is no box."""
    boxes = np.array([entry.bbox for entry in entries], np.float64).reshape(-1, 4)
    return boxes if np.isfinite(boxes).all() and (boxes[:, 2:] >= 0).all() else None


def _beside(boxes: Sequence[Sequence[float] | None]) -> np.ndarray:
    """(N, 4) float64: boxes beside masks, NaN for those that have none, or one that is no box."""
    if _all_none(boxes):
        return np.full((len(boxes), 4), np.nan)
    columns = np.array([(np.nan,) * 4 if box is None else box for box in boxes], np.float64).reshape(-1, 4)
    wrong = ~np.isfinite(columns).all(axis=1) | (columns[:, 2:] < 0).any(axis=1)
    columns[wrong] = np.nan
    return columns


def _all_none(values: Sequence[Any]) -> bool:
    """Whether no prediction of a block has something, as mostly: looking at each takes long."""
    return values.count(None) == len(values)


def _plain_masks(entries: list[_Mask], images: list[int], known: Known) -> tuple[Texts, Texts] | None:
    """The texts of the masks and of the occluders' masks, whose own texts only are looked at; None: one is wrong.

    Args:
        entries: predictions.
        images: of each the id of its image.
    """
    sizes = {i: (known.images[i]["height"], known.images[i]["width"]) for i in set(images)}
    shapes = _joined([entry.segmentation for entry in entries], images, sizes)
    occluders = [entry.occluder for entry in entries]
    having = [] if _all_none(occluders) else [place for place, mask in enumerate(occluders) if mask is not None]
    of_images = [images[place] for place in having]
    in_front = _joined([mask for mask in occluders if mask is not None], of_images, sizes)
    pixels = known.pixels(np.array(of_images, np.int64))
    if shapes is None or in_front is None or not are_masks(*in_front, pixels):
        return None
    lengths = np.zeros(len(entries), np.int64)
    lengths[having] = np.diff(in_front[1], prepend=0)
    return shapes, (in_front[0], lengths.cumsum())


def _joined(masks: list[_Rle], images: list[int], sizes: Mapping[int, tuple[int, int]]) -> Texts | None:
    """The strings of masks as bytes and where each ends; None if one is not ASCII or not of its image's size."""
    if [mask.size for mask in masks] != [sizes[i] for i in images]:
        return None
    counts = [mask.counts for mask in masks]
    texts = bytes_of("".join(counts))
    ends = np.cumsum(list(map(len, counts)), dtype=np.int64)
    return (texts, ends) if len(texts) == ends.max(initial=0) else None


def checked(path: Path, entries: list[Any], place: int, known: Known, iou_type: IouType) -> tuple[Predictions, int]:
    """As `plain`, in any form of the format, one by one.

    Args:
        path: the file, for errors.
        entries: a part of it.
        place: of the first of these in the file.

    Raises:
        InputError: one is wrong; names it by its place. Or all polygons are triples.
    """
    sound = _sound(path, entries, place, known, iou_type)
    if iou_type == "segm" and are_triples(entry["segmentation"] for entry in sound):
        raise InputError(f"{path}: the polygons are x, y, z triples, expected x, y pairs")

    def column(key: str, kind: type) -> np.ndarray:
        return np.array([entry[key] for entry in sound], kind)

    sizes = [(image["height"], image["width"]) for image in (known.images[entry["image_id"]] for entry in sound)]
    ids = tuple(str(entry["id"]) for entry in sound if entry.get("id") is not None)
    image, category, score = column("image_id", np.int64), column("category_id", np.int64), column("score", np.float64)
    if iou_type == "bbox":
        none, boxes = _texts([None] * len(sound), sizes), column("bbox", np.float64).reshape(-1, 4)
        return Predictions("bbox", image, category, score, *_unscored(score), *none, boxes, *none, ids), len(entries)
    scores = score, *_scored(np.array([entry.get("box_score") for entry in sound], np.float64), score)
    masks = _texts([entry["segmentation"] for entry in sound], sizes)
    beside = _beside([box if is_box(box := entry.get("bbox")) else None for entry in sound])
    occluders = _texts([entry.get("occluder") for entry in sound], sizes)
    return Predictions("segm", image, category, *scores, *masks, beside, *occluders, ids), len(entries)


def _sound(path: Path, entries: list[Any], place: int, known: Known, iou_type: IouType) -> list[dict[str, Any]]:
    """The entries of images that are not left out, all of them right; arguments and error as of `checked`."""
    sound: list[dict[str, Any]] = []
    for index, entry in enumerate(map(_with_whole_ids, entries), place):
        if isinstance(entry, dict) and type(entry.get("image_id")) is int and entry["image_id"] in known.left_out:
            continue
        if wrong := problem(entry, known.images, known.categories, iou_type):
            raise InputError(f"{path}: prediction at place {index}: {wrong}")
        sound.append(entry)
    return sound


def _with_whole_ids(entry: Any) -> Any:
    """The entry with ids such as 5.0, as pandas writes them, as integers: the quick reading takes them so, too."""
    if not isinstance(entry, dict):
        return entry
    ids = {key: entry.get(key) for key in ("image_id", "category_id")}
    whole = {
        key: int(value)
        for key, value in ids.items()
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    }
    return {**entry, **whole} if whole else entry


def _texts(masks: list[Any], sizes: list[tuple[int, int]]) -> Texts:
    """The strings of checked masks in any form, empty for None."""
    texts = ["" if mask is None else to_rle(mask, *size)["counts"] for mask, size in zip(masks, sizes, strict=True)]
    return bytes_of("".join(texts)), np.cumsum([len(text) for text in texts], dtype=np.int64)
