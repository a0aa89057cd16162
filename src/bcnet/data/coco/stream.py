"""Annotation files of any size: an annotation stays JSON text until the turn of its image comes.

As Python objects COCO's training annotations, a file of 450 MB, take four gigabytes; as text, what the file takes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson

from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.files import InputError, atomic_output

WRITTEN_AT_ONCE = 10_000  # annotations


class AnnotationFile(NamedTuple):
    """A COCO file whose annotations are not parsed yet."""

    content: bytes  # of the file
    head: dict[str, Any]  # the same with an empty list of annotations
    texts: Sequence[Any]  # each annotation as it stands in the file, a buffer of UTF-8
    ids: list[int]  # of the annotations
    by_image: dict[int, list[int]]  # image id -> places of its annotations, in file order; only images that have some


Id = Annotated[int, msgspec.Meta(ge=0, le=annotation_file.LARGEST_ID)]


class _Ids(msgspec.Struct, gc=False):
    id: Id
    image_id: int


def read(path: Path) -> AnnotationFile:
    """Read an annotation file and check it, but for what an annotation says beside `id` and `image_id`.

    Raises:
        InputError: as `coco.read`.
    """
    try:
        content = path.read_bytes()
        sections = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        texts = msgspec.json.decode(sections["annotations"], type=list[msgspec.Raw])
        head = {key: [] if key == "annotations" else orjson.loads(memoryview(text)) for key, text in sections.items()}
        entries = msgspec.json.decode(sections["annotations"], type=list[_Ids])
    except (OSError, KeyError, ValueError, RecursionError) as error:  # ValueError: what msgspec and orjson raise
        annotation_file.read(path)  # which says it better
        raise InputError(f"{path}: not a valid annotation file: {error}") from error
    for problem in annotation_file.problems(head):
        raise InputError(f"{path}: {problem.line}")
    images = {image["id"]: image for image in head["images"]}
    ids = [entry.id for entry in entries]
    if len(set(ids)) < len(ids):
        raise InputError(f"{path}: annotation {_first_repeated(ids)}: this id occurs twice")
    by_image: defaultdict[int, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        by_image[entry.image_id].append(place)
    if elsewhere := by_image.keys() - images.keys():
        entry = next(entry for entry in entries if entry.image_id in elsewhere)
        problem_of_it = annotation_rules.annotation_problem({"image_id": entry.image_id}, images, {})
        raise InputError(f"{path}: annotation {entry.id}: {problem_of_it}")
    return AnnotationFile(content, head, texts, ids, dict(by_image))


def spans(file: AnnotationFile) -> np.ndarray:
    """Where the annotations stand in their file: (N, 2) int64, the first byte and the one after the last.

    Args:
        file: what `read` gives: its texts are parts of its content, no copies.
    """
    of_content = np.frombuffer(file.content, np.uint8)
    texts = [np.frombuffer(text, np.uint8) for text in file.texts]
    starts = np.array([text.ctypes.data for text in texts], np.int64) - of_content.ctypes.data
    return np.stack([starts, starts + [len(text) for text in texts]], axis=1)


def _first_repeated(ids: list[int]) -> int:
    seen: set[int] = set()
    for one in ids:
        if one in seen:
            break
        seen.add(one)
    return one


def parse(
    path: Path, image: dict[str, Any], texts: Sequence[Any], categories: Mapping[int, Any]
) -> list[dict[str, Any]]:
    """Annotations of an image from their texts, checked; what they may leave out is filled in.

    Args:
        path: their file, for errors.
        image: its entry.
        categories: of the file, by id.

    Raises:
        InputError: as `coco.read`.
    """
    try:
        annotations = [orjson.loads(memoryview(text)) for text in texts]
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: an annotation of image {image['id']}: not valid JSON: {error}") from error
    images = {image["id"]: image}
    for annotation in annotations:
        if problem := annotation_rules.annotation_problem(annotation, images, categories):
            raise InputError(f"{path}: annotation {annotation['id']}: {problem}")
        annotation_rules.fill_annotation(annotation, image)
    return annotations


def write(path: Path, head: dict[str, Any], texts: Sequence[Any]) -> None:
    """Write an annotation file atomically: the bytes of `files.write_json`, without ever holding all of them.

    Raises:
        InputError: as `files.write_json`.
    """
    try:
        sections = {key: orjson.dumps(value) for key, value in head.items()}
    except orjson.JSONEncodeError as error:
        raise InputError(f"{path}: cannot be written as JSON: {error}") from error
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        for place, (key, section) in enumerate(sections.items()):
            file.write((b"," if place else b"{") + orjson.dumps(key) + b":")
            if key != "annotations":
                file.write(section)
                continue
            file.write(b"[")
            for start in range(0, len(texts), WRITTEN_AT_ONCE):
                file.write((b"," if start else b"") + b",".join(texts[start : start + WRITTEN_AT_ONCE]))
            file.write(b"]")
        file.write(b"}")
