"""The page's section about leak: how much of a mask is on the occluder, and against each baseline."""

from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, TextRow, cells, named, read_table, rows_of, splits
from bcnet.report.page.sections.differences import difference_cell, difference_rows
from bcnet.report.page.sections.occlusion import WHOSE

OF_BASELINE = Cell("", why="the baseline itself")


def leak_grid(context: Context) -> Grid | None:
    """The leak of each method on each split, with its difference to each baseline; None where nobody's is known.

    Raises:
        InputError: a table is missing, or of another run.
    """
    path = context.report_files.table("benchmark")
    rows = read_table(path, {*WHOSE, "leak"})
    if not any(row["leak"] for row in rows):
        return None
    against = {
        (row["origin"], row["label"], row["split"], row["baseline_origin"], row["baseline"]): difference_cell(row)
        for row in context.once(difference_rows)
        if row["metric"] == "leak"
    }
    baselines = list(dict.fromkeys(key[3:] for key in against))

    def line(row: TextRow) -> Line:
        whose = row["origin"], row["label"], row["split"]
        differences = (against.get((*whose, *baseline), OF_BASELINE) for baseline in baselines)
        return named(row, (*cells(row, ["leak"]), *differences))

    groups = tuple(
        Group(split, tuple(line(rows_of(rows, method, split, path)[0]) for method in context.looks))
        for split in splits(rows)
    )
    return Grid("leak", ("Method", "leak", *(f"difference to {baseline}" for _, baseline in baselines)), groups)
