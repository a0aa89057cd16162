"""The page's first section: who copes best with occlusion, by how much, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bcnet.report.page.context import Context
from bcnet.report.page.grid import TextRow, origin_words, read_table, rows_of
from bcnet.report.page.sections.ablations import ablation_rows
from bcnet.report.page.sections.differences import beyond_chance, difference_rows, signed
from bcnet.report.page.sections.occlusion import WHOSE
from bcnet.report.tables.rows import Method, bcnets

SPLIT = "val"
MEASURE, METRIC = "box_cover", "AR"  # whose last bin holds the most occluded objects, and what is told of them
KEY = "split", "metric", "measure", "to"  # what a difference is of
LAYER = "structure"  # the switch that gives a head its occluder layer


@dataclass(frozen=True)
class StatedDifference:
    """Between whom and whom; with its interval as text, and its side of zero: 1, -1, or 0 where the interval has it."""

    label: str
    baseline: str
    text: str
    size: float
    side: int


@dataclass(frozen=True)
class Finding:
    """A number of some objects, its name shorter: who has most of it, of how many methods; differences by baseline."""

    what: str
    short: str
    best: str
    value: str
    methods: int
    against: Mapping[str, tuple[StatedDifference, ...]]


@dataclass(frozen=True)
class Summary:
    """The findings, and by pairs of heads that differ in `structure` what that changes in them; None: none is bilayer.

    A pair is in the order of params.yaml, each with its structure.
    """

    findings: tuple[Finding, ...]
    layer: Mapping[tuple[str, str], list[tuple[Finding, StatedDifference]]] | None


def summary(context: Context) -> Summary | None:
    """What the tables say of val, of all objects and of the most occluded ones; None where nothing is measured.

    Raises:
        InputError: a table is missing, or of another run.
    """
    differences = context.once(difference_rows)
    steps = [row for row in context.once(ablation_rows) if row["switch"] == LAYER]
    findings = []
    layer: dict[tuple[str, str], list[tuple[Finding, StatedDifference]]] = {}
    for name, metric, measure in (("comparison", context.params.tables.metrics[0], ""), ("recall", METRIC, MEASURE)):
        rows = _measured_rows(context.tables / f"{name}.csv", metric, measure, context.looks)
        if not rows:
            continue
        key = SPLIT, metric, measure, rows[0].get("to", "")
        finding = _finding(metric, measure, rows, map(_stated, _of_key(differences, key)))
        findings.append(finding)
        for row in _of_key(steps, key):
            change = _stated(row)
            pair = f"{change.baseline} ({row['before']})", f"{change.label} ({row['after']})"
            layer.setdefault(pair, []).append((finding, change))
    return Summary(tuple(findings), layer if bcnets(context.params) else None) if findings else None


def _of_key(rows: Iterable[TextRow], key: tuple[str, ...]) -> list[TextRow]:
    """The differences of one number that are known."""
    return [row for row in rows if tuple(row[column] for column in KEY) == key and row["difference"]]


def _measured_rows(path: Path, metric: str, measure: str, looks: Iterable[Method]) -> list[TextRow]:
    """The rows on val of the methods that are measured; of a measure of occlusion those of its last bin."""
    table = read_table(path, {*WHOSE, "objects", metric, *(("measure", "from", "to") if measure else ())})
    table = [row for row in table if row.get("measure", "") == measure]
    rows = [rows_of(table, method, SPLIT, path)[-1] for method in looks]
    return [row for row in rows if row[metric]]


def _finding(metric: str, measure: str, rows: Sequence[TextRow], differences: Iterable[StatedDifference]) -> Finding:
    best = max(rows, key=lambda row: float(row[metric]))
    objects, short = f"all {best['objects']} objects", metric
    if measure:
        objects = f"the {best['objects']} most occluded objects ({measure} {best['from']} to {best['to']})"
        short = f"{metric} of the most occluded"
    spread = best.get(f"{metric}_std")
    against: dict[str, list[StatedDifference]] = {}
    for change in sorted(differences, key=lambda change: -abs(change.size)):
        against.setdefault(change.baseline, []).append(change)
    return Finding(
        f"{metric} of {objects}",
        short,
        _named(best["label"], best["origin"]),
        f"{best[metric]} ± {spread}" if spread else best[metric],
        len(rows),
        {baseline: tuple(changes) for baseline, changes in against.items()},
    )


def _stated(row: TextRow) -> StatedDifference:
    size = float(row["difference"])
    return StatedDifference(
        _named(row["label"], row["origin"]),
        _named(row["baseline"], row["baseline_origin"]),
        f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])})",
        size,
        (1 if size > 0 else -1) if beyond_chance(row) else 0,
    )


def _named(label: str, origin: str) -> str:
    return label if origin == "measured here" else f"{label} ({origin_words(origin)})"
