"""The page's first section: who copes best with occlusion, by how much, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bcnet.drawing.figures import Look
from bcnet.params import Params
from bcnet.report.page.grid import Row, read_table, rows_of
from bcnet.report.page.sections.differences import COLUMNS, beyond_chance, signed
from bcnet.report.page.sections.occlusion import WHOSE
from bcnet.report.tables.ablation_steps import SWITCH
from bcnet.report.tables.rows import Method, bcnets

SPLIT = "val"
MEASURE, METRIC = "box_cover", "AR"  # whose last bin holds the most occluded objects, and what is told of them
KEY = "split", "metric", "measure", "to"  # what a difference is of
LAYER = "structure"  # the switch that gives a head its occluder layer


@dataclass(frozen=True)
class Difference:
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
    against: Mapping[str, tuple[Difference, ...]]


@dataclass(frozen=True)
class Summary:
    """The findings, and by pairs of heads that differ in `structure` what that changes in them; None: none is bilayer.

    A pair is in the order of params.yaml, each with its structure.
    """

    findings: tuple[Finding, ...]
    layer: Mapping[tuple[str, str], list[tuple[Finding, Difference]]] | None


def section(params: Params, tables: Path, looks: Mapping[Method, Look]) -> Summary | None:
    """What the tables say of val, of all objects and of the most occluded ones; None where nothing is measured.

    Args:
        params: the run.
        tables: the folder of comparison.csv, recall.csv, differences.csv and ablations.csv.
        looks: of the run's methods, which all have rows.

    Raises:
        InputError: a table is missing, or of another run.
    """
    differences = read_table(tables / "differences.csv", COLUMNS)
    steps = [row for row in read_table(tables / "ablations.csv", {*COLUMNS, *SWITCH}) if row["switch"] == LAYER]
    findings = []
    layer: dict[tuple[str, str], list[tuple[Finding, Difference]]] = {}
    for name, metric, measure in (("comparison", params.tables.metrics[0], ""), ("recall", METRIC, MEASURE)):
        rows = _rows(tables / f"{name}.csv", metric, measure, looks)
        if not rows:
            continue
        key = SPLIT, metric, measure, rows[0].get("to", "")
        mine, changes = (
            [row for row in table if tuple(row[k] for k in KEY) == key and row["difference"]]
            for table in (differences, steps)
        )
        findings.append(_finding(metric, measure, rows, map(_difference, mine)))
        for row in changes:
            change = _difference(row)
            pair = f"{change.baseline} ({row['before']})", f"{change.label} ({row['after']})"
            layer.setdefault(pair, []).append((findings[-1], change))
    return Summary(tuple(findings), layer if bcnets(params) else None) if findings else None


def _rows(path: Path, metric: str, measure: str, looks: Iterable[Method]) -> list[Row]:
    """The rows on val of the methods that are measured; of a measure of occlusion those of its last bin."""
    table = read_table(path, {*WHOSE, "objects", metric, *(("measure", "from", "to") if measure else ())})
    table = [row for row in table if row.get("measure", "") == measure]
    rows = [rows_of(table, method, SPLIT, path)[-1] for method in looks]
    return [row for row in rows if row[metric]]


def _finding(metric: str, measure: str, rows: Sequence[Row], differences: Iterable[Difference]) -> Finding:
    best = max(rows, key=lambda row: float(row[metric]))
    objects, short = f"all {best['objects']} objects", metric
    if measure:
        objects = f"the {best['objects']} most occluded objects ({measure} {best['from']} to {best['to']})"
        short = f"{metric} of the most occluded"
    spread = best.get(f"{metric}_std")
    against: dict[str, list[Difference]] = {}
    for each in sorted(differences, key=lambda each: -abs(each.size)):
        against.setdefault(each.baseline, []).append(each)
    return Finding(
        f"{metric} of {objects}",
        short,
        _named(best["label"], best["origin"]),
        f"{best[metric]} ± {spread}" if spread else best[metric],
        len(rows),
        {name: tuple(mine) for name, mine in against.items()},
    )


def _difference(row: Row) -> Difference:
    size = float(row["difference"])
    return Difference(
        _named(row["label"], row["origin"]),
        _named(row["baseline"], row["baseline_origin"]),
        f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])})",
        size,
        (1 if size > 0 else -1) if beyond_chance(row) else 0,
    )


def _named(label: str, origin: str) -> str:
    return label if origin == "measured here" else f"{label} ({origin})"
