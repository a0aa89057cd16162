"""The page's charts as files: each with a title and its methods' legend, which on the page stand beside it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from bcnet.drawing.figures import Look, fitted, text_width
from bcnet.files import atomic_output
from bcnet.report.tables.rows import Method

MARGIN, TITLE, SMALL, SPACING = 12, 12, 9, 1.5  # pixels of the drawing, whose charts have letters of 9; lines' distance
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True)
class Figure:
    """A chart of the page: its file's name without ending, its title, the lines below that, and the methods in it."""

    name: str
    title: str
    chart: Markup
    methods: tuple[Method, ...]
    notes: tuple[str, ...] = ()


def render(environment: Environment, figure: Figure, looks: Mapping[Method, Look], dataset: str) -> str:
    """A figure as a file: SVG that is dark on white, and needs no other file.

    Args:
        environment: with the package's templates.
        figure: what is drawn.
        looks: of the run's methods.
        dataset: for the line below the title, with what a reader should know of it.
    """
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.chart)
    assert view, "figures._svg keeps the viewBox"
    width, height = float(view[1]), float(view[2])
    lines = (dataset, *figure.notes)
    small = (*lines, *(f"{looks[method].symbol} {method.label}" for method in figure.methods))
    longest = max(text_width(figure.title, TITLE, "bold"), *(text_width(line, SMALL) for line in small))
    text = environment.get_template("figures/figure.svg.j2").render(
        figure=figure,
        lines=lines,
        looks=looks,
        fitted=lambda text, size, weight="normal": fitted(text_width(text, size, weight)),
        chart_width=width,
        chart_height=height,
        width=2 * MARGIN + max(width, longest),
        margin=MARGIN,
        title=TITLE,
        small=SMALL,
        step=SPACING * SMALL,
    )
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the folder's SVG files; those of charts that are no longer there go.

    Args:
        folder: made where it is missing.
        files: their texts, by name without ending.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.stem not in files:
            path.unlink()
    for name, text in files.items():
        with atomic_output(folder / f"{name}.svg") as temporary:
            temporary.write_text(text, encoding="utf-8")
