"""The page's main table: COCO's numbers of each method on each split."""

from bcnet.report.page.grid import Grid, Group, Line, Row, cells
from bcnet.report.tables.comparison import ABOUT

COLUMNS = {*ABOUT, "seeds", "box_AP", "objects", "images", "iterations", "why", "source"}
HEADS = {"box_AP": "box AP", "images": "pictures"}


def section(rows: list[Row]) -> Grid:
    """The rows of comparison.csv by split and origin, so that no origin is mixed with another."""
    metrics = [key for key in (rows[0] if rows else ()) if key not in COLUMNS and not key.endswith("_std")]
    shown = [*metrics, "box_AP", "detector", "backbone", "seeds", "iterations", "images", "objects"]
    splits = list(dict.fromkeys(row["split"] for row in rows))
    groups: dict[tuple[str, str], list[Line]] = {}
    for row in sorted(rows, key=lambda row: splits.index(row["split"])):
        groups.setdefault((row["split"], row["origin"]), []).append(Line(row["label"], cells(row, shown)))
    heads = [HEADS.get(column, column) for column in shown]
    return Grid(
        "comparison of all methods",
        ("Method", *heads),
        tuple(Group(split, tuple(lines), origin) for (split, origin), lines in groups.items()),
        words=frozenset({"detector", "backbone"}),
    )
