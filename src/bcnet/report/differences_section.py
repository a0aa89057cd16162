"""The page's section about differences: a table and charts for each baseline."""

from pathlib import Path
from typing import Any

from bcnet.files import InputError
from bcnet.report.figures import Interval, Look, intervals
from bcnet.report.methods import Method

COLUMNS = {"origin", "label", "baseline_origin", "baseline", "split", "metric", "cover_from", "cover_to"}
COLUMNS |= {"difference", "std", "low", "high", "p", "seeds", "draws", "why"}
Row = dict[str, str]


def section(rows: list[Row], looks: dict[Method, Look], path: Path) -> list[dict[str, Any]]:
    """For each baseline its name, its table's heads, each split's and method's cells, and charts of the first metric.

    Args:
        rows: of differences.csv.
        looks: of the methods.
        path: of differences.csv, for errors.

    Raises:
        InputError: the rows are those of other methods.
    """
    by_label = {(method.origin, method.label): look for method, look in looks.items()}
    there = {(row["origin"], row["label"]) for row in rows}
    there |= {(row["baseline_origin"], row["baseline"]) for row in rows}
    if strange := sorted(there ^ by_label.keys()) if rows or len(looks) > 1 else []:
        what = "no row" if strange[0] in by_label else "rows"
        raise InputError(f"{path}: {what} of {strange[0][1]!r}: `bcnet compare` makes those of this run")
    parts = []
    for baseline in dict.fromkeys((row["baseline_origin"], row["baseline"]) for row in rows):
        mine = [row for row in rows if (row["baseline_origin"], row["baseline"]) == baseline]
        groups: dict[str, dict[tuple[str, str], list[Row]]] = {}
        for row in mine:
            groups.setdefault(row["split"], {}).setdefault((row["origin"], row["label"]), []).append(row)
        first = mine[0]["metric"]
        charts = []
        for split, methods in groups.items():
            bars = [
                Interval(
                    label, by_label[origin, label], *(float(cells[0][key]) for key in ("difference", "low", "high"))
                )
                for (origin, label), cells in methods.items()
                if cells[0]["difference"]
            ]
            if bars:
                name = f"differences {split} {' '.join(baseline)}"
                charts.append((split, intervals(name, bars, f"{first} minus that of {baseline[1]} (points)")))
        heads = [_head(row) for row in next(iter(next(iter(groups.values())).values()))]
        parts.append(
            {"origin": baseline[0], "baseline": baseline[1], "heads": heads, "groups": groups, "charts": charts}
        )
    return parts


def _head(row: Row) -> str:
    return (
        f"{row['metric']}, box_cover {row['cover_from']} to {row['cover_to']}" if row["cover_from"] else row["metric"]
    )


def signed(number: str) -> str:
    """A number's text with its sign, zero without one."""
    text = number.removeprefix("-")
    sign = "" if not float(text) else "\N{MINUS SIGN}" if text != number else "+"
    return sign + text


def beyond_chance(row: Row) -> bool:
    """Whether the interval excludes zero, as it is shown."""
    return bool(row["difference"]) and (float(row["low"]) > 0 or float(row["high"]) < 0)
