"""What a caller passes, as the files would have held it: checked, and copied so that it is never changed."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
from pydantic import ValidationError

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.files import InputError, at_place
from bcnet.params.section import Section
from bcnet.validation import one_line

File = str | PathLike[str]
Settings = TypeVar("Settings", bound=Section)


def settings_of(kind: type[Settings], **values: Any) -> Settings:
    """A section of the parameters.

    Raises:
        InputError: a value is not legal.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise InputError(one_line(error, kind)) from error


def annotations_of(annotations: File | Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """What errors call annotations, and their content, checked; nothing of it is the caller's.

    Raises:
        InputError: they are not right.
    """
    if isinstance(annotations, str | PathLike):
        return Path(annotations), annotation_file.read(Path(annotations))
    path = Path("annotations")
    content = dict(annotations)
    if isinstance(entries := content.get("annotations"), Sequence):
        content["annotations"] = [_with_rle(entry) for entry in entries]
    content = _plain(str(path), content)
    for problem in annotation_file.problems(content):
        raise InputError(f"{path}: {problem.line}")
    annotation_file.fill(content)
    return path, content


def predictions_of(predictions: Sequence[Any]) -> list[Any]:
    """Entries of COCO's result format, not checked yet; nothing of them is the caller's.

    Raises:
        InputError: something in them cannot be written as JSON, which has no NaN either.
    """
    for place, entry in enumerate(predictions):
        score = entry.get("box_score") if isinstance(entry, Mapping) else None
        if isinstance(score, float | np.floating) and np.isnan(score):  # as null it would mean that there is none
            raise InputError(f"predictions: {at_place('prediction', place)}: box_score: nan: expected a finite number")
    return _plain("predictions", [_with_rle(entry) for entry in predictions])


def _with_rle(entry: Any) -> Any:
    """An annotation or a prediction whose masks, (H, W) bool or uint8, are compressed RLE."""
    if not isinstance(entry, Mapping):
        return entry
    return {key: encode(value != 0) if _is_mask(value) else value for key, value in entry.items()}


def _is_mask(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype in (np.bool_, np.uint8)


def _plain(name: str, content: Any) -> Any:
    """A copy as a JSON file would give it: lists, dicts, Python's own numbers.

    Raises:
        InputError: something in it cannot be written as JSON.
    """
    try:
        return orjson.loads(orjson.dumps(content, default=_jsonable, option=orjson.OPT_SERIALIZE_NUMPY))
    except orjson.JSONEncodeError as error:
        raise InputError(f"{name}: not COCO's format: {error}") from error


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):  # pycocotools' own RLE
        return value.decode("ascii", "replace")
    if isinstance(value, np.ndarray):  # of an order or type that orjson does not take
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no value of JSON")
