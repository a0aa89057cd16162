"""Predictions as columns, made of a file and checked.

Of predictions that are as the COCO API writes them only the columns are looked at; others entry by entry.
"""

from collections.abc import Mapping, Sequence, Set
from itertools import chain, compress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bcnet.data.coco.prediction_format import IouType, Predictions, is_box, problem
from bcnet.data.coco.prediction_scan import ABSENT, COLUMNS, MASKS, TEXTS, Room, scan
from bcnet.data.masks.rle_text import bytes_of
from bcnet.data.masks.segmentation import are_triples, to_rle
from bcnet.files import InputError, at_place


class Known(NamedTuple):
    """What predictions may be of: entries of images by id, ids of categories and of images that are left out."""

    images: Mapping[int, dict[str, Any]]
    categories: Set[int]
    left_out: Set[int]


Texts = tuple[np.ndarray, np.ndarray]  # strings of masks, (bytes,) uint8, one after the other, and where each ends
TYPES = {  # of what the values of TEXTS must be
    "score": list[float],
    "box_score": list[float | None],
    "bbox": list[tuple[float, float, float, float] | None],
    "id": list[int | str | None],
    "others": list[msgspec.Raw],
}


class PredictionPart(NamedTuple):
    """N predictions of a part of a file, not yet compared with the ground truth.

    `start`: from where on the strings of their masks lie; `numbers`: as of `prediction_scan.scan`; `score`,
    `box_score`: (N,) and `boxes`: (N, 4) float64, NaN for none; `ids`: None for none.
    """

    start: int
    numbers: np.ndarray
    score: np.ndarray
    box_score: np.ndarray
    boxes: np.ndarray
    ids: list[Any]


class Scanned(NamedTuple):
    """The predictions of a file, of which there are some; `strings`, `occluders`: as of `prediction_scan.scan`."""

    iou_type: IouType
    parts: list[PredictionPart]
    strings: np.ndarray
    occluders: np.ndarray


def part_of(
    text: np.ndarray,
    start: int,
    stop: int,
    iou_type: IouType,
    strings: np.ndarray,
    occluders: np.ndarray,
    own_room: Room,
) -> PredictionPart | None:
    """Predictions of a file (arguments as of `prediction_scan.scan`); None if one is not as the COCO API writes it."""
    found, lengths, counts = scan(text, start, stop, iou_type == "segm", strings, occluders, *own_room)
    if not found:
        return None
    numbers, texts = own_room[0][:found].copy(), own_room[1]
    values: dict[str, list[Any]] = {}
    for name, own, length, count in zip(TEXTS, texts, lengths.tolist(), counts.tolist(), strict=True):
        values[name] = [None] * len(numbers)
        if count:
            try:
                values[name] = msgspec.json.decode(b"[%b]" % own[: length - 1], type=TYPES[name])
            except (msgspec.DecodeError, RecursionError):
                return None
            if len(values[name]) != (count if name == "others" else len(numbers)):
                return None
    score, box_score = (np.array(values[name], np.float64) for name in ("score", "box_score"))
    return PredictionPart(start, numbers, score, box_score, _beside(values["bbox"]), values["id"])


def plain(scanned: Scanned, known: Known) -> Predictions | None:
    """The predictions of a file, without those of images that are left out; None if one is wrong.

    The strings in `scanned` are moved.
    """
    _, numbers, *others, of_parts = zip(*scanned.parts, strict=True)
    column = {name: np.concatenate([part[:, place] for part in numbers]) for place, name in enumerate(COLUMNS)}
    score, box_score, boxes = map(np.concatenate, others)
    texts = [_moved_together(scanned, mask) for mask in MASKS]
    ids = [*chain.from_iterable(of_parts)]
    kept = ~np.isin(column["image_id"], [*known.left_out])
    if not kept.all():
        texts = [own[np.repeat(kept, column[f"{mask} length"])] for mask, own in zip(MASKS, texts, strict=True)]
        column = {name: own[kept] for name, own in column.items()}
        score, box_score, boxes, ids = score[kept], box_score[kept], boxes[kept], [*compress(ids, kept)]
    boxless = scanned.iou_type == "bbox" and np.isnan(boxes).any()
    if boxless or not _are_scores(score, box_score) or not _are_known(column, known):
        return None
    (strings, occluders), (ends, occluder_ends) = texts, (column[f"{mask} length"].cumsum() for mask in MASKS)
    scores = score, *(_scored(box_score, score) if scanned.iou_type == "segm" else _unscored(score))
    return Predictions(
        scanned.iou_type,
        column["image_id"],
        column["category_id"],
        *scores,
        strings,
        ends,
        boxes,
        occluders,
        occluder_ends,
        tuple(own for own in ids if own is not None),
    )


def _are_scores(score: np.ndarray, box_score: np.ndarray) -> bool:
    """Whether all scores are finite; NaN: no score of a box."""
    return bool(np.isfinite(score).all() and not np.isinf(box_score).any())


def _are_known(column: Mapping[str, np.ndarray], known: Known) -> bool:
    """Whether images and categories are those of the ground truth, and masks, if there are any, of their image."""
    ids = np.array(sorted(known.images), np.int64)
    images, categories = column["image_id"], column["category_id"]
    if not (np.isin(images, ids).all() and np.isin(categories, [*known.categories]).all()):
        return False
    sizes = np.array([(known.images[i]["height"], known.images[i]["width"]) for i in ids.tolist()], np.int64)
    height, width = sizes.reshape(-1, 2)[np.searchsorted(ids, images)].T
    for mask in MASKS:
        of_size = (column[f"{mask} height"] == height) & (column[f"{mask} width"] == width)
        right = of_size & (column[f"{mask} pixels"] == height * width)
        if not (right | (column[f"{mask} height"] == ABSENT)).all():
            return False
    return True


def _moved_together(scanned: Scanned, mask: str) -> np.ndarray:
    """The strings of all parts, moved together in their array: a copy would take as much memory again."""
    strings = scanned.strings if mask == "segmentation" else scanned.occluders
    every, end = strings.data, 0
    for part in scanned.parts:
        length = int(part.numbers[:, COLUMNS.index(f"{mask} length")].sum())
        every[end : end + length] = every[part.start : part.start + length]
        end += length
    return strings[:end]


def _scored(box_score: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What boxes are ranked by, and which have a score of their own; it is NaN (null in a file) for the others."""
    own = ~np.isnan(box_score)
    return np.where(own, box_score, score), own


def _unscored(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of predictions that are boxes themselves."""
    return score, np.zeros(len(score), bool)


def _beside(boxes: Sequence[Sequence[float] | None]) -> np.ndarray:
    """(N, 4) float64: boxes beside masks, NaN for those that have none, or one that is no box."""
    if boxes.count(None) == len(boxes):  # as mostly: looking at each takes long
        return np.full((len(boxes), 4), np.nan)
    columns = np.array([(np.nan,) * 4 if box is None else box for box in boxes], np.float64).reshape(-1, 4)
    wrong = ~np.isfinite(columns).all(axis=1) | (columns[:, 2:] < 0).any(axis=1)
    columns[wrong] = np.nan
    return columns


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
            raise InputError(f"{path}: {at_place('prediction', index)}: {wrong}")
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
