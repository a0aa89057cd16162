"""Line charts of many methods: points with intervals, and each line's name beside its end instead of a legend.

They are SVG of plain attributes, so that they are the same as files; the page's style and script only make a line stand
out. Lengths are in units of the drawing, which the page scales.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from bcnet.drawing.figures import Look, cut, fitted, text_width

FONT = 11  # of all text
STEP = 1.15 * FONT  # between lines of text
GAP, LEADER = 6, 16  # around text; from the data's right edge to the lines' names
ROWS = 3  # of a name that is too long for one
NO_BREAK = "\u00a0"  # a space between a name and its symbol
BOLD = 1.15  # bold letters are at most so much wider
DODGE, BESIDE = 0.4, 0.06  # of the distance of two ticks: the points of one tick lie within the one, apart by the other
LARGEST = 100.0  # of percent
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
class Curve:
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
    name: str, lines: Sequence[Curve], axes: Axes, width: float, height: float, room: float, look: str = "lines"
) -> Markup:
    """A line chart as inline SVG, in the text colour of the page around it; equal arguments give equal bytes.

    The y axis has the range of the data, and ends at 100 if that does. Markers are drawn where x has names, and there
    the points of one tick lie beside each other, so that their intervals are told apart. No text lies over another or
    out of the drawing: long names break into lines, and the drawing is higher where names need more room.

    Args:
        name: unique on the page.
        lines: the first one lowest, strong ones above all others; one without points is left out.
        axes: their names.
        width, height: of the drawing, the height at least.
        room: for the lines' names, to the right of the data, at most.
        look: the page's style of it.
    """
    lines = [line for line in lines if line.points]
    names = [_broken(f"{line.look.symbol}{NO_BREAK}{line.label}", room / BOLD) for line in lines]
    room = max((BOLD * text_width(row, FONT) for rows in names for row in rows), default=0)
    y_ticks, top_value = _y_ticks(lines)
    margin = 2 * GAP + max(text_width(_number(tick), FONT) for tick in y_ticks)
    right = width - room - LEADER - 2 if lines else width - GAP
    x_ticks, (x0, x1) = _x_ticks(lines, axes)
    x_names = [_broken(name, (right - margin) / (x1 - x0) - GAP) if axes.ticks else [name] for _, name in x_ticks]
    axis = _broken(axes.x, width - 2 * GAP)
    below = (len(axis) + max(map(len, x_names), default=1)) * STEP + 2 * GAP
    heights = [len(rows) * STEP for rows in names]
    top = STEP + 2 * GAP
    height = max(height, top + sum(heights) + below)
    frame = _Frame(margin, top, right, height - below, x0, x1, y_ticks[0], top_value)
    parts = [*_grid(frame, [tick for tick, _ in x_ticks], x_names, y_ticks, axis, axes.y, width)]
    parts += _curves(lines, names, heights, frame, bool(axes.ticks))
    view = f'viewBox="0 0 {width:g} {height:g}"'
    about = f'class="{look}" data-name="{escape(name)}" {view} font-size="{FONT}"'
    return Markup(f'<svg aria-hidden="true" {about}>{"".join(parts)}</svg>')


def _y_ticks(lines: Sequence[Curve]) -> tuple[list[float], float]:
    """Round numbers around the data, at least two, and where the axis ends."""
    low, high = _extent(lines)
    percents = high <= LARGEST
    if low == high:  # a range needs two ends
        low, high = (low - 1, high) if percents and high + 1 > LARGEST else (low, low + 1)
    wanted = MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3).tick_values(max(0.0, low - 1e-9), high)
    ticks = [float(tick) for tick in wanted if tick >= 0]
    if percents and ticks[-1] > LARGEST:
        return [tick for tick in ticks if tick <= LARGEST], LARGEST
    return ticks, ticks[-1]


def _extent(lines: Sequence[Curve]) -> tuple[float, float]:
    """The lowest and the highest value of points and intervals; 0 and 1 where there is none."""
    values = [value for line in lines for point in line.points for value in (point.y, point.low, point.high)]
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _broken(text: str, room: float) -> list[str]:
    """The lines of a text, broken between words where it is wider than the room; at most ROWS, the last one cut."""
    rows: list[str] = []
    for word in (word for row in text.split("\n") for word in ("\n", *row.split(" "))):
        if word == "\n":
            rows.append("")
        elif not rows[-1]:
            rows[-1] = word
        elif text_width(f"{rows[-1]} {word}", FONT) <= room:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    most = max(ROWS, text.count("\n") + 1)
    if len(rows) > most:
        rows = [*rows[: most - 1], " ".join(rows[most - 1 :])]
    return [cut(row, room, FONT) for row in rows]


def _x_ticks(lines: Sequence[Curve], axes: Axes) -> tuple[list[tuple[float, str]], tuple[float, float]]:
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


def _apart(wanted: Sequence[float], heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Middles of names near the wanted ones, none over another, all within top and bottom, which have the room.

    Neighbours that are too near share what is wanted of them: the mean of their places stays.
    """
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    below = [0.0, *accumulate(heights[index] for index in order)]  # the heights of those above each
    blocks: list[tuple[float, int]] = []  # of neighbours that touch: the first one's upper edge, how many they are
    for index, above in zip(order, below, strict=False):
        edge, count = wanted[index] - heights[index] / 2 - above, 1
        while blocks and blocks[-1][0] > edge:
            other, more = blocks.pop()
            edge, count = (other * more + edge * count) / (more + count), more + count
        blocks.append((edge, count))
    edges = [min(max(edge, top), bottom - below[-1]) for edge, count in blocks for _ in range(count)]
    result = [0.0] * len(wanted)
    for index, edge, above in zip(order, edges, below, strict=False):
        result[index] = edge + above + heights[index] / 2
    return result


