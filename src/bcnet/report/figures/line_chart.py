"""Line charts of many methods: points with intervals, and each line's name beside its end instead of a legend.

They are SVG of plain attributes, so that they are the same as files; the page's style and script only make a line stand
out. Lengths are in units of the drawing, which the page scales.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from bcnet.drawing.figures import Look, cut, fitted, text_width

FONT = 11  # of all text
STEP = 1.15 * FONT  # between lines of text
GAP, LEADER = 6, 16  # around text; from a line's end to its name
DODGE, BESIDE = 0.4, 0.06  # of the distance of two ticks: the points of one tick lie within the one, apart by the other
SHAPES = {  # of matplotlib's markers, around 0 0
    "o": "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1-4 0Z",
    "s": "M-3.6-3.6H3.6V3.6H-3.6Z",
    "^": "M0-4.6L4.4 3.4H-4.4Z",
    "D": "M0-4.8L4.8 0L0 4.8L-4.8 0Z",
    "v": "M0 4.6L4.4-3.4H-4.4Z",
}


@dataclass(frozen=True)
class Point:
    """A point of a line, and the ends of its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A method's line: `key` tells it from the others on the page, `strong` ones stand out of the rest."""

    key: int
    label: str
    look: Look
    points: tuple[Point, ...]
    strong: bool = True


@dataclass(frozen=True)
class Axes:
    """The names of both axes; `ticks`: names of x = 0, 1, …, lines of text each. Without them x is a number."""

    x: str
    y: str
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Frame:
    """The rectangle of the data: its edges in the drawing, and the values there."""

    left: float
    top: float
    right: float
    bottom: float
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)


def line_chart(
    name: str, lines: Sequence[Line], axes: Axes, width: float, height: float, room: float, look: str = "lines"
) -> Markup:
    """A line chart as inline SVG, in the text colour of the page around it; equal arguments give equal bytes.

    The y axis has the range of the data. Markers are drawn where x has names, and there the points of one tick lie
    beside each other, so that their intervals are told apart.

    Args:
        name: unique on the page.
        lines: the first one lowest, strong ones above all others; one without points is left out.
        axes: their names.
        width, height: of the drawing.
        room: for the lines' names, to the right of the data.
        look: the page's style of it.
    """
    lines = [line for line in lines if line.points]
    y_ticks = _y_ticks(lines)
    below = (1 + max((name.count("\n") + 1 for name in axes.ticks), default=1)) * STEP + 2 * GAP
    margin = 2 * GAP + max(text_width(_number(tick), FONT) for tick in y_ticks)
    x_ticks, (x0, x1) = _x_ticks(lines, axes)
    right = width - room - LEADER if lines else width - GAP
    frame = _Frame(margin, STEP + GAP, right, height - below, x0, x1, y_ticks[0], y_ticks[-1])
    parts = [*_grid(frame, x_ticks, y_ticks, axes)]
    shift = _shifts([line.points[-1].y for line in lines]) if axes.ticks else [0.0] * len(lines)
    ends = []
    for line, by in zip(lines, shift, strict=True):
        ends.append((line.points[-1].x + by, line.points[-1].y))
    places = _apart([frame.y(y) for _, y in ends], frame.top, frame.bottom + 0.5 * below)
    drawn = [
        (line.strong, _line(line, by, frame, bool(axes.ticks)), _label(line, end, place, frame, room))
        for line, by, end, place in zip(lines, shift, ends, places, strict=True)
    ]
    for strong in (False, True):
        parts += [curve + name for is_strong, curve, name in drawn if is_strong == strong]
    view = f'viewBox="0 0 {width:g} {height:g}"'
    about = f'class="{look}" data-name="{escape(name)}" {view} font-size="{FONT}"'
    return Markup(f'<svg aria-hidden="true" {about}>{"".join(parts)}</svg>')


def _y_ticks(lines: Sequence[Line]) -> list[float]:
    """Round numbers around the data, at least two."""
    values = [value for line in lines for point in line.points for value in (point.y, point.low, point.high)]
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    ticks = MaxNLocator(6, min_n_ticks=3).tick_values(max(0.0, low - 1e-9), high if high > low else low + 1)
    return [float(tick) for tick in ticks if tick >= 0]


