"""The page's section about published numbers: a table for each published one, ours beside every number."""

from collections import Counter
from dataclasses import dataclass

from bcnet.report.published import COLUMNS as WRITTEN

COLUMNS = set(WRITTEN)
Row = dict[str, str]


@dataclass(frozen=True)
class PublishedTable:
    """A published table: its metrics, how many of its numbers got which verdict, and by row and method its cells.

    `lines`: of each published row and each method that is to reproduce it, its rows of published.csv by metric.
    """

    name: str
    metrics: list[str]
    verdicts: Counter[str]
    lines: list[dict[str, Row]]


def section(rows: list[Row]) -> list[PublishedTable]:
    """The tables in the order of `rows`, those of published.csv."""
    tables = []
    for name in dict.fromkeys(row["table"] for row in rows):
        mine = [row for row in rows if row["table"] == name]
        lines: dict[tuple[str, ...], dict[str, Row]] = {}
        for row in mine:
            key = tuple(row[column] for column in ("detector", "backbone", "method", "origin", "label"))
            lines.setdefault(key, {})[row["metric"]] = row
        verdicts = Counter(row["verdict"] or "no published number" for row in mine)
        metrics = list(dict.fromkeys(row["metric"] for row in mine))
        tables.append(PublishedTable(name, metrics, verdicts, list(lines.values())))
    return tables
