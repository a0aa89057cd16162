"""The page's main table: all numbers of each method on each split, of which readers choose the columns."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bcnet.evaluation.statistics.summary import LEARNT
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, cells, origin_words, read_table, rows_of, splits
from bcnet.report.page.interval_table import with_ends
from bcnet.report.page.sections.analysis.occlusion import (
    AMODAL,
    COPING,
    ERRORS,
    benchmark_rows,
    bin_name,
    has_amodal,
    head,
    recall_rows,
)
from bcnet.report.tables.comparison import ABOUT

NO_METRICS = {*ABOUT, "seeds", "box_AP", "objects", "images", "iterations", "why", "source"}
RUN = ("detector", "backbone", "seeds", "iterations", "images", "objects")
MEASURE, METRIC = "box_cover", "AR"  # of occlusion, whose bins are in the table
FIRST = ("found_occluded", "leak")  # beside the first metrics, AP of boxes and the last bin
METRICS = 3  # of those asked for, that are seen first


def comparison_file(context: Context) -> Path:
    """The main table, as `bcnet compare` wrote it."""
    return context.report_files.table("comparison")


def comparison_rows(context: Context) -> list[TextRow]:
    """The rows of the main table.

    Raises:
        InputError: the table is missing, or lacks a column of this run.
    """
    return read_table(comparison_file(context), NO_METRICS, context.params.tables.metrics)


def not_learnt(row: TextRow) -> str:
    """What stands below a method's name if it has not learnt: if its AP, or else that of its boxes, is near 0."""
    ap = row.get("AP") or row.get("box_AP")
    return f"has not learnt: AP below {100 * LEARNT:g}" if ap and float(ap) < 100 * LEARNT else ""


def comparison_grid(context: Context) -> Grid:
    """The rows of comparison.csv with those of benchmark.csv and of recall.csv's first measure, by split.

    Raises:
        InputError: one of these is missing, lacks a column, or is of another run.
    """
    rows, benchmark, recall = (context.once(read) for read in (comparison_rows, benchmark_rows, recall_rows))
    metrics = _metrics(rows)
    amodal = AMODAL if context.once(has_amodal) else ()
    mixed = len({method.origin for method in context.looks}) > 1
    path = context.report_files.table
    groups, bins = [], []
    for split in splits(rows):
        lines = []
        for method in context.looks:
            row = rows_of(rows, method, split, path("comparison"))[0]
            coping = rows_of(benchmark, method, split, path("benchmark"))[0]
            coping = with_ends(context, method, split, coping, ["boundary_AP", *COPING, *ERRORS])
            own = rows_of(recall, method, split, path("recall"))
            bins = [
                with_ends(context, method, split, bin_row, [METRIC]) for bin_row in own if bin_row["measure"] == MEASURE
            ]
            own_cells = chain(
                [Cell(origin_words(method.origin))] * mixed,
                cells(row, [*metrics, "box_AP"]),
                cells(coping, ["boundary_AP"]),
                (_with_count(bin_row) for bin_row in bins),
                cells(coping, [*COPING, *ERRORS, *amodal]),
                [Cell(origin_words(method.origin))] * (not mixed),
                cells(row, RUN),
            )
            lines.append(Line(method.label, tuple(own_cells), below=not_learnt(row)))
        groups.append(Group(split, tuple(lines)))
    sets = _sets(metrics, bins, amodal)
    if not mixed:
        sets["run"].insert(0, "Origin")  # as readers of one origin seldom ask for it
    names = [name for names in sets.values() for name in names]
    shown = {*metrics[:METRICS], "box AP", *map(head, FIRST), *sets[f"{METRIC} by {MEASURE}"][-1:]}
    return Grid(
        "comparison of all methods",
        ("Method", *["Origin"] * mixed, *names),
        tuple(groups),
        words=frozenset({"Origin", "detector", "backbone"}),
        sets={name: about for about, names in sets.items() for name in names},
        first=frozenset(shown),
    )


def _metrics(rows: Sequence[TextRow]) -> list[str]:
    """The metrics of the rows, without what is said beside them."""
    columns = rows[0] if rows else ()
    return [key for key in columns if key not in NO_METRICS and not key.endswith(("_std", "_low", "_high"))]


def _sets(metrics: Sequence[str], bins: Sequence[TextRow], amodal: Sequence[str]) -> dict[str, list[str]]:
    """The heads of the columns, by what they are about."""
    return {
        "COCO": [*metrics, "box AP", "boundary AP"],
        f"{METRIC} by {MEASURE}": [f"{METRIC}, {MEASURE} {bin_name(row)}" for row in bins],
        "occlusion": [head(name) for name in COPING],
        "errors": [head(name) for name in ERRORS],
        "invisible parts and order": [head(name) for name in amodal],
        "run": list(RUN),
    }


def _with_count(bin_row: TextRow) -> Cell:
    """Recall in a bin, with how many objects it is of."""
    (cell,) = cells(bin_row, [METRIC])
    return replace(cell, count=bin_row["objects"]) if cell.text else cell
