"""intervals.csv as the page reads it: how sure each method's numbers are."""

from collections.abc import Iterable
from typing import NamedTuple

from bcnet.report.page.context import Context
from bcnet.report.page.grid import TextRow, read_table
from bcnet.report.tables.intervals import COLUMNS, PERCENT
from bcnet.report.tables.rows import Method

KEY = ("metric", "measure", "from", "to", "occluder")


class Ends(NamedTuple):
    """The ends of a 95 % interval, percent."""

    low: float
    high: float


def read_intervals(context: Context) -> list[TextRow]:
    """The rows of intervals.csv.

    Raises:
        InputError: the table is missing, lacks a column, or a number in it is none.
    """
    return read_table(context.report_files.table("intervals"), {"origin", "label", "split", *COLUMNS}, PERCENT)


def interval_ends(context: Context) -> dict[tuple[str, ...], Ends]:
    """95 % intervals of all numbers that have one, over images and seeds, by `ends_key`."""
    return {
        (row["origin"], row["label"], row["split"], *(row[column] for column in KEY)): Ends(
            float(row["low"]), float(row["high"])
        )
        for row in context.once(read_intervals)
        if row["low"] and row["high"]
    }


def ends_of(context: Context, method: Method, split: str, metric: str, bin_row: TextRow | None = None) -> Ends | None:
    """The interval of a number; None where it has none.

    Args:
        metric: its name in intervals.csv.
        bin_row: a row of recall.csv, if the number is of its bin.
    """
    of_bin = [(bin_row or {}).get(column, "") for column in KEY[1:]]
    return context.once(interval_ends).get((method.origin, method.label, split, metric, *of_bin))


def with_ends(context: Context, method: Method, split: str, row: TextRow, metrics: Iterable[str]) -> TextRow:
    """A row of benchmark.csv or recall.csv with the ends of the intervals of those of these numbers that have one.

    Args:
        metrics: columns of the row, called as in intervals.csv; in a row of recall.csv they are of its bin.
    """
    ends = {metric: ends_of(context, method, split, metric, row if "measure" in row else None) for metric in metrics}
    return row | {
        f"{metric}_{end}": f"{value:.2f}"
        for metric, own in ends.items()
        if own
        for end, value in zip(own._fields, own, strict=True)
    }
