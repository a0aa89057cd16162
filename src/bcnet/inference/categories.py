"""A model's classes in the ids of an annotation file: categories are the same if their names are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcnet.files import InputError, shown, some

SHOWN = 5  # names in a line; the rest is counted


def ids_by_name(
    model: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]], path: Path
) -> tuple[list[int | None], list[str]]:
    """The ids under which a model's detections are written.

    Args:
        model: the model's categories, in the order of its classes.
        categories: those of the file.
        path: the file, for errors and remarks.

    Returns:
        For each class of the model the id of the file's category of that name, None where the file has none: such
        detections are to be left out. And a remark, a line, on each way in which the categories differ.

    Raises:
        InputError: two categories of the file, or of the model, have one name, or they have no name in common.
    """
    for owner, of_owner in ((f"{path}", categories), ("the model", model)):
        names = [category["name"] for category in of_owner]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"{owner}: two categories are called {shown(twice)}: expected different names")
    own = {category["name"]: category["id"] for category in categories}
    ids = [own.get(category["name"]) for category in model]
    unknown = [category["name"] for category, known in zip(model, ids, strict=True) if known is None]
    never = sorted(own.keys() - {category["name"] for category in model})
    if len(unknown) == len(model):
        expected = f"expected some of the model's, which are {some(unknown, SHOWN)}"
        raise InputError(f"{path}: categories {some(never, SHOWN) or 'none'}: {expected}")
    remarks = []
    if unknown:
        remarks.append(f"{path} lacks categories of the model, whose detections are left out: {some(unknown, SHOWN)}")
    if never:
        remarks.append(f"{path} has categories that the model lacks and never predicts: {some(never, SHOWN)}")
    return ids, remarks