def _x_ticks(lines: Sequence[Line], axes: Axes) -> tuple[list[tuple[float, str]], tuple[float, float]]:
    """The ticks of x with their names, and the ends of the axis."""
    if axes.ticks:
        return list(enumerate(axes.ticks)), (-0.35, len(axes.ticks) - 1 + 0.25)
    values = [point.x for line in lines for point in line.points] or [0.0, 1.0]
    low, high = min(values), max(values)
    ticks = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    return [(tick, _number(tick)) for tick in ticks], (low, high if high > low else low + 1)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _shifts(ends: Sequence[float]) -> list[float]:
    """How far the points of each line lie beside their tick, by the lines' last values, the highest to the right."""
    order = sorted(range(len(ends)), key=lambda index: (ends[index], -index))
    places = {index: place / max(1, len(ends) - 1) - 0.5 for place, index in enumerate(order)}
    wide = min(DODGE, BESIDE * (len(ends) - 1))
    return [wide * places[index] for index in range(len(ends))]


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Places for names near the wanted ones, none over another, within top and bottom where there is room.

    Neighbours that are too near share what is wanted of them: the mean of their places stays.
    """
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    step = min(STEP, (bottom - top) / max(1, len(wanted) - 1))
    blocks: list[list[float]] = []  # [first place, how many]
    for index in order:
        blocks.append([wanted[index], 1])
        while len(blocks) > 1 and blocks[-2][0] + step * blocks[-2][1] > blocks[-1][0]:
            (first, count), (other, more) = blocks[-2], blocks.pop()
            blocks[-1] = [(first * count + (other - step * count) * more) / (count + more), count + more]
    places = [first + step * place for first, count in blocks for place in range(int(count))]
    for index in range(len(places)):  # from the top, then from the bottom
        places[index] = max(places[index], places[index - 1] + step if index else top)
    for index in reversed(range(len(places))):
        places[index] = min(places[index], places[index + 1] - step if index + 1 < len(places) else bottom)
    result = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        result[index] = place
    return result


def _grid(frame: _Frame, x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[float], axes: Axes) -> Iterator[str]:
    for tick in y_ticks:
        y = frame.y(tick)
        yield f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
        yield _text(_number(tick), frame.left - GAP, y + 0.35 * FONT, "end")
    for tick, name in x_ticks:
        for row, text in enumerate(name.split("\n")):
            yield _text(text, frame.x(tick), frame.bottom + STEP * (row + 1) + 2, "middle")
    yield f'<path d="M{frame.left:.1f} {frame.bottom:.1f}H{frame.right:.1f}" stroke="currentColor"/>'
    name = cut(axes.x, frame.right - GAP, FONT)
    rows = max((name.count("\n") + 1 for _, name in x_ticks), default=1)
    centre = max((frame.left + frame.right) / 2, text_width(name, FONT) / 2 + GAP)
    yield _text(name, centre, frame.bottom + STEP * (rows + 1) + GAP, "middle")
    yield _text(axes.y, GAP, FONT, "start")


def _line(line: Line, shift: float, frame: _Frame, marked: bool) -> str:
    """The line with its points and intervals."""
    colour, wide = line.look.colour, 2.4 if line.strong else 1.1
    at = [(frame.x(point.x + shift), frame.y(point.y)) for point in line.points]
    curve = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
    style = f'stroke="{colour}" fill="none" stroke-linejoin="round"'
    parts = [f'<path d="{curve}" {style} stroke-width="{wide}"/>']
    bars = [
        f"M{x:.1f} {frame.y(point.low):.1f}V{frame.y(point.high):.1f}"
        for point, (x, _) in zip(line.points, at, strict=True)
        if point.low is not None and point.high is not None
    ]
    if bars:
        parts.append(f'<path class="bars" d="{"".join(bars)}" {style} stroke-width="{wide}"/>')
    if marked:
        shape = SHAPES[line.look.marker]
        parts += [f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>' for x, y in at]
    faint = "" if line.strong else ' opacity=".6"'
    return f'<g data-method="{line.key}"{faint}><title>{escape(line.label)}</title>{"".join(parts)}</g>'


def _label(line: Line, end: tuple[float, float], place: float, frame: _Frame, room: float) -> str:
    """The line's name, with a thin line from its end to it."""
    x, y, at = frame.x(end[0]), frame.y(end[1]), frame.right + LEADER
    leader = f'<path d="M{x + 5:.1f} {y:.1f}L{at - 2:.1f} {place:.1f}" stroke="{line.look.colour}" stroke-width=".6"/>'
    mark = f'<tspan fill="{line.look.colour}">{line.look.symbol}</tspan> '
    weight = "bold" if line.strong else "normal"
    label = cut(
        line.label, 0.85 * room - GAP - text_width(f"{line.look.symbol} ", FONT), FONT
    )  # bold letters are wider
    long = text_width(f"{line.look.symbol} {label}", FONT, weight)
    text = (
        f'<text x="{at:.1f}" y="{place + 0.35 * FONT:.1f}" fill="currentColor" font-weight="{weight}" {fitted(long)}>'
    )
    return f'<g class="name" data-method="{line.key}">{leader}{text}{mark}{escape(label)}</text></g>'


def _text(text: str, x: float, y: float, anchor: str) -> str:
    """A text as wide as it was measured, whatever font the reader has."""
    if not text:
        return ""
    long = fitted(text_width(text, FONT))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {long}>{escape(text)}</text>'
