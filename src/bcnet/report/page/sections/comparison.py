"""The page's main table: COCO's numbers of each method on each split."""

from pathlib import Path

from bcnet.evaluation.statistics.summary import LEARNT
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Grid, Group, Line, TextRow, cells, read_table
from bcnet.report.tables.comparison import ABOUT

NO_METRICS = {*ABOUT, "seeds", "box_AP", "objects", "images", "iterations", "why", "source"}
HEADS = {"box_AP": "box AP"}


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
    ap = row.get("AP") or row["box_AP"]
    return f"has not learnt: AP below {100 * LEARNT:g}" if ap and float(ap) < 100 * LEARNT else ""


def comparison_grid(context: Context) -> Grid:
    """The rows of comparison.csv by split and origin, so that no origin is mixed with another.

    Raises:
        InputError: as `comparison_rows`.
    """
    rows = context.once(comparison_rows)
    metrics = [
        key
        for key in (rows[0] if rows else ())
        if key not in NO_METRICS and not key.endswith(("_std", "_low", "_high"))
    ]
    shown = [*metrics, "box_AP", "detector", "backbone", "seeds", "iterations", "images", "objects"]
    splits = list(dict.fromkeys(row["split"] for row in rows))
    groups: dict[tuple[str, str], list[Line]] = {}
    for row in sorted(rows, key=lambda row: splits.index(row["split"])):
        line = Line(row["label"], cells(row, shown), below=not_learnt(row))
        groups.setdefault((row["split"], row["origin"]), []).append(line)
    heads = [HEADS.get(column, column) for column in shown]
    return Grid(
        "comparison of all methods",
        ("Method", *heads),
        tuple(Group(split, tuple(lines), origin) for (split, origin), lines in groups.items()),
        words=frozenset({"detector", "backbone"}),
    )
