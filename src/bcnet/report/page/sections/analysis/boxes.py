"""The page's section about predictions that are boxes: how they cope with occlusion, matched by box."""

from collections.abc import Iterator

from bcnet.evaluation.metrics.occlusion.occlusion_bins import FARES, PRECISION_MEASURE, PRECISIONS
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, origin_words, reasons, rows_of
from bcnet.report.page.interval_table import read_intervals
from bcnet.report.page.sections.analysis.occlusion import head
from bcnet.report.tables.rows import Method

BOX_AP = "box_AP"
IN_BINS = ("AR", *PRECISIONS)


def boxes(context: Context) -> Grid | None:
    """Box AP, recall and AP by occlusion, and failures of the methods whose predictions are boxes; None where none are.

    Raises:
        InputError: intervals.csv is missing, or of another run.
    """
    heads: list[str] = []
    groups = []
    for split in context.params.splits:
        of_boxes = [method for method in context.looks if context.boxes(method, split)]
        columns = {method: dict(_columns(method, split, context)) for method in of_boxes}
        lines = [
            Line(method.label, (Cell(origin_words(method.origin)), *own.values())) for method, own in columns.items()
        ]
        for own in columns.values():
            heads = list(own)
        if lines:
            groups.append(Group(split, tuple(lines)))
    if not groups:
        return None
    label = "predictions that are boxes"
    return Grid(label, ("Method", "Origin", *heads), tuple(groups), words=frozenset({"Origin"}))


def _columns(method: Method, split: str, context: Context) -> Iterator[tuple[str, Cell]]:
    """The cells of a method by their heads."""
    rows = rows_of(context.once(read_intervals), method, split, context.report_files.table("intervals"))
    plain = {row["metric"]: row for row in rows if not row["measure"]}
    yield "box AP", _cell(plain[BOX_AP])
    for row in rows:
        if row["metric"] in IN_BINS and row["measure"] == PRECISION_MEASURE:
            yield f"{row['metric']}, {row['measure']} {row['from']} to {row['to']}", _cell(row)
    for name in FARES:
        yield head(name), _cell(plain[name])


def _cell(row: TextRow) -> Cell:
    """A number with its interval and how many objects it is of."""
    if not row["value"]:
        return Cell("", why=reasons(row).get("value", "not stated"))
    return Cell(row["value"], count=row["objects"], below=(f"{row['low']} to {row['high']}",), few=row["few"] == "yes")
