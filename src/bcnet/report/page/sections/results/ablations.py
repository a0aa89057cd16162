"""The page's section about ablations: what one switch changes, all else being equal."""

from collections.abc import Iterator
from dataclasses import dataclass

from bcnet.files import InputError
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Line, TextRow, read_table
from bcnet.report.page.sections.results.differences import (
    DIFFERENCE_COLUMNS,
    INTERVAL,
    MAIN_MEASURES,
    IntervalChart,
    difference_grid,
    interval_charts,
)
from bcnet.report.tables.ablation_steps import SWITCH


@dataclass(frozen=True)
class Ablations:
    """Of each split a chart of the first metric, and a table."""

    charts: list[IntervalChart]
    grid: Grid


def ablation_rows(context: Context) -> list[TextRow]:
    """The rows of ablations.csv.

    Raises:
        InputError: the table is missing, or lacks a column.
    """
    return read_table(context.report_files.table("ablations"), {*DIFFERENCE_COLUMNS, *SWITCH}, INTERVAL)


def ablations(context: Context) -> Ablations | None:
    """The steps of a run; None if it has none.

    Raises:
        InputError: the table is missing, or of another run.
    """
    rows = [row for row in context.once(ablation_rows) if row["measure"] in MAIN_MEASURES]
    if not rows:
        return None
    run = {(method.origin, method.label) for method in context.looks}
    if strange := [row["label"] for row in rows if (row["origin"], row["label"]) not in run]:
        path = context.report_files.table("ablations")
        raise InputError(f"{path}: rows of {strange[0]!r}, no method of this run: run `bcnet compare` again")
    x = f"{rows[0]['metric']}: change (points)"
    return Ablations(
        interval_charts(rows, context.looks, "ablations", x, _switch),
        difference_grid("what one setting changes", rows, "Setting", _line),
    )


def charts(steps: Ablations, context: Context) -> Iterator[Figure]:
    """The charts as files."""
    notes = "what one setting changes, with 95 % intervals", "colour and marker of the second variant"
    for chart in steps.charts:
        yield Figure(f"ablations-{chart.split}", f"Ablations on {chart.split}", chart.drawing, chart.methods, notes)


def _switch(row: TextRow) -> str:
    return f"{row['switch']}: {row['before']} → {row['after']}"


def _line(row: TextRow, cells: tuple[Cell, ...]) -> Line:
    return Line(_switch(row), cells, below=f"{row['baseline']} → {row['label']}")
