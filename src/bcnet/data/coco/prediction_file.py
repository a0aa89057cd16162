"""Files of predictions of any size, read in blocks and checked."""

import json
import mmap
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bcnet.data.coco.prediction_columns import Known, PredictionPart, Scanned, checked, part_of, plain
from bcnet.data.coco.prediction_format import IouType, Predictions
from bcnet.data.coco.prediction_scan import room
from bcnet.files import UTF16, InputError, readable
from bcnet.progress import byte_progress, in_threads
from bcnet.threads import processors

BLOCK = 16 << 20  # bytes of a file that are read at once
MOST_BLOCKS = 4  # that few threads read at once: between two they wait for Python's lock
LONGEST = 256 << 20  # bytes without the end of a prediction: this is no file of predictions
BETWEEN = re.compile(rb"\}\s*(,)\s*\{")  # two predictions, or two objects within one
EXPECTED = "expected COCO's result format, a list of predictions"


def read(
    path: Path, truth: dict[str, Any], left_out: Set[int] = frozenset(), scanned: Scanned | None = None
) -> Predictions:
    """Predictions in COCO's result format, checked: an evaluator would pass over wrong ones in silence.

    A file of masks is one whose first prediction has a `segmentation`, polygons or RLE. An
    empty list counts as masks. The file is read in blocks, of which only the columns stay.

    Args:
        truth: the annotation file (from `coco.read`) whose images and categories they are of.
        left_out: ids of images that are not in `truth`, but whose predictions are no mistake; they are left out.
        scanned: what `scan` says of the file, if it was asked.

    Raises:
        InputError: not a list of results; names the first wrong one by its place (from 0).
    """
    known = _known(truth, left_out)
    scanned = scanned or scan(path)
    if scanned and (predictions := plain(scanned, known)):
        return predictions
    try:
        return _of_blocks(path, known, _blocks(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass  # no JSON; or objects within predictions, so that one was cut in two
    try:
        whole = path.read_bytes().removeprefix(BOM_UTF8)
        return _of_blocks(path, known, [memoryview(whole)])
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        more = str(error).startswith("Extra data")
        why = "several lists in one file? join them to one" if more else "truncated?"
        raise InputError(f"{path}: not valid JSON ({why}): {error}") from error


def scan(path: Path, threads: int | None = None) -> Scanned | None:
    """What can be known of predictions before their ground truth is; None: not all are as the COCO API writes them.

    It needs no lock of Python's, so that other threads can read the ground truth meanwhile.

    Args:
        threads: how many work; None: one for each processor.

    Raises:
        InputError: it cannot be read, or is no list.
    """
    text, threads = _text_of(path), threads or processors()
    block = BLOCK * min(MOST_BLOCKS, max(1, len(text) // (BLOCK * threads)))
    edges = [text.find(b"["), *_borders(path, text, block), text.rfind(b"]")]
    first = BETWEEN.search(text, edges[0], edges[1])
    try:
        entry = json.loads(text[edges[0] + 1 : first.start(1) if first else edges[1]])
    except (ValueError, RecursionError):
        return None
    if text[edges[-1] + 1 :].strip() or not isinstance(entry, dict):
        return None
    iou_type: IouType = "segm" if "segmentation" in entry else "bbox"
    letters = np.frombuffer(text, np.uint8)
    strings, occluders = np.empty((2, len(text)), np.uint8)  # only what is written takes memory
    longest = max(end - start for start, end in pairwise(edges))
    rooms = [room(longest) for _ in range(threads)]  # used again and again: memory costs when it is first touched

    def part(edge: tuple[int, int]) -> PredictionPart | None:
        own_room = rooms.pop()
        found = part_of(letters, edge[0] + 1, edge[1], iou_type, strings, occluders, own_room)
        rooms.append(own_room)
        _give_back(text, *edge)
        return found

    parts = [own for own in in_threads(part, [*pairwise(edges)], f"check {path.name}", threads) if own]
    return Scanned(iou_type, parts, strings, occluders) if len(parts) == len(edges) - 1 else None


def of_entries(path: Path, entries: list[Any], truth: dict[str, Any], left_out: Set[int] = frozenset()) -> Predictions:
    """As `read`, of predictions in memory; `path`: what errors call them.

    Raises:
        InputError: as `read`.
    """
    boxes = bool(entries) and isinstance(entries[0], dict) and "segmentation" not in entries[0]
    return checked(path, entries, 0, _known(truth, left_out), "bbox" if boxes else "segm")[0]


def _known(truth: dict[str, Any], left_out: Set[int]) -> Known:
    images, categories = ({entry["id"]: entry for entry in truth[key]} for key in ("images", "categories"))
    return Known(images, categories.keys(), left_out)


def _of_blocks(path: Path, known: Known, blocks: Iterable[memoryview]) -> Predictions:
    """The predictions of all blocks, looked at one by one; what their shapes are, the first one of all tells."""
    parts: list[Predictions] = []
    texts, starts = bytearray(), []
    occluder_texts, occluder_starts = bytearray(), []
    iou_type: IouType = "segm"
    place = 0
    for block in blocks:
        entries = json.loads(bytes(block))
        if not isinstance(entries, list):
            raise InputError(f"{path}: {EXPECTED}")
        if not parts and entries and isinstance(entries[0], dict) and "segmentation" not in entries[0]:
            iou_type = "bbox"
        part, count = checked(path, entries, place, known, iou_type)
        place += count
        starts.append(len(texts))
        texts += part.texts.data
        occluder_starts.append(len(occluder_texts))
        occluder_texts += part.occluder_texts.data
        parts.append(replace(part, texts=part.texts[:0], occluder_texts=part.texts[:0]))
    return _put_together(iou_type, parts, (texts, starts), (occluder_texts, occluder_starts))


def _put_together(
    iou_type: IouType,
    parts: list[Predictions],
    masks: tuple[bytearray, list[int]],
    occluders: tuple[bytearray, list[int]],
) -> Predictions:
    """The predictions of all parts.

    Args:
        parts: without the texts of their masks.
        masks, occluders: these texts, one part after the other, and where each part's start.
    """

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def ends(name: str, starts: list[int]) -> np.ndarray:
        return np.concatenate([start + getattr(part, name) for start, part in zip(starts, parts, strict=True)])

    return Predictions(
        iou_type,
        image=joined("image"),
        category=joined("category"),
        score=joined("score"),
        box_score=joined("box_score"),
        box_scored=joined("box_scored"),
        texts=np.frombuffer(masks[0], np.uint8),
        ends=ends("ends", masks[1]),
        boxes=joined("boxes"),
        occluder_texts=np.frombuffer(occluders[0], np.uint8),
        occluder_ends=ends("occluder_ends", occluders[1]),
        ids=tuple(chain.from_iterable(part.ids for part in parts)),
    )


def _instead(start: bytes, text: mmap.mmap) -> str:
    """What a file that is no list seems to be, by its first bytes and its keys, for a line."""
    if start.startswith(b"{"):
        lines = start.split(b"\n")
        if len(lines) > 1 and lines[0].rstrip().endswith(b"}") and b"image_id" in lines[0]:
            return "; these are JSON lines: put them into one list, with commas between"
        if text.find(b'"annotations"') >= 0:
            return "; this is a file of annotations: `--annotations` reads it"
        return "; this is an object: take the list out of it"
    binary = {b"\x1f\x8b": "gzip: unpack it", b"PK": "a zip file: unpack it", b"\x80": "a pickle: write JSON"}
    for known, what in binary.items():
        if start.startswith(known):
            return f"; this is {what}"
    return ""


def _text_of(path: Path) -> mmap.mmap:
    """A file of predictions in memory, as far as it is read; what is written there stays there.

    Raises:
        InputError: it cannot be read, or is no list.
    """
    with readable(path), path.open("rb") as file:
        if not path.is_file():
            raise InputError(f"{path}: no regular file (a pipe?): {EXPECTED}")
        if not path.stat().st_size:
            raise InputError(f"{path}: an empty file: {EXPECTED} (no predictions: [])")
        text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if text[:3] == BOM_UTF8:
        text[:3] = b"   "
    if text[:2] in UTF16:
        raise InputError(f"{path}: UTF-16 text, expected UTF-8 (in PowerShell: Out-File -Encoding utf8)")
    if not text[:1000].lstrip().startswith(b"["):
        raise InputError(f"{path}: {EXPECTED}{_instead(text[:1000].lstrip(), text)}")
    return text


def _borders(path: Path, text: mmap.mmap, block: int) -> Iterator[int]:
    """Where the commas are between the blocks of a file.

    Args:
        block: how long they are, bytes.

    Raises:
        InputError: a block has no end.
    """
    start = 0
    while start + block < len(text):
        if (between := BETWEEN.search(text, start + block, start + LONGEST)) is None:
            if start + LONGEST < len(text):
                raise InputError(f"{path}: no end of a prediction in {LONGEST} bytes: {EXPECTED}")
            return
        start = between.start(1)
        yield start


def _give_back(text: mmap.mmap, start: int, stop: int) -> None:
    """Give back the memory of what was read."""
    pages = [place // mmap.PAGESIZE * mmap.PAGESIZE for place in (start, stop)]
    text.madvise(mmap.MADV_DONTNEED, pages[0], pages[1] - pages[0])


def _blocks(path: Path) -> Iterator[memoryview]:
    """The predictions of a file as JSON lists of some of them each.

    The lists are parts of the file in memory, in which the comma between two lists becomes their brackets; memory is
    given back after each.

    Raises:
        InputError: it cannot be read, or is no list.
    """
    text, start = _text_of(path), 0
    with byte_progress(f"check {path.name}", len(text)) as bar:
        for comma in _borders(path, text, BLOCK):
            text[comma] = ord("]")
            yield memoryview(text)[start : comma + 1]
            text[comma] = ord("[")
            bar.update(comma - start)
            _give_back(text, start, comma)
            start = comma
        yield memoryview(text)[start:]
        bar.update(len(text) - start)
