"""The page's section about size: how many numbers a model has, against how accurate it is."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

from markupsafe import Markup
from safetensors import SafetensorError, safe_open

from bcnet.files import InputError
from bcnet.report.figures import Dot, Look, dots
from bcnet.report.grid import Cell, Grid, Group, Line, Row, rows_of
from bcnet.report.measured import is_there
from bcnet.report.methods import Method

SPLIT = "val"


def section(
    looks: Mapping[Method, Look], rows: Sequence[Row], metric: str, data: Path, path: Path, missing: list[str]
) -> tuple[Grid, Markup] | None:
    """The size of each method's model, and a chart of it against a metric on val; None where no model is there.

    Args:
        looks: of the run's methods.
        rows: of comparison.csv, which is `path`.
        metric: one of its columns.
        data: the folder of the run's dataset.
        missing: gets a line for each model that is missing.

    Raises:
        InputError: a model file is none.
    """
    lines, found = [], []
    for method, look in looks.items():
        file = data / "models" / method.name / method.runs[0] / "model.safetensors"
        if method.origin == "brought" or not is_there(file, _command(method), missing):
            continue
        millions = parameters(file) / 1e6
        accuracy = rows_of(rows, method, SPLIT, path)[0][metric]
        cells = Cell(f"{millions:.2f}"), Cell(f"{file.stat().st_size / 1e6:.1f}"), Cell(accuracy, why="not measured")
        lines.append(Line(method.label, cells))
        if accuracy:
            found.append(Dot(look, millions, float(accuracy)))
    if not lines:
        return None
    heads = "method", "parameters (millions)", "file (MB)", f"{metric} on {SPLIT}"
    chart = dots("size", found, "parameters (millions)", f"{metric} (percent)")
    return Grid("Size and accuracy", heads, (Group("size", tuple(lines)),)), chart


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


def _command(method: Method) -> str:
    if method.origin == "imported":
        return f"bcnet import-weights --name {method.name}"
    return f"bcnet train {method.name} --seed {method.runs[0]}"
