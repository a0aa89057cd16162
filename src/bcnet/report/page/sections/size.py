"""The page's section about speed and size: what a method costs, against how accurate it is."""

from collections.abc import Mapping, Sequence
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
from bcnet.layout import DatasetFiles
from bcnet.report.page.grid import Cell, Grid, Group, Line, Row, rows_of
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, predict_command

SPLIT = "val"
CLOCK, PROCESSOR = "milliseconds a picture", "milliseconds of processor a picture"
Dots = dict[Method, Dot]


@dataclass(frozen=True)
class Chart:
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
    charts: tuple[Chart, ...]


def section(
    looks: Mapping[Method, Look], rows: Sequence[Row], metric: str, data: Path, path: Path, missing: list[str]
) -> Costs | None:
    """Size and speed of each method's first model, and charts of a metric on val against them.

    Args:
        looks: of the run's methods.
        rows: of comparison.csv, which is `path`.
        metric: one of its columns.
        data: the folder of the run's dataset.
        missing: gets a line for each model and speed that is missing.

    Returns:
        None where neither a model nor a speed is there.

    Raises:
        InputError: a model file is none, or a speed file.
    """
    lines: dict[Method, Line] = {}
    sizes: Dots = {}
    times: dict[tuple[str, str], Dots] = {}  # of each device and what is measured on it
    for method, look in looks.items():
        if method.origin == "brought":
            continue
        run = DatasetFiles(data).run(method.name, method.runs[0])
        model, timed = run.model, layout.speed(run.predictions(SPLIT))
        file = model if is_there(model, run.model_command, missing) else None
        took = speed.read(timed, Speed) if is_there(timed, predict_command(method, data.name), missing) else None
        if file is None and took is None:
            continue
        accuracy = rows_of(rows, method, SPLIT, path)[0][metric]
        millions = parameters(file) / 1e6 if file else None
        cells = *_size(file, millions), *_speed(took), Cell(accuracy, why="not measured")
        lines[method] = Line(method.label, cells)
        if accuracy and millions is not None:
            sizes[method] = Dot(look, millions, float(accuracy))
        if accuracy and took:
            x, seconds = (PROCESSOR, took.median_processor_seconds) if took.on_cpu else (CLOCK, took.median_seconds)
            if seconds is not None:
                times.setdefault((took.device, x), {})[method] = Dot(look, 1000 * seconds, float(accuracy))
    if not lines:
        return None
    heads = "Method", "parameters (millions)", "file (MB)", CLOCK, PROCESSOR, "device", f"{metric} on {SPLIT}"
    grid = Grid(
        "speed, size and accuracy",
        heads,
        (Group("first model of each method", tuple(lines.values())),),
        words=frozenset({"device"}),
    )
    charts = [
        _chart(f"speed-{place}" if place else "speed", f"speed on {device}", found, x, metric)
        for place, ((device, x), found) in enumerate(times.items())
    ]
    if sizes:
        charts.append(_chart("size", "size", sizes, heads[1], metric))
    return Costs(tuple(lines), grid, tuple(charts))


def _chart(name: str, caption: str, found: Dots, x: str, metric: str) -> Chart:
    return Chart(name, caption, x, tuple(found), dots(name, list(found.values()), x, f"{metric} (percent)"))


def _size(file: Path | None, millions: float | None) -> tuple[Cell, Cell]:
    if file is None:
        return Cell("", why="the model is missing"), Cell("", why="the model is missing")
    return Cell(f"{millions:.2f}"), Cell(f"{file.stat().st_size / 1e6:.1f}")


def _speed(took: Speed | None) -> tuple[Cell, Cell, Cell]:
    if took is None:
        return (Cell("", why="the speed is missing"),) * 3
    device = Cell(took.device)
    if took.median_seconds is None or took.mean_seconds is None or took.median_processor_seconds is None:
        return *(Cell("", why="no picture was timed"),) * 2, device
    below = f"mean {1000 * took.mean_seconds:.1f}, {took.pictures} pictures"
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
            return sum(prod(each.get_shape()) for each in slices if each.get_dtype().startswith(("F", "BF")))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: not a safetensors file: {error}") from error
