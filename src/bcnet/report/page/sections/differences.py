"""The page's section about differences: tables and charts for each baseline."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from markupsafe import Markup

from bcnet.drawing.figures import Interval, Look, cut, intervals
from bcnet.files import InputError
from bcnet.report.page.grid import Cell, Grid, Group, Line, Row, named, read_table, reasons, splits
from bcnet.report.page.sections.occlusion import bin_name, head
from bcnet.report.tables.differences import KEYS, NUMBERS
from bcnet.report.tables.rows import Method

COLUMNS = {*KEYS, *NUMBERS, "why"}
MAIN = ("", "box_cover")  # measures that are in the main table, the others in a second one
INTERVAL = ("difference", "low", "high")
NAME = 140  # room for a baseline's name below a chart
PAIR = ("origin", "label", "baseline_origin", "baseline")
Looks = Mapping[Method, Look]


@dataclass(frozen=True)
class Chart:
    """A chart of intervals: of which split, whose they are, and the drawing."""

    split: str
    methods: tuple[Method, ...]
    drawing: Markup


@dataclass(frozen=True)
class Against:
    """A baseline, its origin, of each split a chart of the first metric, and the tables: the main one, the others."""

    baseline: str
    origin: str
    charts: list[Chart]
    grids: list[Grid]


def section(path: Path, looks: Looks) -> list[Against]:
    """For each baseline how all other methods differ from it.

    Args:
        path: of differences.csv.
        looks: of the methods.

    Raises:
        InputError: the table is missing, or its rows are those of other methods.
    """
    rows = read_table(path, COLUMNS, INTERVAL)
    run = {(method.origin, method.label) for method in looks}
    there = {(row["origin"], row["label"]) for row in rows}
    there |= {(row["baseline_origin"], row["baseline"]) for row in rows}
    if strange := sorted(there ^ run) if rows or len(looks) > 1 else []:
        what = "no row" if strange[0] in run else "rows"
        raise InputError(f"{path}: {what} of {strange[0][1]!r}: `bcnet compare` makes those of this run")
    parts = []
    for origin, baseline in dict.fromkeys((row["baseline_origin"], row["baseline"]) for row in rows):
        mine = [row for row in rows if (row["baseline_origin"], row["baseline"]) == (origin, baseline)]
        x = f"{mine[0]['metric']} minus that of {cut(baseline, NAME)} (points)"
        kinds = [[row for row in mine if row["measure"] in MAIN], [row for row in mine if row["measure"] not in MAIN]]
        labels = (f"differences to {baseline}", f"differences to {baseline}, other measures of occlusion")
        grids = [grid(label, kind) for label, kind in zip(labels, kinds, strict=True)]
        parts.append(Against(baseline, origin, charts(mine, looks, f"differences {origin} {baseline}", x), grids))
    return parts


def charts(
    rows: Sequence[Row], looks: Looks, what: str, x: str, name: Callable[[Row], str] = itemgetter("label")
) -> list[Chart]:
    """Of each split a chart of the first metric's intervals, where there is any.

    Args:
        rows: differences of one run, at least one.
        looks: of its methods.
        what: the charts show; with the split unique on the page.
        x: name of the axis.
        name: of a row's interval.
    """
    by_label = {(method.origin, method.label): method for method in looks}
    made = []
    for split in splits(rows):
        mine = [row for row in rows if row["split"] == split and row["metric"] == rows[0]["metric"]]
        drawn = [(row, by_label[row["origin"], row["label"]]) for row in mine if row["difference"]]
        bars = [
            Interval(name(row), looks[method], float(row["difference"]), float(row["low"]), float(row["high"]))
            for row, method in drawn
        ]
        if bars:
            having = {method for _, method in drawn}
            legend = tuple(method for method in looks if method in having)
            made.append(Chart(split, legend, intervals(f"{what} {split}", bars, x)))
    return made


def grid(
    label: str, rows: Iterable[Row], head: str = "Method", line: Callable[[Row, tuple[Cell, ...]], Line] = named
) -> Grid:
    """A table with a row a pair of methods, by split, and a column a metric.

    Args:
        head: what the rows are.
        line: makes a row of the pair's first row in the file, and its cells.
    """
    by_split: dict[str, dict[tuple[str, ...], list[Row]]] = {}
    for row in rows:
        pair = tuple(row[key] for key in PAIR)
        by_split.setdefault(row["split"], {}).setdefault(pair, []).append(row)
    groups = [
        Group(split, tuple(line(mine[0], tuple(map(cell, mine))) for mine in by_pair.values()))
        for split, by_pair in by_split.items()
    ]
    first = next((mine for by_pair in by_split.values() for mine in by_pair.values()), [])
    return Grid(label, (head, *map(_head, first)), tuple(groups))


def _head(row: Row) -> str:
    return f"{row['metric']}, {row['measure']} {bin_name(row)}" if row["measure"] else head(row["metric"])


def cell(row: Row) -> Cell:
    """A difference, its spread over seeds, its interval and p; bold where the interval excludes zero."""
    if not row["difference"]:
        return Cell("", why=reasons(row)["difference"])
    spread = f"± {row['std']}" if row["std"] else ""
    below = (f"{signed(row['low'])} to {signed(row['high'])}", f"p {row['p']}")
    return Cell(signed(row["difference"]), spread, below, bold=beyond_chance(row))


def signed(number: str) -> str:
    """A number's text with its sign, zero without one."""
    text = number.removeprefix("-")
    sign = "" if not float(text) else "\N{MINUS SIGN}" if text != number else "+"
    return sign + text


def beyond_chance(row: Row) -> bool:
    """Whether the interval excludes zero, as it is shown."""
    return bool(row["difference"]) and (float(row["low"]) > 0 or float(row["high"]) < 0)
