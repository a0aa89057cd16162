"""Predictions of many images, stored a hundred at a time, so that a killed run goes on where it was."""

import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bcnet.files import InputError, atomic_output, write_json
from bcnet.inference import speed
from bcnet.progress import note, progress

CHUNK = 100  # pictures whose predictions are stored together: a killed run loses no more


def in_chunks(
    images: Sequence[dict[str, Any]],
    predicted: Callable[[dict[str, Any]], list[dict[str, Any]]],
    what: str,
    done: Path,
    device: str,
    out: Path,
) -> list[speed.Times]:
    """Write the predictions of all images, those of `CHUNK` images at a time into a folder and at the end together.

    Args:
        images: their entries, in the order of the predictions.
        predicted: gives an image's.
        what: for the progress line.
        done: the folder, named by all that determines the predictions; what lies there is not predicted again.
        device: the name of what computes, for the times.
        out: the JSON file of all.

    Returns:
        How long the images of each chunk took, those that lay there as well.
    """
    chunks = {done / f"{start:08d}.json": images[start : start + CHUNK] for start in range(0, len(images), CHUNK)}
    times = {path: path.with_suffix(".seconds.json") for path in chunks}
    done.mkdir(parents=True, exist_ok=True)
    left = {path: chunk for path, chunk in chunks.items() if not _is_whole(path, times[path], len(chunk))}
    todo = list(chain.from_iterable(left.values()))
    if len(todo) < len(images):
        note(f"{what}: resuming, {len(images) - len(todo)} of {len(images)} images are done")
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
        speed.write(times[path], taken)
        write_json(path, entries)
    with atomic_output(out) as temporary, temporary.open("wb") as file:  # as JSON objects COCO's would take gigabytes
        file.write(b"[")
        texts = (path.read_bytes().removeprefix(b"[").removesuffix(b"]") for path in chunks)
        for place, text in enumerate(filter(None, texts)):
            file.write((b"," if place else b"") + text)
        file.write(b"]")
    return [speed.read(path, speed.Times) for path in times.values()]


def _is_whole(path: Path, times: Path, images: int) -> bool:
    """Whether both files of a chunk are there and whole.

    A run that was killed while it removed the folder may have left either without the other, and a disk that lost its
    power an empty file.
    """
    try:
        content, taken = path.read_bytes(), speed.read(times, speed.Times)
    except (OSError, InputError):
        return False
    return content[:1] == b"[" and content[-1:] == b"]" and len(taken.seconds) == images
