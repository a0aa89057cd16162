"""The page's section about differences: tables and charts for each baseline."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from markupsafe import Markup

from bcnet.drawing.figures import Interval, Look, cut, intervals
from bcnet.files import InputError
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, named, read_table, reasons
from bcnet.report.page.sections.analysis.occlusion import bin_name, head
from bcnet.report.tables.differences import FEW_OBJECTS, HIGHER, KEYS, LOWER, NUMBERS
from bcnet.report.tables.rows import Method

DIFFERENCE_COLUMNS = {*KEYS, *NUMBERS, "verdict", "why"}
MAIN_MEASURES = ("", "box_cover")  # of the main table, the others are in a second one
RECALL = "AR"
INTERVAL = ("difference", "low", "high")
NAME = 140  # room for a baseline's name below a chart
PAIR = ("origin", "label", "baseline_origin", "baseline")
Looks = Mapping[Method, Look]


@dataclass(frozen=True)
class IntervalChart:
    """A chart of intervals: of which number on which split, whose they are, and the drawing."""

    number: str
    split: str
    methods: tuple[Method, ...]
    drawing: Markup


@dataclass(frozen=True)
class Against:
    """A baseline, its origin, the charts, and the tables: the main one, the others.

    On each split there is a chart of the first metric and one of recall of the most covered objects.
    """

    baseline: str
    origin: str
    charts: list[IntervalChart]
    grids: list[Grid]


def difference_rows(context: Context) -> list[TextRow]:
    """The rows of differences.csv.

    Raises:
        InputError: the table is missing, or lacks a column.
    """
    return read_table(context.report_files.table("differences"), DIFFERENCE_COLUMNS, INTERVAL)


def against_baselines(context: Context) -> list[Against]:
    """For each baseline how all other methods differ from it.

    Raises:
        InputError: the table is missing, or its rows are those of other methods.
    """
    rows = context.once(difference_rows)
    _check_methods(rows, context.looks, context.report_files.table("differences"))
    by_baseline: dict[tuple[str, str], list[TextRow]] = {}
    for row in rows:
        by_baseline.setdefault((row["baseline_origin"], row["baseline"]), []).append(row)
    return [_against(origin, name, own, context.looks) for (origin, name), own in by_baseline.items()]


def _check_methods(rows: Sequence[TextRow], looks: Looks, path: Path) -> None:
    """The rows are of all methods of the run and of no others; there may be none where there is one method."""
    run = {(method.origin, method.label) for method in looks}
    in_file = {(row["origin"], row["label"]) for row in rows}
    in_file |= {(row["baseline_origin"], row["baseline"]) for row in rows}
    if strange := sorted(in_file ^ run) if rows or len(looks) > 1 else []:
        name = repr(strange[0][1])
        what = f"no row of {name}" if strange[0] in run else f"rows of {name}, no method of this run"
        raise InputError(f"{path}: {what}: run `bcnet compare` again")


def _against(origin: str, baseline: str, rows: list[TextRow], looks: Looks) -> Against:
    main = [row for row in rows if row["measure"] in MAIN_MEASURES]
    others = [row for row in rows if row["measure"] not in MAIN_MEASURES]
    label = f"differences to {baseline}"
    grids = [difference_grid(label, main), difference_grid(f"{label}, other measures of occlusion", others)]
    x = f"difference to {cut(baseline, NAME)} (points)"
    charts = [
        chart
        for number, of_number in _charted(rows).items()
        for chart in interval_charts(of_number, looks, f"differences {origin} {baseline} {number}", f"{number}, {x}")
    ]
    return Against(baseline, origin, sorted(charts, key=lambda chart: chart.split != rows[0]["split"]), grids)


def _charted(rows: Sequence[TextRow]) -> dict[str, list[TextRow]]:
    """The rows of the numbers that have charts, by the number's name: the first metric, and recall in the last bin."""
    last = [row for row in rows if (row["metric"], row["measure"]) == (RECALL, MAIN_MEASURES[-1])]
    bins = {_head(row): row["to"] for row in last}
    by_number = {_head(rows[0]): [row for row in rows if _head(row) == _head(rows[0])]}
    for number in list(bins)[-1:]:
        by_number[number] = [row for row in last if _head(row) == number]
    return by_number


