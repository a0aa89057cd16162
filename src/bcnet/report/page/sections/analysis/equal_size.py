"""The page's section about recall under occlusion at equal size: the gap, and how much is kept."""

from dataclasses import dataclass

from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE_GAP, GAP, KEPT
from bcnet.evaluation.statistics.summary import sentence
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, TextRow, named, reasons, rows_of, splits
from bcnet.report.page.interval_table import read_intervals
from bcnet.report.page.sections.results.comparison import comparison_rows, not_learnt

SPLIT, MEASURE = "val", "box_cover"
SHOWN = {GAP: "AR gap", EQUAL_SIZE_GAP: "AR gap, equal size", KEPT: "AR kept, equal size"}


@dataclass(frozen=True)
class EqualSize:
    """A sentence for each method that is measured on val, after its name; and the numbers of all splits."""

    sentences: tuple[tuple[str, str], ...]
    grid: Grid


def equal_size(context: Context) -> EqualSize | None:
    """What is left of each method's recall where others cover an object most; None where nothing is known of it.

    Raises:
        InputError: intervals.csv is missing, or of another run.
    """
    rows = [row for row in context.once(read_intervals) if row["measure"] == MEASURE]
    if not any(row["value"] for row in rows if row["metric"] in SHOWN):
        return None
    path = context.report_files.table("intervals")
    groups = []
    for split in splits(rows):
        lines = []
        for method in context.looks:
            own = {row["metric"]: row for row in rows_of(rows, method, split, path)}
            lines.append(named(own[GAP], tuple(_cell(own[name]) for name in SHOWN)))
        groups.append(Group(split, tuple(lines)))
    grid = Grid("recall under occlusion at equal size", ("Method", *SHOWN.values()), tuple(groups))
    return EqualSize(tuple(_sentences(context, rows)), grid)


def _cell(row: TextRow) -> Cell:
    if not row["value"]:
        return Cell("", why=reasons(row)["value"])
    below = (f"{row['low']} to {row['high']}", f"n {row['objects']}")
    return Cell(row["value"], f"± {row['std']}" if row["std"] else "", below=below, few=row["few"] == "yes")


def _sentences(context: Context, rows: list[TextRow]) -> list[tuple[str, str]]:
    path = context.report_files.table("intervals")
    cover = max(float(row["from"]) for row in rows if row["from"])
    learnt = {
        (row["origin"], row["label"]): not not_learnt(row)
        for row in context.once(comparison_rows)
        if row["split"] == SPLIT
    }
    sentences = []
    for method in context.looks:
        kept = next(row for row in rows_of(rows, method, SPLIT, path) if row["metric"] == KEPT)
        if kept["value"] and kept["few"] == "no" and learnt[method.origin, method.label]:
            share, low, high = (float(kept[key]) for key in ("value", "low", "high"))
            sentences.append((method.label, sentence(share, low, high, 100 * cover)))
    return sentences
