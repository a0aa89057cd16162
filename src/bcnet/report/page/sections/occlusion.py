"""The page's sections about how methods cope with occlusion: the benchmark's tables and charts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from bcnet.drawing.figures import Curve, Look, chart
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, cells, named, read_table, rows_of, splits
from bcnet.report.tables.draws import LEAK_OF_BOTH
from bcnet.report.tables.occlusion import BENCHMARK, BIN, CATEGORY, COUNTS, FAILURES, IN_BINS, TIDE
from bcnet.report.tables.rows import Method

WHOSE = ("origin", "label", "split", "why")
ERRORS = (*(f"{kind}_occluded" for kind in FAILURES), *(f"tide_{kind}" for kind in TIDE))
AMODAL = tuple(name for name in BENCHMARK if name.startswith(("invisible_", "order_")))
MAIN = (*(name for name in BENCHMARK if name not in (*ERRORS, *AMODAL, "leak")), *COUNTS)
LOWER_IS_BETTER = ("leak", LEAK_OF_BOTH, "ECE")
BY_OCCLUDER = "occluder"  # the measure whose bins are of what occludes an object: it has a section of its own
Looks = Mapping[Method, Look]
Rows = Mapping[Method, list[TextRow]]


@dataclass(frozen=True)
class Measure:
    """A measure of occlusion: of each split a chart of AR over its bins, and a table."""

    name: str
    charts: tuple[tuple[str, Markup], ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Coping:
    """The main table, recall and AP in the bins of each measure, and AP of each category on each split."""

    main: Grid
    measures: tuple[Measure, ...]
    categories: tuple[Grid, ...]


def head(name: str) -> str:
    """How a number of the benchmark is called over its column."""
    text = name.replace("tide_", "TIDE ").replace("_occluded", ", occluded").replace("_separated", ", separated")
    text = text.replace("AR_", "AR, ").replace("_", " ")
    return f"{text} (lower is better)" if name in LOWER_IS_BETTER else text


def coping(context: Context) -> Coping:
    """How methods cope with occlusion, in percent of masks.

    Raises:
        InputError: benchmark.csv, recall.csv or categories.csv is missing, or of another run.
    """
    main = _benchmark_grid("results under occlusion", MAIN, context)
    measures = context.once(_measures)
    return Coping(
        main, tuple(measure for name, measure in measures.items() if name != BY_OCCLUDER), _categories(context)
    )


def by_occluder(context: Context) -> Measure:
    """Recall and AP by what an object's main occluder is of."""
    return context.once(_measures)[BY_OCCLUDER]


def errors_grid(context: Context) -> Grid:
    """What becomes of occluded objects that are not found, and TIDE's errors."""
    return _benchmark_grid("kinds of errors", ERRORS, context)


def amodal_grid(context: Context) -> Grid | None:
    """Invisible parts and order; None where no method has any of these numbers."""
    if not context.once(has_amodal):
        return None
    return _benchmark_grid("invisible parts and order", AMODAL, context)


def has_amodal(context: Context) -> bool:
    """Whether any method has a number of invisible parts or of order."""
    return any(row[name] for row in context.once(_benchmark_rows) for name in AMODAL)


def charts(content: Coping, context: Context) -> Iterator[Figure]:
    """The charts of the measures of occlusion as files."""
    for measure in content.measures:
        yield from charts_by_occluder(measure, context)


def charts_by_occluder(measure: Measure, context: Context) -> Iterator[Figure]:
    """The charts of one measure as files."""
    bands = ("bands: one sample standard deviation over seeds",) if len(context.params.seeds) > 1 else ()
    for split, drawing in measure.charts:
        title = f"Recall by {measure.name} on {split}"
        yield Figure(f"recall-{measure.name}-{split}", title, drawing, tuple(context.looks), bands)


def _benchmark_rows(context: Context) -> list[TextRow]:
    return read_table(context.report_files.table("benchmark"), {*WHOSE, *BENCHMARK, *COUNTS})


