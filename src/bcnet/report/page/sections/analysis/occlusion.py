"""The page's sections about how methods cope with occlusion: the benchmark's tables and charts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from bcnet.drawing.figures import Look
from bcnet.report.figures.figure_files import Figure
from bcnet.report.figures.line_chart import Axes, Curve, Point, line_chart
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, cells, named, read_table, rows_of, splits
from bcnet.report.page.interval_table import ends_of, with_ends
from bcnet.report.tables.draws import LEAK_OF_BOTH
from bcnet.report.tables.occlusion import BENCHMARK, BIN, CATEGORY, COUNTS, FAILURES, IN_BINS, TIDE
from bcnet.report.tables.rows import Method, compared_to

WHOSE = ("origin", "label", "split", "why")
ERRORS = (*(f"{kind}_occluded" for kind in FAILURES), *(f"tide_{kind}" for kind in TIDE))
AMODAL = tuple(name for name in BENCHMARK if name.startswith(("invisible_", "order_")))
COPING = (*(name for name in BENCHMARK if name not in (*ERRORS, *AMODAL, "boundary_AP")), *COUNTS)
AXES = {"box_cover": "share of the object's box that others cover (box_cover)"}
LOWER_IS_BETTER = ("leak", LEAK_OF_BOTH, "ECE")
BY_OCCLUDER = "occluder"  # the measure whose bins are of what occludes an object: it has a section of its own
BARS = "bars: 95 % intervals"
BARS_OF_SEEDS = "bars: 95 % intervals over images and seeds"
FEW = 5  # methods, none of which need stand out of the others in a chart
Looks = Mapping[Method, Look]
Rows = Mapping[Method, list[TextRow]]


@dataclass(frozen=True)
class RecallChart:
    """A chart of AR over the bins of a measure on a split; `narrow`: the same for a narrow page."""

    split: str
    drawing: Markup
    narrow: Markup
    drawn: bool  # whether any line is in it


@dataclass(frozen=True)
class Measure:
    """A measure of occlusion: of each split a chart of AR over its bins, and a table."""

    name: str
    charts: tuple[RecallChart, ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Coping:
    """Recall and AP in the bins of each measure, and AP of each category on each split."""

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
        InputError: recall.csv or categories.csv is missing, or of another run.
    """
    measures = context.once(recall_measures)
    return Coping(tuple(measure for name, measure in measures.items() if name != BY_OCCLUDER), _categories(context))


def by_occluder(context: Context) -> Measure:
    """Recall and AP by what an object's main occluder is of."""
    return context.once(recall_measures)[BY_OCCLUDER]


def has_amodal(context: Context) -> bool:
    """Whether any method has a number of invisible parts or of order."""
    return any(row[name] for row in context.once(benchmark_rows) for name in AMODAL)


def charts(content: Coping, context: Context) -> Iterator[Figure]:
    """The charts of the measures of occlusion as files."""
    for measure in content.measures:
        yield from charts_by_occluder(measure, context)


def charts_by_occluder(measure: Measure, context: Context) -> Iterator[Figure]:
    """The charts of one measure as files."""
    note = BARS_OF_SEEDS if len(context.params.seeds) > 1 else BARS
    for chart in measure.charts:
        title = f"Recall by {measure.name} on {chart.split}"
        yield Figure(f"recall-{measure.name}-{chart.split}", title, chart.drawing, (), (note,))


def benchmark_rows(context: Context) -> list[TextRow]:
    """The rows of benchmark.csv.

    Raises:
        InputError: the table is missing, or lacks a column.
    """
    return read_table(context.report_files.table("benchmark"), {*WHOSE, *BENCHMARK, *COUNTS})


def recall_rows(context: Context) -> list[TextRow]:
    """The rows of recall.csv.

    Raises:
        InputError: the table is missing, lacks a column, or a number in it is none.
    """
    return read_table(context.report_files.table("recall"), {*WHOSE, *BIN, "objects", *IN_BINS}, ("AR", "AR_std"))


