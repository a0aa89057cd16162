"""The sheet that `bcnet show` makes of a picture: its final masks, and below them a row of squares for each object."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke
from PIL import Image

from bcnet.drawing.figures import STYLE
from bcnet.drawing.outlines import outline, rings
from bcnet.drawing.roi_maps import COLOUR_MAP, SIDE, DrawnDetection, squares

DPI = 144
WIDTH, MARGIN, GAP = 1320, 32, 16  # pixels, as all lengths here
OVERVIEW = 760, 560  # the largest width and height of the picture
LINE, SMALL, KEY = 28, 24, 20  # between lines of text, of the caption; and lines in a column of the key
ROW = LINE + SIDE + LINE  # a label, the squares, and space
BAR = 150, 12  # the colour bar
INK, SOFT = "#1c1e21", "#5c6269"


def sheet(
    title: str, caption: Sequence[str], picture: np.ndarray, objects: Sequence[DrawnDetection]
) -> dict[str, bytes]:
    """Draw a picture's detections.

    Args:
        title: of the sheet; any text.
        caption: the lines below it.
        picture: (H, W, 3) uint8, RGB.
        objects: the detections to draw, at most 40; they are numbered from 1.

    Returns:
        The files by ending, `png` and `svg`; equal arguments give equal bytes, and the SVG's texts are text.
    """
    scale = min(OVERVIEW[0] / picture.shape[1], OVERVIEW[1] / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    head = 60 + SMALL * len(caption)
    top = head + max(size[1], KEY * LINE if len(objects) > KEY else len(objects) * LINE) + MARGIN
    height = top + (LINE + ROW * len(objects) if objects else 0)
    with matplotlib.style.context(["default", {**STYLE, "axes.grid": False, "svg.hashsalt": "show"}]):
        figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
        _text(figure, MARGIN, 44, _short(title, 90), size=12, weight="bold")
        for index, line in enumerate(caption):
            _text(figure, MARGIN, 72 + SMALL * index, _short(line, 150), size=8, color=SOFT)
        _overview(_axes(figure, MARGIN, head, *size), picture, objects)
        _key(figure, MARGIN + size[0] + 24, head, objects)
        if objects:
            _rows(figure, top, picture, objects)
        return {ending: _saved(figure, ending) for ending in ("png", "svg")}


def _overview(axes: Axes, picture: np.ndarray, objects: Sequence[DrawnDetection]) -> None:
    """The picture with its final masks, boxes and numbers, the best object on top."""
    height, width = picture.shape[:2]
    size = round(axes.bbox.width), round(axes.bbox.height)
    shown = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    axes.imshow(np.asarray(shown), interpolation="none", aspect="auto", extent=(0, width, height, 0))
    for number, detection in reversed(list(enumerate(objects, start=1))):
        left, up, right, down = map(float, detection.box)
        axes.add_patch(Rectangle((left, up), right - left, down - up, fill=False, lw=0.9, ls=":", ec=detection.colour))
        if drawn := rings(detection.mask):
            shape = Outline.make_compound_path(*(Outline(ring, closed=True) for ring in drawn))
            halo = withStroke(linewidth=2.2, foreground="white")  # for a mask of nearly its object's own colour
            axes.add_patch(PathPatch(shape, fc=(detection.colour, 0.35), lw=0))
            axes.add_patch(PathPatch(shape, fill=False, ec=detection.colour, lw=1.1, path_effects=[halo]))
        at, dark = outline(detection.mask), withStroke(linewidth=2, foreground=INK)
        number_look: dict[str, Any] = {"size": 8, "weight": "bold", "color": "white", "ha": "center", "va": "center"}
        axes.text(at.x, at.y, str(number), zorder=3, path_effects=[dark], **number_look)


def _key(figure: Figure, left: float, top: float, objects: Sequence[DrawnDetection]) -> None:
    """Number, category and score of each object, in one or two columns beside the picture."""
    columns = -(-len(objects) // KEY)
    for index, detection in enumerate(objects):
        x, y = left + (WIDTH - MARGIN - left) / columns * (index // KEY), top + LINE * (index % KEY + 0.6)
        letters = int((WIDTH - MARGIN - left) / columns / 12)
        _label(figure, x, y, index + 1, replace(detection, label=_short(detection.label, letters)))


def _rows(figure: Figure, top: float, picture: np.ndarray, objects: Sequence[DrawnDetection]) -> None:
    """For each object its squares, with their names above the first row, and the colour bar at the sheet's head."""
    for row, detection in enumerate(objects):
        y = top + LINE + row * ROW
        _label(figure, MARGIN, y + 20, row + 1, replace(detection, label=_short(detection.label, 90)))
        for column, (name, square) in enumerate(squares(picture, detection).items()):
            x = MARGIN + column * (SIDE + GAP)
            _axes(figure, x, y + LINE, SIDE, SIDE).imshow(square, interpolation="none", aspect="auto")
            if row == 0:
                _text(figure, x, top + 16, name, size=9, weight="bold")
    x, y = WIDTH - MARGIN - BAR[0] - 14, 62
    _axes(figure, x, y, *BAR).imshow([np.arange(256)], cmap=COLOUR_MAP, interpolation="none", aspect="auto")
    _text(figure, x - 8, 72, "probability 0", size=8, color=SOFT, ha="right")
    _text(figure, x + BAR[0] + 6, 72, "1", size=8, color=SOFT)


def _label(figure: Figure, x: float, y: float, number: int, detection: DrawnDetection) -> None:
    _text(figure, x, y, str(number), size=9, weight="bold", color=detection.colour)
    _text(figure, x + 14 + 12 * len(str(number)), y, detection.label, size=9)


def _short(text: str, letters: int) -> str:
    """A label cut in its middle, so that its score stays."""
    return text if len(text) <= letters else f"{text[: letters - 8]}… {text[-5:]}"


def _axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes without ticks in a rectangle of pixels, counted from the upper left."""
    w, h = figure.bbox.size
    axes = figure.add_axes((x / w, 1 - (y + height) / h, width / w, height / h))
    axes.set_axis_off()
    return axes


def _text(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Text whose baseline starts at a pixel, counted from the upper left."""
    w, h = figure.bbox.size
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    figure.text(x / w, 1 - y / h, printable, **{"color": INK, **look})


def _saved(figure: Figure, ending: str) -> bytes:
    """The figure's file without a date or the program's version."""
    file = io.BytesIO()
    nothing = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None, "Format": None, "Type": None}}
    figure.savefig(file, format=ending, dpi=DPI, metadata=nothing[ending])
    return file.getvalue()