def charts(parts: Sequence[Against], context: Context) -> Iterator[Figure]:
    """The charts as files."""
    for place, part in enumerate(parts):
        for chart in part.charts:
            name = f"difference-{chart.split}-{place}"
            if chart.number != part.charts[0].number:
                name += "-recall"
            title = f"{chart.number}: difference to {part.baseline} on {chart.split}"
            yield Figure(name, title, chart.drawing, chart.methods, ("95 % intervals",))


def interval_charts(
    rows: Sequence[TextRow], looks: Looks, what: str, x: str, name: Callable[[TextRow], str] = itemgetter("label")
) -> list[IntervalChart]:
    """Of each split a chart of the first row's number, the largest on top, where there is any.

    Args:
        rows: differences of one run, at least one.
        looks: of its methods.
        what: the charts show; with the split unique on the page.
        x: name of the axis.
        name: of a row's interval.
    """
    by_label = {(method.origin, method.label): method for method in looks}
    by_split: dict[str, list[TextRow]] = {}
    for row in rows:
        if _head(row) == _head(rows[0]) and row["difference"]:
            by_split.setdefault(row["split"], []).append(row)
    drawings = []
    for split, drawn in by_split.items():
        drawn.sort(key=lambda row: -float(row["difference"]))
        of_row = [by_label[row["origin"], row["label"]] for row in drawn]
        bars = [
            Interval(name(row), looks[method], *(float(row[end]) for end in INTERVAL))
            for row, method in zip(drawn, of_row, strict=True)
        ]
        legend = tuple(method for method in looks if method in set(of_row))
        drawings.append(IntervalChart(_head(rows[0]), split, legend, intervals(f"{what} {split}", bars, x)))
    return drawings


def difference_grid(
    label: str,
    rows: Iterable[TextRow],
    head: str = "Method",
    line: Callable[[TextRow, tuple[Cell, ...]], Line] = named,
) -> Grid:
    """A table with a row a pair of methods, by split, and a column a metric.

    Args:
        head: what the rows are.
        line: makes a row of the pair's first row in the file, and its cells.
    """
    by_split: dict[str, dict[tuple[str, ...], list[TextRow]]] = {}
    for row in rows:
        pair = tuple(row[key] for key in PAIR)
        by_split.setdefault(row["split"], {}).setdefault(pair, []).append(row)
    groups = [
        Group(split, tuple(line(of_pair[0], tuple(map(difference_cell, of_pair))) for of_pair in by_pair.values()))
        for split, by_pair in by_split.items()
    ]
    first = next((of_pair for by_pair in by_split.values() for of_pair in by_pair.values()), [])
    return Grid(label, (head, *map(_head, first)), tuple(groups))


def _head(row: TextRow) -> str:
    return f"{row['metric']}, {row['measure']} {bin_name(row)}" if row["measure"] else head(row["metric"])


def difference_cell(row: TextRow) -> Cell:
    """A difference, its spread over seeds, its interval, both p and n; bold where the corrected p says so."""
    if not row["difference"]:
        return Cell("", why=reasons(row)["difference"])
    spread = f"± {row['std']}" if row["std"] else ""
    below = (
        f"{signed(row['low'])} to {signed(row['high'])}",
        f"p {p_text(row['p'])}, corrected {p_text(row['p_corrected'])}",
    )
    few = row["verdict"] == FEW_OBJECTS
    return Cell(signed(row["difference"]), spread, row["objects"], below, bold=beyond_chance(row), few=few)


def signed(number: str) -> str:
    """A number's text with its sign, zero without one."""
    text = number.removeprefix("-")
    sign = "" if not float(text) else "\N{MINUS SIGN}" if text != number else "+"
    return sign + text


def beyond_chance(row: TextRow) -> bool:
    """Whether it is more than chance, by the p that is corrected for the number of differences, and of many objects."""
    return row["verdict"] in (HIGHER, LOWER)


def p_text(p: str) -> str:
    """A p of the table as readers see it."""
    return "< 0.0001" if float(p) < 0.0001 else f"{float(p):.2g}"
