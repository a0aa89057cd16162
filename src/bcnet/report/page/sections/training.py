"""The page's section about training: the losses' charts."""

import re
from collections.abc import Mapping
from pathlib import Path

import orjson
import pandas as pd
from markupsafe import Markup

from bcnet.drawing.figures import DASHES, Line, Look, chart, thinned
from bcnet.files import InputError, shown
from bcnet.layout import DatasetFiles
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method

POINTS = 200  # of a curve


def section(looks: Mapping[Method, Look], data: Path, missing: list[str]) -> list[tuple[str, list[Method], Markup]]:
    """For each loss, their sum first: its name, the methods that have it, and its chart over iterations.

    Args:
        looks: of the run's methods.
        data: the folder of the run's dataset.
        missing: gets a line for each log that is missing.

    Raises:
        InputError: a log is none.
    """
    curves = [
        (method, DASHES[index % len(DASHES)], _curve(run.training_log))
        for method in looks
        if method.origin == "measured here"
        for index, seed in enumerate(method.runs)
        for run in [DatasetFiles(data).run(method.name, seed)]
        if is_there(run.training_log, run.model_command, missing)
    ]
    names = dict.fromkeys([*(["loss"] if curves else []), *(str(name) for *_, curve in curves for name in curve)])
    charts = []
    for name in (name for name in names if name not in ("iteration", "lr")):
        having = [each for each in curves if name in each[2]]
        lines = [
            Line(curve["iteration"].tolist(), curve[name].tolist(), looks[method], dash)
            for method, dash, curve in having
        ]
        size = (5.0, 2.7) if name == "loss" else (3.2, 2.1)
        drawing = chart(f"training {name}", lines, "iteration", "loss", size)
        charts.append((name, list(dict.fromkeys(method for method, *_ in having)), drawing))
    return charts


def _curve(path: Path) -> pd.DataFrame:
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
