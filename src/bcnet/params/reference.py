"""The published numbers of reference/results.yaml, as rows that `tables.reproduces` can name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bcnet.files import InputError, readable
from bcnet.params.results import Tables

REFERENCE = Path("reference/results.yaml")
NAME = ("detector", "backbone", "method", "what")
ABOUT = {*NAME, "year", "schedule", "source", "sure", "values"}  # every other key is a metric


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    `name` is how `tables.reproduces` calls it; `method` what it is a row of, which some tables call `what`. `numbers`
    are by metric, in the table's order: percent where the metric is one of COCO's; None: published, but not found.
    `certainty` is `primary`, `secondary` or None.
    """

    name: str
    detector: str | None
    backbone: str | None
    method: str | None
    schedule: str | None
    source: str
    certainty: str | None
    numbers: Mapping[str, float | None]


def read_reference(names: Collection[str], path: Path = REFERENCE) -> dict[str, list[PublishedRow]]:
    """The rows of these published tables; without names nothing is read.

    Raises:
        InputError: the file cannot be read, has no such table (the line says which there are), or a table is wrong.
    """
    if not names:
        return {}
    try:
        with readable(path):
            content = YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    tables = content if isinstance(content, dict) else {}
    for name in names:
        if name not in tables:
            raise InputError(f"{path}: no table {name!r} (tables.published), there are: {', '.join(tables) or 'none'}")
    return {name: _rows(tables[name], f"{path}: {name}") for name in names}


def check_published(tables: Tables, path: Path = REFERENCE) -> None:
    """See that `published` and `reproduces` name tables and rows that there are.

    Raises:
        InputError: one does not; the line says which there are.
    """
    published = read_reference(tables.published, path)
    for method, wanted in tables.reproduces.items():
        names = [row.name for row in published[wanted.table]]
        if wanted.row not in names:
            legal = "; ".join(names)
            raise InputError(
                f"{path}: {wanted.table}: no row {wanted.row!r} (tables.reproduces.{method}), there are: {legal}"
            )


def _rows(table: Any, where: str) -> list[PublishedRow]:
    """A list of rows, or a mapping of `rows` and `metric_order`, the names of their `values`."""
    order, entries = (table.get("metric_order", []), table.get("rows")) if isinstance(table, dict) else ([], table)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{where}: expected a list of rows, or metric_order and rows")
    rows = [_row(entry, order, where) for entry in entries]
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{where}: two rows are {twice[0]!r}")
    return rows


def _row(entry: dict[str, Any], order: list[str], where: str) -> PublishedRow:
    name = ", ".join(str(entry[key]) for key in NAME if key in entry)
    where = f"{where}: {name}"
    values = entry.get("values", ())
    if values and len(values) != len(order):
        raise InputError(f"{where}: {len(values)} values: expected {len(order)}, as metric_order names")
    numbers = {key: value for key, value in entry.items() if key not in ABOUT}
    numbers |= dict(zip(order, values, strict=False))
    for key, value in numbers.items():
        if not isinstance(value, int | float | None):
            raise InputError(f"{where}: {key}: {value!r}: expected a number or null")
    return PublishedRow(
        name=name,
        detector=entry.get("detector"),
        backbone=entry.get("backbone"),
        method=entry.get("method", entry.get("what")),
        schedule=entry.get("schedule"),
        source=entry.get("source") or "comments in reference/results.yaml",
        certainty=entry.get("sure"),
        numbers=numbers,
    )
