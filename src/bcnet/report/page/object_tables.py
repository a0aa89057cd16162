"""The tables of objects of all methods whose masks of val were evaluated, which are of the same objects."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from bcnet.files import InputError
from bcnet.report.page.context import Context
from bcnet.report.tables.rows import Method, bcnets

COLUMNS = ["annotation_id", "image_id", "category_id", "area", "box_cover", "iou", "score", "best_detection"]
COLUMNS += ["failure", "taken_for"]


def object_tables(context: Context) -> dict[Method, pd.DataFrame]:
    """The table of each method's first run on val, a row an object; empty where no method or val is there.

    A method takes part when its masks of val were evaluated and its predictions are there.

    Raises:
        InputError: a table is none, or of other objects than another or than val.
    """
    tables = {}
    for method in context.looks:
        if context.boxes(method) or not context.predictions(method).exists():
            continue
        table = context.objects(method, COLUMNS)
        if table is not None:
            tables[method] = table
    if not tables or not context.val_file.exists():
        return {}
    _check(tables, context)
    return tables


def _check(tables: Mapping[Method, pd.DataFrame], context: Context) -> None:
    """All tables are of the same objects, those of val."""
    first, *_ = tables
    expected = tables[first]["annotation_id"]
    for method, table in tables.items():
        if not table["annotation_id"].equals(expected):
            path = context.object_file(method)
            file = context.object_file(first)
            raise InputError(f"{path}: other objects than in {file}: run `bcnet evaluate` for both")
    if strange := set(expected) - {annotation["id"] for annotation in context.val["annotations"]}:
        path = context.object_file(first)
        raise InputError(f"{path}: annotation_id {min(strange)}: not in {context.val_file}: run `bcnet evaluate` again")


def chosen_two(context: Context, methods: Sequence[Method]) -> tuple[int, int]:
    """The first baseline and the first BCNet that is none, where there are such; else the first and the second."""
    names = [method.name for method in methods]
    baseline = next((names.index(name) for name in context.params.tables.compare_to or () if name in names), 0)
    others = (names.index(name) for name in bcnets(context.params) if name in names and names.index(name) != baseline)
    return baseline, next(others, 0 if baseline else 1)


def bin_places(cover: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """In which bin of `box_cover` each object is; NaN, of an object that was not converted, gives -1."""
    return np.where(np.isnan(cover), -1, np.digitize(cover, edges[1:-1]))


def bin_labels(edges: Sequence[float]) -> list[str]:
    """The bins' names."""
    return [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
