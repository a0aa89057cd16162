"""Figures and pictures of the report: charts, and the rule that chooses what is shown."""

import re

import numpy as np
import pytest
from report_factory import SIZE, disc

from bcnet.data.masks.segmentation import encode
from bcnet.drawing import figures
from bcnet.drawing.outlines import Outline
from bcnet.report.figures import pictures


def test_methods_look_different_from_each_other():
    assert len({figures.look(index) for index in range(55)}) == 55
    assert len({figures.look(index).colour for index in range(11)}) == 11


def test_an_interval_is_drawn_from_low_to_high_in_its_own_colour():
    bars = [
        figures.Interval("one", figures.look(0), 2, 1, 3),
        figures.Interval("<other>", figures.look(1), -1, -5, 0),
    ]
    svg = figures.intervals("name", bars, "points")
    assert svg.index(">one<") < svg.index(">&lt;other&gt;<")
    ends = []
    for bar in bars:
        drawn = re.findall(r'd="M (\S+) (\S+) \s*L (\S+) (\S+)\s*"[^>]*stroke: ' + bar.look.colour, svg)
        (left, top, right, bottom), *_ = [tuple(map(float, each)) for each in drawn]
        assert top == bottom
        ends.append((left, right))
    (one_low, one_high), (other_low, other_high) = ends
    unit = (one_high - one_low) / 2
    assert other_high - other_low == pytest.approx(5 * unit, rel=1e-4)
    assert one_low - other_high == pytest.approx(unit, rel=1e-4)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        *(("a" * 32, "a" * 32), ("a" * 33, "a" * 31 + "…"), ("", "")),
        *(("W" * 20, "W" * 20), ("W" * 21, "W" * 19 + "…"), ("i" * 70, "i" * 70)),
        *(("中" * 17, "中" * 17), ("中" * 18, "中" * 16 + "…")),  # a font that has them makes them narrower
    ],
)
@pytest.mark.filterwarnings("error:.*collapsed")
def test_a_long_label_leaves_the_chart_room(label, shown):
    svg = figures.intervals("name", [figures.Interval(label, figures.look(0), 2, 1, 3)], "points")
    assert re.findall(r">([aWi中…]+)<", svg.replace("points", "")) == ([shown] if shown else [])


def test_texts_of_a_chart_are_within_it_in_any_font():
    """Each takes the room that the drawing has for it; the name of the axis is moved where the axis is short."""
    bars = [figures.Interval("W" * 99, figures.look(0), 2, 1, 3), figures.Interval("a & b", figures.look(1), 2, 1, 3)]
    svg = figures.intervals("name", bars, "AP minus that of the baseline that has a long name (points)")
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    texts = re.findall(
        r'text-anchor: (\w+)" x="([\d.-]+)"[^>]* textLength="([\d.]+)" lengthAdjust="spacingAndGlyphs"', svg
    )
    assert len(texts) == svg.count("<text") >= 5
    for anchor, x, long in texts:
        right = float(x) + float(long) * {"start": 1, "middle": 0.5, "end": 0}[anchor]
        assert right - float(long) >= -1
        assert right <= width + 1
    long = re.search(r'textLength="([\d.]+)"[^>]*>a &amp; b<', svg)[1]
    assert float(long) == pytest.approx(figures.text_width("a & b", 9), abs=0.05)


def test_thinned_rows_are_means_of_equal_blocks():
    values = np.arange(20.0).reshape(10, 2)
    assert figures.thinned(values, 10) is values
    assert figures.thinned(values, 4).tolist() == [[2, 3], [8, 9], [14, 15], [18, 19]]


def test_the_pictures_shown_are_those_of_the_rule():
    """Three objects or more first, then the mean overlap, then the id; crowds and empty pictures do not count."""
    overlaps = {1: [0.9, 0.9], 2: [0.2, 0.2, 0.5], 3: [0.3, 0.3, 0.3], 4: [], 5: [0.8, 0.1, 0.0]}
    annotations = [
        {"image_id": image, "iscrowd": 0, "occlusion": {"max_box_iou": value}}
        for image, values in overlaps.items()
        for value in values
    ]
    annotations.append({"image_id": 5, "iscrowd": 1, "occlusion": {"max_box_iou": 1.0}})
    images = [{"id": image} for image in reversed(overlaps)]
    shown = pictures.most_occluded(images, annotations, 8)
    assert [(image["id"], round(mean, 6)) for image, mean in shown] == [(2, 0.3), (3, 0.3), (5, 0.3), (1, 0.9)]
    assert pictures.most_occluded(images, annotations, 2) == shown[:2]