def _grid(
    frame: _Frame,
    x_ticks: Sequence[float],
    x_names: Sequence[Sequence[str]],
    y_ticks: Sequence[float],
    axis: Sequence[str],
    y_axis: str,
    width: float,
) -> Iterator[str]:
    """Lines and names of the ticks, and those of both axes, `axis` that of x."""
    for tick in y_ticks:
        y = frame.y(tick)
        yield f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
        yield _text(_number(tick), frame.left - GAP, y + 0.35 * FONT, "end")
    for tick, rows in zip(x_ticks, x_names, strict=True):
        for row, text in enumerate(rows):
            yield _text(text, frame.x(tick), frame.bottom + STEP * (row + 1) + 2, "middle")
    yield f'<path d="M{frame.left:.1f} {frame.bottom:.1f}H{frame.right:.1f}" stroke="currentColor"/>'
    first = max(map(len, x_names), default=1) + 1
    half = max(text_width(row, FONT) for row in axis) / 2 + GAP
    centre = min(max((frame.left + frame.right) / 2, half), width - half)
    for row, text in enumerate(axis):
        yield _text(text, centre, frame.bottom + STEP * (first + row) + GAP, "middle")
    yield _text(y_axis, GAP, FONT, "start")


def _curves(
    lines: Sequence[Curve], names: Sequence[Sequence[str]], heights: Sequence[float], frame: _Frame, marked: bool
) -> list[str]:
    """The lines with their names, strong ones above all others.

    Args:
        names: of each line, in rows, which have those `heights`.
        marked: x has names: points have markers, and those of one tick lie beside each other.
    """
    shift = _shifts([line.points[-1].y for line in lines]) if marked else [0.0] * len(lines)
    ends = [(line.points[-1].x + by, line.points[-1].y) for line, by in zip(lines, shift, strict=True)]
    places = _apart([frame.y(y) for _, y in ends], heights, frame.top, frame.bottom)
    drawn = [
        (line.strong, _line(line, by, frame, marked) + _label(line, rows, end, place, frame))
        for line, rows, by, end, place in zip(lines, names, shift, ends, places, strict=True)
    ]
    return [curve for strong in (False, True) for is_strong, curve in drawn if is_strong == strong]


def _line(line: Curve, shift: float, frame: _Frame, marked: bool) -> str:
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


def _label(line: Curve, rows: Sequence[str], end: tuple[float, float], place: float, frame: _Frame) -> str:
    """The line's name, in rows around its place, with a thin line from its end to it."""
    x, y, at = frame.x(end[0]), frame.y(end[1]), frame.right + LEADER
    leader = f'<path d="M{x + 5:.1f} {y:.1f}L{at - 2:.1f} {place:.1f}" stroke="{line.look.colour}" stroke-width=".6"/>'
    weight = "bold" if line.strong else "normal"
    texts = []
    for row, text in enumerate(rows):
        long = min(text_width(text, FONT, weight), BOLD * text_width(text, FONT))
        base = place + STEP * (row - (len(rows) - 1) / 2) + 0.35 * FONT
        about = f'x="{at:.1f}" y="{base:.1f}" fill="currentColor" font-weight="{weight}" {fitted(long)}'
        mark, _, rest = text.partition(NO_BREAK) if row == 0 else ("", "", text)
        symbol = f'<tspan fill="{line.look.colour}">{mark}</tspan> ' if mark else ""
        texts.append(f"<text {about}>{symbol}{escape(rest)}</text>")
    return f'<g class="name" data-method="{line.key}">{leader}{"".join(texts)}</g>'


def _text(text: str, x: float, y: float, anchor: str) -> str:
    """A text as wide as it was measured, whatever font the reader has."""
    if not text:
        return ""
    long = fitted(text_width(text, FONT))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {long}>{escape(text)}</text>'
