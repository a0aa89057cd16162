"""The page's section about ablations: what one switch changes, all else being equal."""

from dataclasses import dataclass
from pathlib import Path

from bcnet.files import InputError
from bcnet.report.page.grid import Cell, Grid, Line, Row, read_table
from bcnet.report.page.sections.differences import COLUMNS, INTERVAL, MAIN, Chart, Looks, charts, grid
from bcnet.report.tables.ablation_steps import SWITCH


@dataclass(frozen=True)
class Ablations:
    """Of each split a chart of the first metric, and a table."""

    charts: list[Chart]
    grid: Grid


def section(path: Path, looks: Looks) -> Ablations | None:
    """The steps of a run; None if it has none.

    Args:
        path: of ablations.csv.
        looks: of the methods.

    Raises:
        InputError: the table is missing, or of another run.
    """
    rows = [row for row in read_table(path, {*COLUMNS, *SWITCH}, INTERVAL) if row["measure"] in MAIN]
    if not rows:
        return None
    run = {(method.origin, method.label) for method in looks}
    if strange := [row["label"] for row in rows if (row["origin"], row["label"]) not in run]:
        raise InputError(f"{path}: rows of {strange[0]!r}: `bcnet compare` makes those of this run")
    x = f"{rows[0]['metric']}: change by the switch (points)"
    return Ablations(
        charts(rows, looks, "ablations", x, _switch), grid("what one switch changes", rows, "Switch", _line)
    )


def _switch(row: Row) -> str:
    return f"{row['switch']}: {row['before']} → {row['after']}"


def _line(row: Row, cells: tuple[Cell, ...]) -> Line:
    return Line(_switch(row), cells, below=f"{row['baseline']} → {row['label']}")
