"""The page's section of curves: precision by recall, and precision, recall and F1 by the score that detections need."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bcnet import layout
from bcnet.evaluation.matching.detection_table import flag
from bcnet.evaluation.metrics.curves import SCORES, best, by_score, precision_by_recall
from bcnet.evaluation.statistics.average_precision import RECALLS
from bcnet.evaluation.statistics.resampling import run_of
from bcnet.report.figures.figure_files import Figure
from bcnet.report.figures.line_chart import Axes, Curve, Point, line_chart
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line
from bcnet.report.page.sections.analysis.occlusion import strong_on_val
from bcnet.report.tables.measured import is_there, read_table_of
from bcnet.report.tables.rows import Method, evaluate_command

THRESHOLDS = {0: "0.5", 5: "0.75"}  # of IoU: which of the ten, and its name
STEP = 2  # every second of the 101 places of a curve is drawn
HEADS = ("Method", "best score threshold", "precision", "recall", "F1")


@dataclass(frozen=True)
class Curves:
    """The charts, and the table of each method's best threshold."""

    charts: tuple[Figure, ...]
    grid: Grid


def curves(context: Context) -> Curves | None:
    """Curves of each method's first run on val whose masks were evaluated; None without any.

    Raises:
        InputError: a table beside metrics is none.
    """
    tables, scored = context.once(_all_tables), context.once(scores)
    if not tables:
        return None
    runs = {method: run_of(*table) for method, table in tables.items()}
    charts = [
        _chart(
            f"precision-recall-{name}",
            f"Precision by recall at an IoU of {name}",
            Axes("recall (percent)", "precision (percent)"),
            {method: (RECALLS, _until_zero(precision_by_recall(run, place))) for method, run in runs.items()},
            context,
        )
        for place, name in THRESHOLDS.items()
    ]
    for row, (number, name) in enumerate((("precision", "Precision"), ("recall", "Recall"), ("F1", "F1"))):
        charts.append(
            _chart(
                f"{number.lower()}-score",
                f"{name} of the detections of a score or more, IoU 0.5",
                Axes("score from which detections count (percent)", f"{number} (percent)"),
                {method: (SCORES, values[row]) for method, values in scored.items()},
                context,
            )
        )
    lines = tuple(_best(method, values) for method, values in scored.items())
    grid = Grid("best score thresholds", HEADS, (Group("first run of each method", lines),))
    return Curves(tuple(charts), grid)


def charts(content: Curves, context: Context) -> tuple[Figure, ...]:
    """The charts as files."""
    return content.charts


def scores(context: Context) -> dict[Method, np.ndarray]:
    """Precision, recall and F1 by score (`by_score`) of each method's first run on val whose masks were evaluated."""
    tables = context.once(_all_tables)
    return {method: by_score(detections, objects.num_rows) for method, (detections, objects) in tables.items()}


def _all_tables(context: Context) -> dict[Method, tuple[pa.Table, pa.Table]]:
    return {method: table for method in context.looks if (table := _tables(method, context))}


def _tables(method: Method, context: Context) -> tuple[pa.Table, pa.Table] | None:
    """The tables of detections and of objects of a method's first run on val; None where there is none, or of boxes."""
    metrics = context.metrics(method, method.runs[0], "val")
    command = evaluate_command(metrics, method, context.params.dataset)
    objects = context.objects(method, ["failure"])
    if objects is None or context.boxes(method):
        return None
    path = layout.detection_table(metrics)
    if not is_there(path, command, context.missing):
        return None
    flags = [
        flag("segm", name, area) for area in ("all", "small", "medium", "large") for name in ("matched", "ignored")
    ]
    detections = read_table_of(path, ["image_id", "category_id", "score", *flags], command)
    return detections, read_table_of(context.object_file(method), ["image_id", "category_id", "area"], command)


def _until_zero(precision: np.ndarray) -> np.ndarray:
    """Without the recalls that no category reaches."""
    return np.where(precision > 0, precision, np.nan)


def _chart(
    name: str, title: str, axes: Axes, by_method: dict[Method, tuple[np.ndarray, np.ndarray]], context: Context
) -> Figure:
    strong = strong_on_val(context)
    keys = {method: key for key, method in enumerate(context.looks)}
    lines = [
        Curve(keys[method], method.label, context.looks[method], _points(x, y), method in strong)
        for method, (x, y) in by_method.items()
    ]
    return Figure(name, title, line_chart(name, lines, axes, 440, 320, 140), ())


def _points(x: np.ndarray, y: np.ndarray) -> tuple[Point, ...]:
    drawn = list(zip(x, y, strict=True))[::STEP]
    return tuple(Point(100 * float(a), 100 * float(b)) for a, b in drawn if not np.isnan(b))


def _best(method: Method, values: np.ndarray) -> Line:
    """The line of a method at the threshold at which its F1 is highest."""
    place = best(values)
    numbers = (f"{100 * value:.2f}" if not np.isnan(value) else "" for value in values[:, place])
    cells = (Cell(number, why="no detection has such a score") for number in numbers)
    return Line(method.label, (Cell(f"{SCORES[place]:.2f}"), *cells))
