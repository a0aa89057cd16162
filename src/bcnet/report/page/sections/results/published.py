"""The page's section about published numbers: a table for each published one, ours below every number."""

from collections import Counter

from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, read_table, reasons
from bcnet.report.page.sections.results.differences import signed
from bcnet.report.tables.published import COLUMNS, NOT_RUN

WHOSE = ("detector", "backbone", "method", "origin", "label")  # what a line is told from the others by


def published_grids(context: Context) -> list[Grid] | None:
    """The published tables in the order of published.csv; None where none is asked for.

    Raises:
        InputError: the file is missing, or lacks a column.
    """
    by_table: dict[str, list[TextRow]] = {}
    for row in read_table(context.report_files.table("published"), COLUMNS):
        by_table.setdefault(row["table"], []).append(row)
    return [_grid(name, rows) for name, rows in by_table.items()] or None


def _grid(name: str, rows: list[TextRow]) -> Grid:
    """A published table: a line for each of its rows and each method that is to reproduce it."""
    lines: dict[tuple[str, ...], dict[str, TextRow]] = {}
    for row in rows:
        lines.setdefault(tuple(row[column] for column in WHOSE), {})[row["metric"]] = row
    verdicts = Counter(row["verdict"] or "no published number" for row in rows)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    return Grid(
        f"published table {name}",
        ("Published", "Here", *metrics, "Source"),
        (Group("", tuple(_line(line, metrics) for line in lines.values())),),
        words=frozenset({"Here", "Source"}),
        caption=f"{name}: {counts}",
    )


def _line(line: dict[str, TextRow], metrics: list[str]) -> Line:
    about = next(iter(line.values()))
    here = Cell(f"{about['label']} on {about['split']}")
    if about["verdict"] == NOT_RUN:
        here = Cell(here.text if about["label"] else NOT_RUN, below=tuple(dict.fromkeys(reasons(about).values())))
    stated = [about["certainty"], about["schedule"] and f"schedule {about['schedule']}"]
    source = Cell(", ".join([about["source"], *(note for note in stated if note)]))
    numbers = (_cell(line[metric]) if metric in line else Cell("", why="not published") for metric in metrics)
    name, below = about["method"] or about["detector"], ""
    if about["method"] and about["detector"]:
        below = f"{about['detector']}, {about['backbone']}"
    return Line(name, (here, *numbers, source), below)


def _cell(row: TextRow) -> Cell:
    """The published number, below it ours, the difference and the verdict."""
    ours = f"{row['value']} ± {row['std']}" if row["std"] else row["value"]
    below = (ours, row["difference"] and signed(row["difference"]), row["verdict"])
    return Cell(row["published"] or "not found", below=tuple(text for text in below if text))
