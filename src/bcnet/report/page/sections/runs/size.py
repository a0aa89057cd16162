"""The page's section about speed and size: what a method costs, against how accurate it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from markupsafe import Markup
from safetensors import SafetensorError, safe_open

from bcnet import layout
from bcnet.drawing.figures import Dot, Look, dots
from bcnet.files import InputError
from bcnet.inference import speed
from bcnet.inference.speed import Speed
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context
from bcnet.report.page.grid import Cell, Grid, Group, Line, rows_of
from bcnet.report.page.sections.results.comparison import comparison_file, comparison_rows
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, predict_command

SPLIT = "val"
CLOCK, PROCESSOR = "milliseconds per image", "CPU milliseconds per image"
HEADS = "Method", "parameters (millions)", "file (MB)", CLOCK, PROCESSOR, "device"
Dots = dict[Method, Dot]


@dataclass(frozen=True)
class CostChart:
    """A chart of accuracy: its name, against what it is, what its x axis is, and whose points are in it."""

    name: str
    caption: str
    x: str
    methods: tuple[Method, ...]
    drawing: Markup


@dataclass(frozen=True)
class Costs:
    """The methods that have a model, the table, and the charts: of each device against time, and against size."""

    methods: tuple[Method, ...]
    grid: Grid
    charts: tuple[CostChart, ...]


@dataclass(frozen=True)
class Cost:
    """What a method's first model costs: its file, how many millions of numbers it holds, its speed; None: not there.

    `accuracy`: percent, as the main table says; empty where it was not measured.
    """

    look: Look
    file: Path | None
    millions: float | None
    speed: Speed | None
    accuracy: str

    @property
    def size(self) -> Dot | None:
        """Accuracy against millions of parameters."""
        if not self.accuracy or self.millions is None:
            return None
        return Dot(self.look, self.millions, float(self.accuracy))

    @property
    def time(self) -> tuple[tuple[str, str], Dot] | None:
        """Accuracy against milliseconds, with the device and what is measured on it."""
        if not self.accuracy or not self.speed:
            return None
        on_cpu = self.speed.on_cpu
        x, seconds = (PROCESSOR, self.speed.median_processor_seconds) if on_cpu else (CLOCK, self.speed.median_seconds)
        if seconds is None:
            return None
        return (self.speed.device, x), Dot(self.look, 1000 * seconds, float(self.accuracy))


def costs(context: Context) -> Costs | None:
    """Size and speed of each method's first model, and charts of the first metric on val against them.

    Returns:
        None where neither a model nor a speed is there.

    Raises:
        InputError: a model file is none, or a speed file.
    """
    metric = context.params.tables.metrics[0]
    by_method = {method: cost for method in context.looks if (cost := _cost(method, metric, context))}
    if not by_method:
        return None
    lines = tuple(
        Line(
            method.label,
            (*_size(cost.file, cost.millions), *_speed(cost.speed), Cell(cost.accuracy, why="not measured")),
        )
        for method, cost in by_method.items()
    )
    grid = Grid(
        "speed, size and accuracy",
        (*HEADS, f"{metric} on {SPLIT}"),
        (Group("first model of each method", lines),),
        words=frozenset({"device"}),
    )
    return Costs(tuple(by_method), grid, tuple(_charts(by_method, metric)))


def _cost(method: Method, metric: str, context: Context) -> Cost | None:
    """What a method costs; None for predictions made elsewhere, and where neither its model nor its speed is there."""
    if method.origin == "brought":
        return None
    run, missing = context.files.run(method.name, method.runs[0]), context.missing
    timed = layout.speed(run.predictions(SPLIT))
    file = run.model if is_there(run.model, run.model_command, missing) else None
    predict = predict_command(method, context.params.dataset)
    took = speed.read(timed, Speed) if is_there(timed, predict, missing) else None
    if file is None and took is None:
        return None
    rows = rows_of(context.once(comparison_rows), method, SPLIT, comparison_file(context))
    return Cost(context.looks[method], file, parameters(file) / 1e6 if file else None, took, rows[0][metric])


def _charts(by_method: Mapping[Method, Cost], metric: str) -> Iterator[CostChart]:
    """A chart of each device, and one of sizes."""
    times: dict[tuple[str, str], Dots] = {}
    for method, cost in by_method.items():
        if cost.time:
            measured_on, dot = cost.time
            times.setdefault(measured_on, {})[method] = dot
    for place, ((device, x), timed) in enumerate(times.items()):
        yield _chart(f"speed-{place}" if place else "speed", f"speed on {device}", timed, x, metric)
    if sizes := {method: cost.size for method, cost in by_method.items() if cost.size}:
        yield _chart("size", "size", sizes, HEADS[1], metric)


def _chart(name: str, caption: str, points: Dots, x: str, metric: str) -> CostChart:
    drawing = dots(name, list(points.values()), x, f"{metric} (percent)")
    return CostChart(name, caption, x, tuple(points), drawing)


def charts(content: Costs, context: Context) -> Iterator[Figure]:
    """The charts as files."""
    for chart in content.charts:
        yield Figure(chart.name, f"Accuracy on {SPLIT} against {chart.caption}", chart.drawing, chart.methods)


def _size(file: Path | None, millions: float | None) -> tuple[Cell, Cell]:
    if file is None:
        return Cell("", why="the model is missing"), Cell("", why="the model is missing")
    return Cell(f"{millions:.2f}"), Cell(f"{file.stat().st_size / 1e6:.1f}")


def _speed(took: Speed | None) -> tuple[Cell, Cell, Cell]:
    if took is None:
        return (Cell("", why="the speed is missing"),) * 3
    device = Cell(took.device)
    if took.median_seconds is None or took.mean_seconds is None or took.median_processor_seconds is None:
        return *(Cell("", why="no image was timed"),) * 2, device
    below = f"mean {1000 * took.mean_seconds:.1f}, {took.pictures} images"
    processor = Cell(f"{1000 * took.median_processor_seconds:.1f}")
    return Cell(f"{1000 * took.median_seconds:.1f}", below=(below,)), processor, device


def parameters(file: Path) -> int:
    """How many floating-point numbers a model file holds, statistics of norms included; its tensors are not read.

    Raises:
        InputError: it is no safetensors file.
    """
    try:
        with safe_open(file, "numpy") as tensors:
            slices = [tensors.get_slice(name) for name in tensors.keys()]  # noqa: SIM118 (it is no dict)
            return sum(prod(tensor.get_shape()) for tensor in slices if tensor.get_dtype().startswith(("F", "BF")))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: not a safetensors file: {error}") from error
