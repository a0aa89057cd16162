"""Files of predictions of any size, read in blocks and checked.

Of a block that is as the COCO API writes it only the columns are looked at; any other is looked at entry by entry.
"""

import json
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, overload

import msgspec
import numpy as np

from bcnet.data.coco.annotation_file import LARGEST_ID
from bcnet.data.coco.prediction_format import IouType, Predictions, are_masks, problem
from bcnet.data.masks.segmentation import to_rle
from bcnet.files import InputError
from bcnet.progress import byte_progress

BLOCK = 16 << 20  # bytes of a file that are read at once
LONGEST = 256 << 20  # bytes without the end of a prediction: this is no file of predictions
BETWEEN = re.compile(rb"\}\s*(,)\s*\{")  # two predictions, or two objects within one
EXPECTED = "expected COCO's result format, a list of predictions"


class _Known(NamedTuple):
    """What predictions may be of: entries of images by id, ids of categories and of images that are left out."""

    images: Mapping[int, dict[str, Any]]
    categories: Set[int]
    left_out: Set[int]

    def pixels(self, ids: np.ndarray) -> np.ndarray:
        """(N,) int64: of images."""
        images, place = np.unique(ids, return_inverse=True)
        pixels = [self.images[i]["height"] * self.images[i]["width"] for i in images.tolist()]
        return np.array(pixels, np.int64)[place]


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
    id: int | str | None = None


class _Box(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    score: float
    bbox: tuple[float, float, float, float]
    id: int | str | None = None


def read(path: Path, truth: dict[str, Any], left_out: Set[int] = frozenset()) -> Predictions:
    """Predictions in COCO's result format, checked: an evaluator would pass over wrong ones in silence.

    A file of masks is one whose first prediction has a `segmentation`, polygons or RLE; its boxes are not read. An
    empty list counts as masks. The file is read in blocks, of which only the columns stay.

    Args:
        truth: the annotation file (from `coco.read`) whose images and categories they are of.
        left_out: ids of images that are not in `truth`, but whose predictions are no mistake; they are left out.

    Raises:
        InputError: not a list of results; names the first wrong one by its place (from 0).
    """
    known = _known(truth, left_out)
    try:
        return _of_blocks(path, known, _blocks(path)) or _of_blocks(path, known, _blocks(path), quick=False)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass  # no JSON; or objects within predictions, so that one was cut in two
    try:
        return _of_blocks(path, known, [memoryview(path.read_bytes())], quick=False)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON (truncated?): {error}") from error


def of_entries(path: Path, entries: list[Any], truth: dict[str, Any], left_out: Set[int] = frozenset()) -> Predictions:
    """As `read`, of predictions in memory; `path`: what errors call them.

    Raises:
        InputError: as `read`.
    """
    boxes = bool(entries) and isinstance(entries[0], dict) and "segmentation" not in entries[0]
    return _checked(path, entries, 0, _known(truth, left_out), "bbox" if boxes else "segm")[0]


def _known(truth: dict[str, Any], left_out: Set[int]) -> _Known:
    images, categories = ({each["id"]: each for each in truth[key]} for key in ("images", "categories"))
    return _Known(images, categories.keys(), left_out)


@overload
def _of_blocks(path: Path, known: _Known, blocks: Iterable[memoryview]) -> Predictions | None: ...
@overload
def _of_blocks(path: Path, known: _Known, blocks: Iterable[memoryview], quick: Literal[False]) -> Predictions: ...
def _of_blocks(path: Path, known: _Known, blocks: Iterable[memoryview], quick: bool = True) -> Predictions | None:
    """The predictions of all blocks; what their shapes are, the first one of all tells.

    `quick`: those that are as the COCO API writes them are not looked at one by one; None if a mask of these is broken,
    which is found while the next blocks are read.
    """
    parts: list[Predictions] = []
    texts, starts = bytearray(), []
    occluder_texts, occluder_starts = bytearray(), []
    iou_type: IouType = "segm"
    place = 0
    with ThreadPoolExecutor(1) as other:
        sound: list[Future[bool]] = []
        for block in blocks:
            found = _plain(block, known, iou_type) if quick else None
            if found is None:  # boxes, another way to write masks, or something wrong
                entries = json.loads(bytes(block))
                if not isinstance(entries, list):
                    raise InputError(f"{path}: {EXPECTED}")
                if not parts and entries and isinstance(entries[0], dict) and "segmentation" not in entries[0]:
                    iou_type = "bbox"
                found = _checked(path, entries, place, known, iou_type)
            part, count = found
            place += count
            if quick and iou_type == "segm":
                sound.append(other.submit(are_masks, part.texts, part.ends, known.pixels(part.image)))
            starts.append(len(texts))
            texts += part.texts.data
            occluder_starts.append(len(occluder_texts))
            occluder_texts += part.occluder_texts.data
            parts.append(replace(part, texts=part.texts[:0], occluder_texts=part.texts[:0]))
        if not all(each.result() for each in sound):
            return None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("image", "category", "score", "boxes")
    }
    return Predictions(
        iou_type,
        texts=np.frombuffer(texts, np.uint8),
        ends=np.concatenate([start + part.ends for start, part in zip(starts, parts, strict=True)]),
        occluder_texts=np.frombuffer(occluder_texts, np.uint8),
        occluder_ends=np.concatenate(
            [start + part.occluder_ends for start, part in zip(occluder_starts, parts, strict=True)]
        ),
        ids=tuple(chain.from_iterable(part.ids for part in parts)),
        **columns,
    )