def _benchmark_grid(label: str, columns: tuple[str, ...], context: Context) -> Grid:
    """Columns of benchmark.csv, a group a split."""
    rows, path = context.once(_benchmark_rows), context.report_files.table("benchmark")
    by_split = {split: [rows_of(rows, method, split, path)[0] for method in context.looks] for split in splits(rows)}
    groups = (Group(split, tuple(named(row, cells(row, columns)) for row in own)) for split, own in by_split.items())
    return Grid(label, ("Method", *map(head, columns)), tuple(groups))


def bin_name(row: TextRow) -> str:
    """A bin's ends, or what the occluder is of."""
    return row["occluder"] or (f"{row['from']} to {row['to']}" if row["from"] else "last bin minus first")


def _measures(context: Context) -> dict[str, Measure]:
    """Every measure of recall.csv, by name."""
    path = context.report_files.table("recall")
    rows = read_table(path, {*WHOSE, *BIN, "objects", *IN_BINS}, ("AR", "AR_std"))
    by_measure: dict[str, dict[str, Rows]] = {}
    for split in splits(rows):
        own = {method: rows_of(rows, method, split, path) for method in context.looks}
        for measure in dict.fromkeys(row["measure"] for row in rows):
            by_measure.setdefault(measure, {})[split] = {
                method: [row for row in bins if row["measure"] == measure] for method, bins in own.items()
            }
    return {measure: _measure(measure, by_split, context.looks) for measure, by_split in by_measure.items()}


def _measure(name: str, by_split: Mapping[str, Rows], looks: Looks) -> Measure:
    return Measure(
        name,
        tuple((split, _recall_chart(f"{name} {split}", name, rows, looks)) for split, rows in by_split.items()),
        tuple(_recall_grid(name, split, rows) for split, rows in by_split.items()),
    )


def _bins(rows: Rows) -> list[TextRow]:
    """The rows that say what the bins are and hold: the first measured method's."""
    return max(rows.values(), key=lambda bins: bool(bins[0]["objects"]))


def _recall_chart(what: str, measure: str, rows: Rows, looks: Looks) -> Markup:
    """A curve a method: AR over the bins, with its spread over seeds."""
    ticks = [f"{bin_name(row)}\nn = {row['objects'] or '?'}" for row in _bins(rows)]
    curves = [
        Curve(
            range(len(ticks)),
            [float(row["AR"] or "nan") for row in bins],
            looks[method],
            spread=[float(row.get("AR_std") or 0) for row in bins],
        )
        for method, bins in rows.items()
    ]
    return chart(f"recall {what}", curves, measure, "AR (percent)", (4.6, 2.9), ticks, top=100)


def _recall_grid(measure: str, split: str, rows: Rows) -> Grid:
    """A group a bin, a row a method."""
    groups = tuple(
        Group(
            f"{measure}: {bin_name(first)}, {first['objects'] or '?'} objects",
            tuple(named(bins[place], cells(bins[place], IN_BINS)) for bins in rows.values()),
        )
        for place, first in enumerate(_bins(rows))
    )
    label = f"recall and AP by {measure} on {split}"
    return Grid(label, ("Method", *IN_BINS), groups, caption=f"{split}, in percent")


def _categories(context: Context) -> tuple[Grid, ...]:
    """AP of each category on each split, a column a method."""
    path = context.report_files.table("categories")
    rows = read_table(path, {*WHOSE, "category", "objects", *CATEGORY})
    heads = ("Category", "objects", *(method.label for method in context.looks))
    grids = []
    for split in splits(rows):
        own = [rows_of(rows, method, split, path) for method in context.looks]
        row_of = [_category_row(of_method) for of_method in own]
        objects = {row["category"]: row["objects"] for of_method in own for row in of_method if row["category"]}
        lines = (
            Line(name, (Cell(count), *(cells(row(name), ["AP"])[0] for row in row_of)))
            for name, count in objects.items()
        )
        grids.append(Grid(f"AP of categories on {split}", heads, (Group(split, tuple(lines)),)))
    return tuple(grids)


def _category_row(rows: list[TextRow]) -> Callable[[str], TextRow]:
    """The row of a category among a method's; of one whose metrics are missing, the one row that says so."""
    if not rows[0]["category"]:
        return lambda _: rows[0]
    return {row["category"]: row for row in rows}.__getitem__
