"""What the report draws: one look a method, charts, and pictures as data URIs."""

import base64
import html
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import matplotlib.style
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from PIL import Image

# Okabe and Ito's colours for colour-blind readers, without the yellow that is lost on white and the black lost on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
# Of methods, whose lines share a chart: the first six, and five that differ most from these and from each other, also
# for readers with deuteranopia; each is seen on white and on dark.
METHOD_COLOURS = (*COLOURS[:6], "#9966ff", "#556622", "#cc1199", "#dd9988", "#775566")
MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"))  # matplotlib's name, the same in text
DASHES = ("-", "--", ":", "-.")
FONT, SIZE = "DejaVu Sans", 9  # of text; the size in units of a chart
ROOM = 181  # that a label may take beside a chart, in these units
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.sans-serif": [FONT, "Verdana"],  # for readers that have not the first; that is the one drawn with
    "font.size": SIZE,
    "grid.alpha": 0.15,
    "grid.color": "#000000",
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "text.parse_math": False,
}
BAND = 0.18  # opacity of a band
TEXT = re.compile(r'<text (?=style="font-size: ([\d.]+)px)([^>]*)>([^<]+)</text>')
INK = re.compile("(stroke|fill): #000000")
NOT_FOR_A_PAGE = re.compile(r'^.*?(?=<svg)|<style.*?</style>|(?<=<g) id="[^"]*"|(?<=<svg)[^>]*(?= viewBox)', re.DOTALL)


@dataclass(frozen=True)
class Look:
    """How a method is told from the others in every chart and legend."""

    colour: str
    marker: str  # matplotlib's name
    symbol: str  # the marker as a character


@dataclass(frozen=True)
class Curve:
    """One line of a chart: `x` and `y` of equal length (y NaN: no point), its method's look, and a style of DASHES.

    `spread`: half the height of the band around each point, of the same length, or empty: no band.
    """

    x: Sequence[float]
    y: Sequence[float]
    look: Look
    dash: str = "-"
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Dot:
    """A method as a point of a chart."""

    look: Look
    x: float
    y: float


@dataclass(frozen=True)
class Interval:
    """A point on a line, with the ends of its interval, and whose it is."""

    label: str
    look: Look
    value: float
    low: float
    high: float


def look(index: int) -> Look:
    """The look of the method number `index`, from 0; the first 55 differ from each other, the first 11 in colour."""
    return Look(METHOD_COLOURS[index % len(METHOD_COLOURS)], *MARKERS[index % len(MARKERS)])


def chart(
    name: str,
    lines: Sequence[Curve],
    x: str,
    y: str,
    size: tuple[float, float],
    ticks: Sequence[str] | None = None,
    top: float | None = None,
) -> Markup:
    """A line chart as inline SVG, in the text colour of the page around it; equal arguments give equal bytes.

    Args:
        name: unique on the page, so that no two charts share an id.
        lines: what is drawn, the first one lowest.
        x, y: names of the axes; the y axis starts at 0 and ends at `top`, or where the data ends.
        size: width and height, inches at 72 px; the page scales it.
        ticks: names of x = 0, 1, …; the lines then get markers. None: x is a number.
    """
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        for line in lines:
            if len(line.spread):
                middle, half = np.array(line.y, float), np.array(line.spread, float)
                axes.fill_between(line.x, middle - half, middle + half, color=line.look.colour, alpha=BAND, linewidth=0)
            axes.plot(line.x, line.y, line.dash, color=line.look.colour, marker=line.look.marker if ticks else "")
        axes.set_ylim(0, top)
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.3, len(ticks) - 0.7)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_xlim(0, None)
        return _svg(figure)


def dots(name: str, found: Sequence[Dot], x: str, y: str) -> Markup:
    """Methods as points, as inline SVG; both axes start near the data.

    Args:
        name: unique on the page.
        found: the points, the first one lowest.
        x, y: names of the axes.
    """
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        for dot in found:
            axes.plot(dot.x, dot.y, color=dot.look.colour, marker=dot.look.marker, markersize=8)
        axes.margins(0.12)
        return _svg(figure)


def intervals(name: str, bars: Sequence[Interval], x: str) -> Markup:
    """Points with their intervals on lines below each other, around a line at zero, as inline SVG.

    Args:
        name: unique on the page.
        bars: from top to bottom.
        x: name of the axis.
    """
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=(4.6, 0.75 + 0.26 * len(bars)), layout="constrained")
        axes = figure.add_subplot(xlabel=x)
        axes.axvline(0, color="#000000", linewidth=0.8)
        for place, bar in enumerate(bars):
            axes.plot([bar.low, bar.high], [place, place], color=bar.look.colour)
            axes.plot(bar.value, place, color=bar.look.colour, marker=bar.look.marker)
        axes.set_yticks(range(len(bars)), [cut(bar.label) for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        return _svg(figure)


def cut(label: str, room: float = ROOM, size: float = SIZE) -> str:
    """A label without what is too long for the room that it has, at a font size."""
    if text_width(label, size) <= room:
        return label
    while label and text_width(label + "…", size) > room:
        label = label[:-1]
    return label + "…"


def _svg(figure: Figure) -> Markup:
    file = io.StringIO()
    # The metadata would carry a date and an address.
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # that its font lacks: texts stay texts, a browser has other fonts
        _keep_inside(figure)
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    svg = INK.sub(r"\1: currentColor", NOT_FOR_A_PAGE.sub("", file.getvalue()))
    svg = TEXT.sub(_as_wide_as_here, svg)
    return Markup(svg.replace("<svg", '<svg aria-hidden="true"', 1))  # matplotlib escapes its texts


def _keep_inside(figure: Figure) -> None:
    """Move the name of the x axis to the left by what it would stand out to the right, being longer than the axis."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        name = axes.xaxis.label
        beyond = name.get_window_extent().x1 - figure.bbox.x1
        if beyond > 0:
            name.set_x(name.get_position()[0] - beyond / axes.bbox.width)


def _as_wide_as_here(text: re.Match[str]) -> str:
    """A text that takes the room that the drawing has for it, whatever font the reader has."""
    width = text_width(html.unescape(text[3]), float(text[1]))
    return f"<text {text[2]} {fitted(width)}>{text[3]}</text>"


def fitted(width: float) -> Markup:
    """The attributes of an SVG text that make it so wide."""
    return Markup(f'textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"')


@cache
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """How wide a text is in DejaVu Sans of a font size, in the size's unit; letters that it lacks are wide ones."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width


def thinned(values: np.ndarray, most: int) -> np.ndarray:
    """Means of equal blocks of rows, so that at most `most` rows are left; the last block may be shorter.

    Args:
        values: (N, …) float.

    Returns:
        (M, …) float, M <= most; `values` itself where N <= most.
    """
    block = -(-len(values) // most)
    starts = range(0, len(values), block)
    return np.stack([values[start : start + block].mean(axis=0) for start in starts]) if block > 1 else values


def data_uri(picture: np.ndarray, longest: int) -> str:
    """A picture as a JPEG data URI, made smaller where a side is over `longest` pixels.

    Args:
        picture: (H, W, 3) uint8 RGB.
    """
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
