"""The page's first section: who copes best with occlusion, by how much, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE_GAP
from bcnet.evaluation.statistics.samples import FEW
from bcnet.files import some
from bcnet.report.page.context import Context
from bcnet.report.page.grid import TextRow, origin_words, read_table, rows_of
from bcnet.report.page.interval_table import ends_of
from bcnet.report.page.sections.analysis.occlusion import WHOSE, RecallChart, recall_measures
from bcnet.report.page.sections.results.ablations import ablation_rows
from bcnet.report.page.sections.results.comparison import comparison_file, comparison_rows, not_learnt
from bcnet.report.page.sections.results.differences import beyond_chance, difference_rows, signed
from bcnet.report.tables.rows import Method, bcnets, compared_to

SPLIT = "val"
MEASURE, METRIC = "box_cover", "AR"  # whose last bin holds the most covered objects, and what is told of them
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
    """A metric of some objects, their names together shorter: who has most of it, of how many methods.

    `close`: the methods with no clear difference to that one, of those that were compared with it, with the
    difference, the best first; empty: none. `unknown`: the next best, if it was not compared with it; else empty.
    `few`: the objects are too few to say.
    """

    metric: str
    what: str
    short: str
    best: str
    value: str
    methods: int
    close: str
    unknown: str
    few: bool


@dataclass(frozen=True)
class Number:
    """What a method has of a finding: its value and 95 % interval, and how that differs from the baseline's."""

    value: str
    between: str
    change: StatedDifference | None


@dataclass(frozen=True)
class Answer:
    """A method in a sentence: its key on the page, and a number for each finding, None: not measured."""

    key: int
    method: Method
    numbers: tuple[Number | None, ...]
    boxes: bool  # its predictions have no masks
    learnt: bool


@dataclass(frozen=True)
class Summary:
    """The findings, the most telling last; the methods, those with most of that first; and their chart.

    `fall`: by how much the recall of the first method falls less than the baseline's from the first bin to the last, at
    equal size. `layer`: by pairs of heads that differ in `structure`, in the order of params.yaml, what that changes;
    None: no head is bilayer.
    """

    findings: tuple[Finding, ...]
    answers: tuple[Answer, ...]
    baseline: Method
    chart: RecallChart | None
    fall: StatedDifference | None
    layer: Mapping[tuple[str, str], list[tuple[Finding, StatedDifference]]] | None


def summary(context: Context) -> Summary | None:
    """What the tables say of val, of all objects and of the most covered ones; None where nothing is measured.

    Raises:
        InputError: a table is missing, or of another run.
    """
    differences = context.once(difference_rows)
    steps = [row for row in context.once(ablation_rows) if row["switch"] == LAYER]
    baseline = compared_to(context.params)[0]
    findings: list[Finding] = []
    by_method: list[dict[Method, Number]] = []
    layer: dict[tuple[str, str], list[tuple[Finding, StatedDifference]]] = {}
    for name, metric, measure in (("comparison", context.params.tables.metrics[0], ""), ("recall", METRIC, MEASURE)):
        rows = _measured_rows(context.tables / f"{name}.csv", metric, measure, context.looks)
        if not rows:
            continue
        first = next(iter(rows.values()))
        key = SPLIT, metric, measure, first.get("to", "")
        findings.append(_finding(metric, measure, rows, _of_key(differences, key), context))
        changes = _against(baseline, differences, key)
        by_method.append({method: _number(method, row, metric, changes, context) for method, row in rows.items()})
        for row in _of_key(steps, key):
            change = _stated(row)
            pair = f"{change.baseline} ({row['before']})", f"{change.label} ({row['after']})"
            layer.setdefault(pair, []).append((findings[-1], change))
    if not findings:
        return None
    answers = [
        Answer(
            key,
            method,
            tuple(numbers.get(method) for numbers in by_method),
            context.boxes(method),
            _has_learnt(method, context),
        )
        for key, method in enumerate(context.looks)
    ]
    answers.sort(key=_most_first)
    falls = _against(baseline, differences, (SPLIT, EQUAL_SIZE_GAP, MEASURE, ""))
    best = answers[0].method
    return Summary(
        tuple(findings),
        tuple(answers),
        baseline,
        _chart(context),
        falls.get((best.origin, best.label)) if answers[0].learnt else None,
        layer if bcnets(context.params) else None,
    )