def bin_name(row: TextRow) -> str:
    """A bin's ends, or what the occluder is of."""
    return row["occluder"] or (f"{row['from']} to {row['to']}" if row["from"] else "last bin minus first")


def recall_measures(context: Context) -> dict[str, Measure]:
    """Every measure of recall.csv, by name."""
    path = context.report_files.table("recall")
    rows = context.once(recall_rows)
    by_measure: dict[str, dict[str, Rows]] = {}
    for split in splits(rows):
        own = {method: rows_of(rows, method, split, path) for method in context.looks}
        for measure in dict.fromkeys(row["measure"] for row in rows):
            by_measure.setdefault(measure, {})[split] = {
                method: [row for row in bins if row["measure"] == measure] for method, bins in own.items()
            }
    return {measure: _measure(measure, by_split, context) for measure, by_split in by_measure.items()}


def _measure(name: str, by_split: Mapping[str, Rows], context: Context) -> Measure:
    return Measure(
        name,
        tuple(_recall_chart(name, split, rows, context) for split, rows in by_split.items()),
        tuple(_recall_grid(name, split, rows, context) for split, rows in by_split.items()),
    )


def _bins(rows: Rows) -> list[TextRow]:
    """The rows that say what the bins are and hold: the first measured method's."""
    return max(rows.values(), key=lambda bins: bool(bins[0]["objects"]))


def _recall_chart(measure: str, split: str, rows: Rows, context: Context) -> RecallChart:
    """A line a method: AR over the bins, with its interval."""
    bins = _bins(rows)
    ticks = tuple(f"{bin_name(row)}\nn = {row['objects'] or '?'}" for row in bins)
    strong = standing_out(rows, context)
    keys = {method: key for key, method in enumerate(context.looks)}
    lines = [
        Curve(keys[method], method.label, context.looks[method], _points(method, of_method, context), method in strong)
        for method, of_method in rows.items()
    ]
    axes = Axes(AXES.get(measure, measure), "AR (percent)", ticks)
    name = f"recall {measure} {split}"
    drawing = line_chart(name, lines, axes, 680, 490, 200)
    narrow = line_chart(f"{name}, narrow", lines, axes, 340, 380, 110, "lines narrow")
    return RecallChart(split, drawing, narrow, any(line.points for line in lines))


def _points(method: Method, bins: list[TextRow], context: Context) -> tuple[Point, ...]:
    """The bins that have objects, each with the ends of AR's bar."""
    points = []
    for place, row in enumerate(bins):
        if not row["AR"]:
            continue
        ends = ends_of(context, method, row["split"], "AR", row)
        points.append(Point(place, float(row["AR"]), *(ends or (None, None))))
    return tuple(points)


def strong_on_val(context: Context) -> set[Method]:
    """The methods whose lines are strong in charts of val: those of recall by cover."""
    path = context.report_files.table("recall")
    rows = [row for row in context.once(recall_rows) if row["measure"] == "box_cover"]
    return standing_out({method: rows_of(rows, method, "val", path) for method in context.looks}, context)


def standing_out(rows: Rows, context: Context) -> set[Method]:
    """Of many methods those whose lines are strong: the baselines, and the best in the last bin."""
    if len(rows) <= FEW:
        return set(rows)
    measured = [method for method, bins in rows.items() if bins[-1]["AR"]]
    best = sorted(measured, key=lambda method: -float(rows[method][-1]["AR"]))[:1]
    return {*best, *compared_to(context.params)}


def _recall_grid(measure: str, split: str, rows: Rows, context: Context) -> Grid:
    """A group a bin, a row a method, with the intervals of those numbers that have one."""
    groups = tuple(
        Group(
            f"{measure}: {bin_name(first)}, {first['objects'] or '?'} objects",
            tuple(
                named(bins[place], cells(with_ends(context, method, split, bins[place], IN_BINS), IN_BINS))
                for method, bins in rows.items()
            ),
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
