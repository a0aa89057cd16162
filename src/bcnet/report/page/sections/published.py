"""The page's section about published numbers: a table for each published one, ours below every number."""

from collections import Counter

from bcnet.report.page.grid import Cell, Grid, Group, Line, Row, reasons
from bcnet.report.page.sections.differences import signed
from bcnet.report.tables.published import COLUMNS as WRITTEN
from bcnet.report.tables.published import NOT_RUN

COLUMNS = set(WRITTEN)


def section(rows: list[Row]) -> list[Grid]:
    """The tables in the order of `rows`, those of published.csv: a line for each row and method that reproduces it."""
    grids = []
    for name in dict.fromkeys(row["table"] for row in rows):
        mine = [row for row in rows if row["table"] == name]
        lines: dict[tuple[str, ...], dict[str, Row]] = {}
        for row in mine:
            key = tuple(row[column] for column in ("detector", "backbone", "method", "origin", "label"))
            lines.setdefault(key, {})[row["metric"]] = row
        verdicts = Counter(row["verdict"] or "no published number" for row in mine)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        metrics = list(dict.fromkeys(row["metric"] for row in mine))
        grids.append(
            Grid(
                f"published table {name}",
                ("Published", "Here", *metrics, "Source"),
                (Group("", tuple(_line(line, metrics) for line in lines.values())),),
                words=frozenset({"Here", "Source"}),
                caption=f"{name}: {counts}",
            )
        )
    return grids


def _line(line: dict[str, Row], metrics: list[str]) -> Line:
    about = next(iter(line.values()))
    here = Cell(f"{about['label']} on {about['split']}")
    if about["verdict"] == NOT_RUN:
        here = Cell(here.text if about["label"] else NOT_RUN, below=tuple(dict.fromkeys(reasons(about).values())))
    stated = [about["certainty"], about["schedule"] and f"schedule {about['schedule']}"]
    source = Cell(", ".join([about["source"], *(each for each in stated if each)]))
    numbers = (_cell(line[metric]) if metric in line else Cell("", why="not published") for metric in metrics)
    name, below = about["method"] or about["detector"], ""
    if about["method"] and about["detector"]:
        below = f"{about['detector']}, {about['backbone']}"
    return Line(name, (here, *numbers, source), below)


def _cell(row: Row) -> Cell:
    """The published number, below it ours, the difference and the verdict."""
    ours = f"{row['value']} ± {row['std']}" if row["std"] else row["value"]
    below = (ours, row["difference"] and signed(row["difference"]), row["verdict"])
    return Cell(row["published"] or "not found", below=tuple(text for text in below if text))
