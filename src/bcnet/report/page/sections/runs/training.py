"""The page's section about training: AP on val during it, and the losses' charts."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
import pandas as pd
from markupsafe import Markup

from bcnet.drawing.figures import DASHES, Curve, chart, thinned
from bcnet.files import InputError, shown
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context
from bcnet.report.page.grid import read_table
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method

POINTS = 200  # of a curve
SUM_SIZE, PART_SIZE = (5.0, 2.7), (3.2, 2.1)  # inches, of the chart of the losses' sum and of those of its parts


class Log(NamedTuple):
    """A training log as curves: a column a loss, beside `iteration`; and the dash of its seed."""

    method: Method
    dash: str
    curves: pd.DataFrame


class Loss(NamedTuple):
    """A loss: its name, the methods that have it, and its chart over iterations."""

    name: str
    methods: tuple[Method, ...]
    drawing: Markup


class Validated(NamedTuple):
    """AP on a part of val during the trainings: its chart, of which methods, and of how many images."""

    methods: tuple[Method, ...]
    drawing: Markup
    images: str


@dataclass(frozen=True)
class TrainingLosses:
    """The losses, their sum first; longer logs than `points` lines are thinned to so many.

    `validated`: None where no training measured AP on val.
    """

    losses: list[Loss]
    validated: Validated | None = None
    points: int = POINTS


def loss_charts(context: Context) -> TrainingLosses:
    """The losses of the training logs that are there.

    Raises:
        InputError: a log or a curve is none.
    """
    logs = list(_logs(context))
    names = dict.fromkeys([*(["loss"] if logs else []), *(str(name) for log in logs for name in log.curves)])
    losses = [_loss(name, logs, context) for name in names if name not in ("iteration", "lr")]
    return TrainingLosses(losses, _validated(context))


def _logs(context: Context) -> Iterator[Log]:
    """The logs of the run's variants and seeds."""
    for method in context.looks:
        for index, seed in enumerate(method.runs) if method.origin == "measured here" else ():
            run = context.files.run(method.name, seed)
            if is_there(run.training_log, run.model_command, context.missing):
                yield Log(method, DASHES[index % len(DASHES)], _curves(run.training_log))


def _validated(context: Context) -> Validated | None:
    """The curves of AP on val; of trainings without one there is no line."""
    curves, having, images = [], [], set()
    for method in context.looks:
        for index, seed in enumerate(method.runs) if method.origin == "measured here" else ():
            path = context.files.run(method.name, seed).validation_curve
            rows = read_table(path, {"iteration", "AP", "images"}, ("iteration", "AP")) if path.exists() else []
            if not rows:
                continue
            x, y = ([float(row[column] or "nan") for row in rows] for column in ("iteration", "AP"))
            curves.append(Curve(x, y, context.looks[method], DASHES[index % len(DASHES)]))
            having.append(method)
            images |= {row["images"] for row in rows}
    if not curves:
        return None
    drawing = chart("validation", curves, "iteration", "AP (percent)", SUM_SIZE)
    return Validated(tuple(dict.fromkeys(having)), drawing, " or ".join(sorted(images)))


def _loss(name: str, logs: Iterable[Log], context: Context) -> Loss:
    having = [log for log in logs if name in log.curves]
    curves = [
        Curve(log.curves["iteration"].tolist(), log.curves[name].tolist(), context.looks[log.method], log.dash)
        for log in having
    ]
    size = SUM_SIZE if name == "loss" else PART_SIZE
    drawing = chart(f"training {name}", curves, "iteration", "loss", size)
    return Loss(name, tuple(dict.fromkeys(log.method for log in having)), drawing)


def charts(training: TrainingLosses, context: Context) -> Iterator[Figure]:
    """The charts as files."""
    dashes = ("seeds differ in dashes, the first is solid",) if len(context.params.seeds) > 1 else ()
    if training.validated:
        title = f"AP on {training.validated.images} images of val during training"
        yield Figure("validation", title, training.validated.drawing, training.validated.methods, dashes)
    for place, loss in enumerate(training.losses):
        name, title = (f"training-{loss.name}", loss.name) if place else ("training", "sum of the losses")
        yield Figure(name, f"Training: {title}", loss.drawing, loss.methods, dashes)


def _curves(path: Path) -> pd.DataFrame:
    """A training log, a row a line, long ones thinned."""
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append({key: float(value) for key, value in orjson.loads(line).items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: expected a JSON object of numbers: {error}") from error
    table = pd.DataFrame(rows)
    if strange := [name for name in map(str, table) if not re.fullmatch(r"\w{1,100}", name, re.ASCII)]:
        raise InputError(f"{path}: {shown(strange[0])}: expected names of losses of letters, digits and _")
    if missing := {"iteration", "loss"} - set(table):
        raise InputError(f"{path}: no {min(missing)!r} in its lines")
    return pd.DataFrame(thinned(table.to_numpy(), POINTS), columns=table.columns)
