"""Predictions of many images, stored a hundred at a time: a killed run goes on where it was, and shards share them."""

import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bcnet.files import InputError, atomic_output, write_json
from bcnet.inference import speed
from bcnet.parallel import Shard, of_shard
from bcnet.progress import note, progress

CHUNK = 100  # pictures whose predictions are stored together: a killed run loses no more


def predict_chunks(
    images: Sequence[dict[str, Any]],
    predicted: Callable[[dict[str, Any]], list[dict[str, Any]]],
    what: str,
    done: Path,
    device: str,
    shard: Shard = (1, 1),
) -> int:
    """Store the predictions of `CHUNK` images at a time in a folder.

    Args:
        images: their entries, in the order of the predictions.
        predicted: gives an image's.
        what: for the progress line.
        done: the folder, named by all that determines the predictions; what lies there is not predicted again.
        device: the name of what computes, for the times.
        shard: of the chunks.

    Returns:
        How many images the shard has.

    Raises:
        InputError: there is no such shard.
    """
    chunks = dict(of_shard(list(_chunks(images, done).items()), shard))
    count = sum(map(len, chunks.values()))
    done.mkdir(parents=True, exist_ok=True)
    left = {path: chunk for path, chunk in chunks.items() if not _is_whole(path, len(chunk))}
    todo = list(chain.from_iterable(left.values()))
    if len(todo) < count:
        note(f"{what}: resuming, {count - len(todo)} of {count} images are done")
    moving = progress(todo, what)
    for path, chunk in left.items():
        entries: list[dict[str, Any]] = []
        seconds: list[float] = []
        processor: list[float] = []
        for image in islice(moving, len(chunk)):
            start, work = time.perf_counter(), time.process_time()
            entries += predicted(image)  # on the host, also where a GPU has computed it
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - work)
        taken = speed.Times(device=device, seconds=tuple(seconds), processor_seconds=tuple(processor))
        speed.write(_times(path), taken)
        write_json(path, entries)
    return count


def join_chunks(images: Sequence[dict[str, Any]], done: Path, out: Path) -> tuple[list[speed.Times], int]:
    """Write the predictions of all images together, when all chunks are stored.

    Args:
        images: as of `predict_chunks`.
        done: the folder.
        out: the JSON file of all.

    Returns:
        How long the images of each chunk took, and how many predictions there are.
    """
    chunks, count = _chunks(images, done), 0
    with atomic_output(out) as temporary, temporary.open("wb") as file:  # as JSON objects COCO's would take gigabytes
        file.write(b"[")
        texts = (path.read_bytes().removeprefix(b"[").removesuffix(b"]") for path in chunks)
        for place, text in enumerate(filter(None, texts)):
            file.write((b"," if place else b"") + text)
            count += text.count(b'"image_id":')
        file.write(b"]")
    return [speed.read(_times(path), speed.Times) for path in chunks], count


def _chunks(images: Sequence[dict[str, Any]], done: Path) -> dict[Path, Sequence[dict[str, Any]]]:
    """The images of each chunk, by its file."""
    return {done / f"{start:08d}.json": images[start : start + CHUNK] for start in range(0, len(images), CHUNK)}


def _times(path: Path) -> Path:
    """The file of the times of a chunk."""
    return path.with_suffix(".seconds.json")


def _is_whole(path: Path, images: int) -> bool:
    """Whether both files of a chunk are there and whole.

    A run that was killed while it removed the folder may have left either without the other, and a disk that lost its
    power an empty file.
    """
    try:
        content, taken = path.read_bytes(), speed.read(_times(path), speed.Times)
    except (OSError, InputError):
        return False
    return content[:1] == b"[" and content[-1:] == b"]" and len(taken.seconds) == images
