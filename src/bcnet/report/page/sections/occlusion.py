"""The page's section about how methods cope with occlusion: the benchmark's tables and charts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bcnet.drawing import figures
from bcnet.drawing.figures import Look, chart
from bcnet.report.page.grid import Cell, Grid, Group, Line, Row, cells, named, read_table, rows_of, splits
from bcnet.report.tables.occlusion import BENCHMARK, BIN, CATEGORY, COUNTS, FAILURES, IN_BINS, TIDE
from bcnet.report.tables.rows import Method

WHOSE = ("origin", "label", "split", "why")
ERRORS = (*(f"{kind}_occluded" for kind in FAILURES), *(f"tide_{kind}" for kind in TIDE))
AMODAL = tuple(name for name in BENCHMARK if name.startswith(("invisible_", "order_")))
MAIN = (*(name for name in BENCHMARK if name not in (*ERRORS, *AMODAL, "leak")), *COUNTS)
LESS_IS_BETTER = ("leak", "ECE")
Looks = Mapping[Method, Look]


@dataclass(frozen=True)
class Measure:
    """A measure of occlusion: of each split a chart of AR over its bins, and a table."""

    name: str
    charts: tuple[tuple[str, Markup], ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Occlusion:
    """The main table, kinds of errors, invisible parts and order, recall by measure, by what occludes, and categories.

    `amodal`: None where no method has any of its numbers.
    """

    main: Grid
    errors: Grid
    amodal: Grid | None
    measures: tuple[Measure, ...]
    same: Measure
    categories: tuple[Grid, ...]


def head(name: str) -> str:
    """How a number of the benchmark is called over its column."""
    text = name.replace("tide_", "TIDE ").replace("_occluded", ", occluded").replace("_separated", ", separated")
    text = text.replace("AR_", "AR, ").replace("_", " ")
    return f"{text} (less is better)" if name in LESS_IS_BETTER else text


def section(tables: Path, looks: Looks) -> Occlusion:
    """The tables of a run.

    Args:
        tables: the folder of benchmark.csv, recall.csv and categories.csv.
        looks: of the run's methods, which all have rows.

    Raises:
        InputError: a table is missing, or of another run.
    """
    path = tables / "benchmark.csv"
    rows = read_table(path, {*WHOSE, *BENCHMARK, *COUNTS})
    mine = {split: [rows_of(rows, method, split, path)[0] for method in looks] for split in splits(rows)}
    amodal = any(row[name] for row in rows for name in AMODAL)
    path = tables / "recall.csv"
    recall = read_table(path, {*WHOSE, *BIN, "objects", *IN_BINS}, ("AR", "AR_std"))
    names = dict.fromkeys(row["measure"] for row in recall)
    measures = {name: _measure(name, recall, looks, path) for name in names}
    same = measures.pop("occluder")
    path = tables / "categories.csv"
    return Occlusion(
        _by_split("how methods cope with occlusion", mine, MAIN),
        _by_split("kinds of errors", mine, ERRORS),
        _by_split("invisible parts and order", mine, AMODAL) if amodal else None,
        tuple(measures.values()),
        same,
        _categories(read_table(path, {*WHOSE, "category", "objects", *CATEGORY}), looks, path),
    )


def _by_split(label: str, rows: Mapping[str, list[Row]], columns: tuple[str, ...]) -> Grid:
    groups = (Group(split, tuple(named(row, cells(row, columns)) for row in each)) for split, each in rows.items())
    return Grid(label, ("Method", *map(head, columns)), tuple(groups))


def bin_name(row: Row) -> str:
    """A bin's ends, or what the occluder is of."""
    return row["occluder"] or f"{row['from']} to {row['to']}"


def _measure(measure: str, rows: list[Row], looks: Looks, path: Path) -> Measure:
    charts, grids = [], []
    for split in splits(rows):
        found = {
            method: [row for row in rows_of(rows, method, split, path) if row["measure"] == measure] for method in looks
        }
        bins = max(found.values(), key=lambda bins: bool(bins[0]["objects"]))  # the first measured method's
        ticks = [f"{bin_name(each)}\nn = {each['objects'] or '?'}" for each in bins]
        curves = [
            figures.Line(
                range(len(bins)),
                [float(each["AR"] or "nan") for each in mine],
                looks[method],
                spread=[float(each.get("AR_std") or 0) for each in mine],
            )
            for method, mine in found.items()
        ]
        drawing = chart(f"recall {measure} {split}", curves, measure, "AR (percent)", (4.6, 2.9), ticks, top=100)
        charts.append((split, drawing))
        groups = tuple(
            Group(
                f"{measure}: {bin_name(bins[place])}, {bins[place]['objects'] or '?'} objects",
                tuple(named(mine[place], cells(mine[place], IN_BINS)) for mine in found.values()),
            )
            for place in range(len(bins))
        )
        label = f"recall and AP by {measure} on {split}"
        grids.append(Grid(label, ("Method", *IN_BINS), groups, caption=f"{split}, in percent"))
    return Measure(measure, tuple(charts), tuple(grids))


def _categories(rows: list[Row], looks: Looks, path: Path) -> tuple[Grid, ...]:
    """AP of each category on each split, a column a method."""
    grids = []
    for split in splits(rows):
        found = {method: rows_of(rows, method, split, path) for method in looks}
        missing = {method: mine[0] for method, mine in found.items() if not mine[0]["category"]}
        by_name = {method: {row["category"]: row for row in mine} for method, mine in found.items()}
        objects = {row["category"]: row["objects"] for mine in found.values() for row in mine if row["category"]}
        lines = []
        for name, count in objects.items():
            mine = (missing.get(method) or by_name[method][name] for method in looks)
            lines.append(Line(name, (Cell(count), *(cells(row, ["AP"])[0] for row in mine))))
        heads = ("Category", "objects", *(method.label for method in looks))
        grids.append(Grid(f"AP of categories on {split}", heads, (Group(split, tuple(lines)),)))
    return tuple(grids)