def _blocks(path: Path) -> Iterator[memoryview]:
    """The predictions of a file as JSON lists of some of them each.

    The lists are parts of the file in memory, in which the comma between two lists becomes their brackets; memory is
    given back after each.

    Raises:
        InputError: it cannot be read, or is no list.
    """
    try:
        with path.open("rb") as file:
            if not path.is_file():
                raise InputError(f"{path}: no regular file (a pipe?): {EXPECTED}")
            if not (size := path.stat().st_size):
                raise InputError(f"{path}: an empty file: {EXPECTED} (no predictions: [])")
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not text[:1000].lstrip().startswith(b"["):
        raise InputError(f"{path}: {EXPECTED}")
    start = 0
    with byte_progress(f"check {path.name}", size) as bar:
        while start + BLOCK < size:
            if (between := BETWEEN.search(text, start + BLOCK, start + LONGEST)) is None:
                if start + LONGEST < size:
                    raise InputError(f"{path}: no end of a prediction in {LONGEST} bytes: {EXPECTED}")
                break
            comma = between.start(1)
            text[comma] = ord("]")
            yield memoryview(text)[start : comma + 1]
            text[comma] = ord("[")
            bar.update(comma - start)
            read, start = start, comma
            pages = [place // mmap.PAGESIZE * mmap.PAGESIZE for place in (read, start)]
            text.madvise(mmap.MADV_DONTNEED, pages[0], pages[1] - pages[0])
        yield memoryview(text)[start:]
        bar.update(size - start)


def _plain(block: memoryview, known: _Known, iou_type: IouType) -> tuple[Predictions, int] | None:
    """The predictions of a block and how many entries it has; None if one is wrong or not as the COCO API writes it."""
    try:
        entries: list[Any] = msgspec.json.decode(block, type=list[_Mask] if iou_type == "segm" else list[_Box])
    except (msgspec.DecodeError, RecursionError):
        return None
    count = len(entries)
    if known.left_out:
        entries = [each for each in entries if each.image_id not in known.left_out]
    # (a column at a time: tuples of all columns would keep the garbage collector busy)
    image_ids = [each.image_id for each in entries]
    category_ids = [each.category_id for each in entries]
    image, category = np.array(image_ids, np.int64), np.array(category_ids, np.int64)
    score = np.array([each.score for each in entries], np.float64)
    sound = known.images.keys() >= set(image_ids) and known.categories >= set(category_ids)
    if not sound or not np.isfinite(score).all():
        return None
    masks = occluders = np.empty(0, np.uint8), np.zeros(len(image), np.int64)
    boxes = np.zeros((len(image), 4))
    if iou_type == "bbox":
        boxes = np.array([each.bbox for each in entries], np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
            return None
    else:
        sizes = {i: (known.images[i]["height"], known.images[i]["width"]) for i in set(image_ids)}
        shapes = _joined([each.segmentation for each in entries], image_ids, sizes)
        there = [place for place, each in enumerate(entries) if each.occluder is not None]
        in_front = _joined([entries[place].occluder for place in there], [image_ids[place] for place in there], sizes)
        if shapes is None or in_front is None or not are_masks(*in_front, known.pixels(image[there])):
            return None
        masks, lengths = shapes, occluders[1].copy()
        lengths[there] = np.diff(in_front[1], prepend=0)
        occluders = in_front[0], lengths.cumsum()
    ids = tuple(each.id for each in entries if each.id is not None)
    return Predictions(iou_type, image, category, score, *masks, boxes, *occluders, ids), count


def _joined(
    masks: list[_Rle], images: list[int], sizes: Mapping[int, tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The strings of masks as bytes and where each ends; None if one is not ASCII or not of its image's size."""
    if [mask.size for mask in masks] != [sizes[i] for i in images]:
        return None
    counts = [mask.counts for mask in masks]
    texts = np.frombuffer("".join(counts).encode(), np.uint8)
    ends = np.cumsum(list(map(len, counts)), dtype=np.int64)
    return (texts, ends) if len(texts) == ends.max(initial=0) else None


def _checked(path: Path, entries: list[Any], place: int, known: _Known, iou_type: IouType) -> tuple[Predictions, int]:
    """As `_plain`, in any form of the format, one by one; `place`: of the first entry in the file."""
    kept = [
        (place + index, entry)
        for index, entry in enumerate(entries)
        if not (isinstance(entry, dict) and type(entry.get("image_id")) is int and entry["image_id"] in known.left_out)
    ]
    for index, entry in kept:
        if wrong := problem(entry, known.images, known.categories, iou_type):
            raise InputError(f"{path}: prediction at place {index}: {wrong}")
    sound = [entry for _, entry in kept]
    texts = occluders = [""] * len(sound)
    if iou_type == "segm":
        sizes = [(image["height"], image["width"]) for image in (known.images[each["image_id"]] for each in sound)]
        texts = [to_rle(each["segmentation"], *size)["counts"] for each, size in zip(sound, sizes, strict=True)]
        occluders = [
            to_rle(occluder, *size)["counts"] if (occluder := each.get("occluder")) is not None else ""
            for each, size in zip(sound, sizes, strict=True)
        ]
    return Predictions(
        iou_type,
        image=np.array([each["image_id"] for each in sound], np.int64),
        category=np.array([each["category_id"] for each in sound], np.int64),
        score=np.array([each["score"] for each in sound], np.float64),
        texts=np.frombuffer("".join(texts).encode(), np.uint8),
        ends=np.cumsum([len(text) for text in texts], dtype=np.int64),
        boxes=np.array([each["bbox"] if iou_type == "bbox" else [0] * 4 for each in sound], np.float64).reshape(-1, 4),
        occluder_texts=np.frombuffer("".join(occluders).encode(), np.uint8),
        occluder_ends=np.cumsum([len(text) for text in occluders], dtype=np.int64),
        ids=tuple(str(each["id"]) for each in sound if each.get("id") is not None),
    ), len(entries)
