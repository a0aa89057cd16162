"""The page's section about leak: how much of a mask is on the occluder, and against each baseline."""

from collections.abc import Mapping
from pathlib import Path

from bcnet.drawing.figures import Look
from bcnet.report.page.grid import Cell, Grid, Group, cells, named, read_table, rows_of, splits
from bcnet.report.page.sections.differences import COLUMNS, cell
from bcnet.report.page.sections.occlusion import WHOSE
from bcnet.report.tables.rows import Method


def section(tables: Path, looks: Mapping[Method, Look]) -> Grid | None:
    """The leak of each method on each split, with its difference to each baseline; None where nobody's is known.

    Args:
        tables: the folder of benchmark.csv and differences.csv.
        looks: of the run's methods, which all have rows.

    Raises:
        InputError: a table is missing, or of another run.
    """
    path = tables / "benchmark.csv"
    rows = read_table(path, {*WHOSE, "leak"})
    if not any(row["leak"] for row in rows):
        return None
    against = {
        (row["origin"], row["label"], row["split"], row["baseline_origin"], row["baseline"]): cell(row)
        for row in read_table(tables / "differences.csv", COLUMNS)
        if row["metric"] == "leak"
    }
    baselines = list(dict.fromkeys(key[3:] for key in against))
    groups = []
    for split in splits(rows):
        mine = [rows_of(rows, method, split, path)[0] for method in looks]
        lines = (
            named(
                row,
                (
                    *cells(row, ["leak"]),
                    *(
                        against.get(
                            (row["origin"], row["label"], split, *baseline), Cell("", why="the baseline itself")
                        )
                        for baseline in baselines
                    ),
                ),
            )
            for row in mine
        )
        groups.append(Group(split, tuple(lines)))
    return Grid("leak", ("Method", "leak", *(f"against {baseline}" for _, baseline in baselines)), tuple(groups))
