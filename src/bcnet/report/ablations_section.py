"""The page's section about ablations: what one switch changes, all else being equal."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bcnet.files import InputError
from bcnet.report.differences_section import COLUMNS, MAIN, Looks, bars, grid, looks_by_label
from bcnet.report.figures import intervals
from bcnet.report.grid import Cell, Grid, Line, Row, read_table, splits
from bcnet.report.steps import SWITCH


@dataclass(frozen=True)
class Ablations:
    """Of each split a chart of the first metric, and a table."""

    charts: list[tuple[str, Markup]]
    grid: Grid


def section(path: Path, looks: Looks) -> Ablations | None:
    """The steps of a run; None if it has none.

    Args:
        path: of ablations.csv.
        looks: of the methods.

    Raises:
        InputError: the table is missing, or of another run.
    """
    rows = [row for row in read_table(path, {*COLUMNS, *SWITCH}) if row["measure"] in MAIN]
    if not rows:
        return None
    by_label = looks_by_label(looks)
    if strange := [row["label"] for row in rows if (row["origin"], row["label"]) not in by_label]:
        raise InputError(f"{path}: rows of {strange[0]!r}: `bcnet compare` makes those of this run")
    name = f"{rows[0]['metric']}: change by the switch (points)"
    charts = [
        (split, intervals(f"ablations {split}", found, name))
        for split in splits(rows)
        if (found := bars((row for row in rows if row["split"] == split), by_label, _switch))
    ]
    return Ablations(charts, grid("what one switch changes", rows, "Switch", _line))


def _switch(row: Row) -> str:
    return f"{row['switch']}: {row['before']} → {row['after']}"


def _line(row: Row, cells: tuple[Cell, ...]) -> Line:
    return Line(_switch(row), cells, below=f"{row['baseline']} → {row['label']}")