def _has_learnt(method: Method, context: Context) -> bool:
    return not not_learnt(rows_of(context.once(comparison_rows), method, SPLIT, comparison_file(context))[-1])


def _against(
    baseline: Method, rows: Iterable[TextRow], key: tuple[str, ...]
) -> dict[tuple[str, str], StatedDifference]:
    """The known differences of one number to that method, by origin and label."""
    return {
        (row["origin"], row["label"]): _stated(row)
        for row in _of_key(rows, key)
        if (row["baseline_origin"], row["baseline"]) == (baseline.origin, baseline.label)
    }


def _most_first(answer: Answer) -> tuple[float, int]:
    last = answer.numbers[-1]
    return (-float(last.value.partition(" ")[0]) if last else 1.0, answer.key)


def _chart(context: Context) -> RecallChart | None:
    """Recall by cover on val; None where no method's is known."""
    charts = context.once(recall_measures)[MEASURE].charts
    return next((chart for chart in charts if chart.split == SPLIT and chart.drawn), None)


def _number(
    method: Method, row: TextRow, metric: str, changes: Mapping[tuple[str, str], StatedDifference], context: Context
) -> Number:
    return Number(row[metric], _between(method, row, metric, context), changes.get((method.origin, method.label)))


def _between(method: Method, row: TextRow, metric: str, context: Context) -> str:
    """The 95 % interval of a number, as text; empty where it has none."""
    ends = ends_of(context, method, SPLIT, metric, row if row.get("measure") else None)
    return f"{ends.low:.2f} to {ends.high:.2f}" if ends else ""


def _of_key(rows: Iterable[TextRow], key: tuple[str, ...]) -> list[TextRow]:
    """The differences of one number that are known."""
    return [row for row in rows if tuple(row[column] for column in KEY) == key and row["difference"]]


def _measured_rows(path: Path, metric: str, measure: str, looks: Iterable[Method]) -> dict[Method, TextRow]:
    """The rows on val of the methods that are measured; of a measure of occlusion those of its last bin."""
    table = read_table(path, {*WHOSE, "objects", metric, *(("measure", "from", "to") if measure else ())})
    table = [row for row in table if row.get("measure", "") == measure]
    rows = {method: rows_of(table, method, SPLIT, path)[-1] for method in looks}
    return {method: row for method, row in rows.items() if row[metric]}


def _finding(
    metric: str, measure: str, rows: Mapping[Method, TextRow], differences: Sequence[TextRow], context: Context
) -> Finding:
    ranked = sorted(rows.items(), key=lambda pair: -float(pair[1][metric]))
    method, best = ranked[0]
    learnt = [(other.origin, other.label) for other, _ in ranked if _has_learnt(other, context)]
    compared = _compared(method, differences)
    close = [whose for whose in learnt if whose in compared and not compared[whose][1]]
    objects, short = f"all {best['objects']} objects", metric
    if measure:
        objects = f"the {best['objects']} most covered objects ({measure} {best['from']} to {best['to']})"
        short = f"{metric} of the most covered"
    between = _between(method, best, metric, context)
    return Finding(
        metric,
        objects,
        short,
        _named(best["label"], best["origin"]),
        f"{best[metric]} % ({between})" if between else f"{best[metric]} %",
        len(rows),
        some(
            [f"{_named(label, origin)} ({signed(f'{compared[origin, label][0]:.2f}')})" for origin, label in close], 2
        ),
        "".join(_named(*whose[::-1]) for whose in learnt[1:2] if whose not in compared),
        int(best["objects"]) < FEW,
    )


def _compared(best: Method, differences: Iterable[TextRow]) -> dict[tuple[str, str], tuple[float, bool]]:
    """By how much one method is above others that it was compared with, and whether that is clear: by origin and label.

    Two baselines are compared either way, and each way has its own correction: one of them is enough.
    """
    compared: dict[tuple[str, str], tuple[float, bool]] = {}
    for row in differences:
        size, own, other = (
            float(row["difference"]),
            (row["origin"], row["label"]),
            (row["baseline_origin"], row["baseline"]),
        )
        if (best.origin, best.label) == other:
            size, own, other = -size, other, own
        if (best.origin, best.label) == own:
            compared[other] = size, beyond_chance(row) or compared.get(other, (0.0, False))[1]
    return compared


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