def test_an_unmatched_prediction_and_a_crowd_are_marked():
    """The largest mask is drawn first, none of a low score; an object keeps its colour from panel to panel."""
    ground = [
        {"id": 7, "category_id": 1, "segmentation": encode(disc(30, 30, 6)), "iscrowd": 0},
        {"id": 5, "category_id": 1, "segmentation": encode(disc(34, 34, 12)), "iscrowd": 0},
        {"id": 6, "category_id": 1, "segmentation": encode(disc(70, 70, 12)), "iscrowd": 1},
    ]
    predictions = [
        {"category_id": 1, "score": 0.4, "segmentation": encode(disc(34, 34, 12))},
        {"category_id": 1, "score": 0.9, "segmentation": encode(disc(31, 30, 6))},
        {"category_id": 1, "score": 0.6, "segmentation": encode(disc(70, 70, 12))},
    ]
    names, size = {1: "disc"}, (SIZE, SIZE)
    truth = pictures.truth_panel(ground, names, size)
    labels = [("disc (crowd)", False), ("disc", True), ("disc", True)]
    assert [(shape.label, shape.matched) for shape in truth.shapes] == labels
    assert [shape.outline.radius > 10 for shape in truth.shapes] == [True, True, False]
    assert truth.caption == "2 objects"
    panel = pictures.method_panel(ground, predictions, {5: 0, 7: 1}, names, size, 0.5)
    assert [(shape.label, shape.matched) for shape in panel.shapes] == [("disc 0.60", False), ("disc 0.90", True)]
    assert panel.shapes[1].colour == truth.shapes[2].colour != truth.shapes[1].colour
    assert panel.caption == "1 of 2 objects found, 1 unmatched, from score 0.50"
    everything = pictures.method_panel(ground, predictions, {5: 0, 7: 1}, names, size, 0.4)
    assert everything.caption == "2 of 2 objects found, 1 unmatched, from score 0.40"
    assert pictures.method_panel([], [], {}, names, size, 0.5).caption == "0 of 0 objects found, from score 0.50"


def test_a_band_is_drawn_around_a_line_with_spread_in_its_colour():
    """From 40 - 5 to 40 + 5 percent of the chart's height; without spread there is none."""
    look = figures.look(1)
    plain = figures.chart("plain", [figures.Curve([0, 1], [40, 40], look)], "x", "y", (4, 3), ["a", "b"], top=100)
    banded = figures.chart(
        "banded", [figures.Curve([0, 1], [40, 40], look, spread=[5, 10])], "x", "y", (4, 3), ["a", "b"], top=100
    )
    band = rf'y="([\d.]+)" style="fill: {look.colour}; fill-opacity'
    assert not re.search(band, plain)
    base = float(re.search(band, banded)[1])
    inside = banded[: re.search(band, banded).start()].rpartition("</defs>")[0].rpartition('d="')[2]
    heights = {round(base + float(y), 2) for y in re.findall(r"[ML] [\d.]+ (-[\d.]+)", inside)}
    line = float(re.search(rf'd="M [\d.]+ ([\d.]+)[^"]*"[^>]*stroke: {look.colour}', plain)[1])
    point = (max(heights) - line) / 10  # one percent
    assert sorted(heights) == pytest.approx([line + point * each for each in (-10, -5, 5, 10)], abs=0.02)


def test_dots_lie_where_their_methods_are():
    found = [figures.Dot(figures.look(0), 1, 9), figures.Dot(figures.look(1), 3, 5)]
    drawing = figures.dots("dots", found, "x", "y")
    places = {}
    for colour in (dot.look.colour for dot in found):
        place = re.search(rf'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: {colour}', drawing)
        places[colour] = float(place[1]), float(place[2])
    (left, top), (right, bottom) = places.values()
    assert left < right
    assert top < bottom


def test_names_on_a_picture_lie_on_no_other_name():
    """On the shape, else a line above or below; a name without room is left out, and one of a tiny shape."""

    def shape(label: str, x: float, y: float, radius: float = 20) -> pictures.DrawnObject:
        return pictures.DrawnObject(label, "#fff", Outline("", x, y, radius), matched=True)

    font = 10
    shapes = [shape("disc", 50, 50), *[shape("ring", 52, 51) for _ in range(4)], shape("tiny", 150, 50, radius=4)]
    found = pictures.labels([*shapes, shape("far", 150, 50), shape("edge", 2, 4)], (100, 200), font)
    assert [label.text for label in found] == ["disc", "ring", "far", "edge"]
    disc, ring, far, edge = found
    assert (disc.x, disc.y, far.x, far.y) == (50, 50, 150, 50)
    assert ring.y > disc.y
    assert edge.x == edge.width / 2
    assert edge.y >= font
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            apart = abs(one.x - other.x) >= (one.width + other.width) / 2
            assert apart or abs(one.y - other.y) >= pictures.LINE * font
