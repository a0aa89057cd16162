"""Line charts of many methods: what is drawn lies where the numbers say, and no name lies over another."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bcnet.drawing.figures import look
from bcnet.report.figures.line_chart import FONT, STEP, Axes, Curve, Point, line_chart

BINS = Axes("cover", "AR (percent)", ("0 to 0.1\nn = 3", "0.1 to 1\nn = 4"))


def lines(values: list[tuple[float, float]], strong: bool = True) -> list[Curve]:
    return [
        Curve(key, f"method {key}", look(key), (Point(0, first, first - 2, first + 1), Point(1, last)), strong)
        for key, (first, last) in enumerate(values)
    ]


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def groups(root: ElementTree.Element, name: bool) -> list[ElementTree.Element]:
    return [part for part in root.iter("g") if (part.get("class") == "name") == name]


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]


def test_points_and_intervals_lie_where_the_numbers_say():
    root = drawn(line_chart("a", lines([(40, 20), (60, 30)]), BINS, 600, 400, 100))
    scale = {
        float(t.text): float(t.get("y")) - 0.35 * FONT for t in root.findall("text") if re.fullmatch(r"\d+", t.text)
    }
    (low, bottom), (high, top) = min(scale.items()), max(scale.items())

    def y(value: float) -> float:
        return bottom + (value - low) / (high - low) * (top - bottom)

    for part, (first, last) in zip(groups(root, False), [(40, 20), (60, 30)], strict=True):
        line, bars, *marks = part.findall("path")
        x0, y0, x1, y1 = numbers(line.get("d"))
        assert (y0, y1) == pytest.approx((y(first), y(last)), abs=0.1)
        assert numbers(bars.get("d")) == pytest.approx([x0, y(first - 2), y(first + 1)], abs=0.1)
        assert [numbers(mark.get("transform")) for mark in marks] == [[x0, y0], [x1, y1]]


@pytest.mark.parametrize("count", [1, 5, 13, 25])
def test_no_name_lies_over_another_and_they_keep_the_order_of_the_lines(count):
    values = [(50 + k % 7, 20 + (k * 7 % 5) / 10) for k in range(count)]  # nearly equal ends
    root = drawn(line_chart("a", lines(values), BINS, 600, 200, 120))
    height = float(root.get("viewBox").split()[3])
    names = groups(root, True)
    places = [(float(name.find("text").get("y")), values[int(name.get("data-method"))][1]) for name in names]
    places.sort()
    assert len(places) == count
    assert all(below - above >= STEP - 0.2 for (above, _), (below, _) in pairwise(places))
    assert [end for _, end in places] == sorted((end for _, end in places), reverse=True)
    axis = max(float(text.get("y")) for text in root.findall("text") if re.fullmatch(r"\d+", text.text))
    assert places[0][0] > 0
    assert places[-1][0] <= axis < height  # none is below the axis


def test_names_are_text_and_within_the_drawing():
    long = [Curve(0, "<script>" + "W" * 80, look(0), (Point(0, 1), Point(1, 2)))]
    root = drawn(line_chart('a"b', long, BINS, 400, 300, 100))
    (name,) = groups(root, True)
    text = name.find("text")
    assert "".join(text.itertext()).startswith("● <script>")
    assert float(text.get("x")) + float(text.get("textLength")) <= 400


def test_a_long_name_is_broken_between_words_and_moves_its_neighbours():
    named = [
        Curve(0, "FCOS with the head of Mask R-CNN", look(0), (Point(0, 40), Point(1, 20))),
        Curve(1, "BCNet", look(1), (Point(0, 41), Point(1, 20.1))),
    ]
    root = drawn(line_chart("a", named, BINS, 340, 300, 100))
    rows = [["".join(text.itertext()) for text in name.findall("text")] for name in groups(root, True)]
    assert " ".join(rows[0]) == "● FCOS with the head of Mask R-CNN"
    assert len(rows[0]) > 1
    places = sorted(float(text.get("y")) for name in groups(root, True) for text in name.findall("text"))
    assert all(below - above >= STEP - 0.2 for above, below in pairwise(places))


def test_an_axis_of_percents_ends_at_100():
    flat = [Curve(0, "one", look(0), (Point(0, 100), Point(1, 100)))]
    for made in (lines([(98, 20), (97, 99)]), flat):
        root = drawn(line_chart("a", made, BINS, 600, 400, 100))
        ticks = [float(text.text) for text in root.findall("text") if re.fullmatch(r"[\d.]+", text.text)]
        assert len(ticks) > 1
        assert max(ticks) <= 100


def test_strong_lines_are_above_the_others():
    made = [*lines([(40, 20)]), *lines([(40, 20), (41, 21)], strong=False)[1:]]
    root = drawn(line_chart("a", made, BINS, 400, 300, 100))
    assert [part.get("data-method") for part in root.iter("g")] == ["1", "1", "0", "0"]
    assert [part.get("opacity") for part in groups(root, False)] == [".6", None]


def test_the_axis_has_the_range_of_the_data():
    root = drawn(line_chart("a", lines([(40, 20), (60, 30)]), BINS, 600, 400, 100))
    ticks = [float(text.text) for text in root.findall("text") if re.fullmatch(r"\d+", text.text)]
    assert min(ticks) <= 20
    assert 61 <= max(ticks) < 100


def test_a_chart_without_points_is_empty_and_one_of_numbers_has_no_markers():
    empty = drawn(line_chart("a", [Curve(0, "none", look(0), ())], BINS, 400, 300, 100))
    assert list(empty.iter("g")) == []
    curve = [Curve(0, "curve", look(0), tuple(Point(x, x * x) for x in range(10)))]
    root = drawn(line_chart("b", curve, Axes("recall", "precision"), 400, 300, 100))
    assert len(groups(root, False)[0].findall("path")) == 1


def test_equal_arguments_give_equal_bytes():
    assert line_chart("a", lines([(4, 2)]), BINS, 400, 300, 90) == line_chart("a", lines([(4, 2)]), BINS, 400, 300, 90)
