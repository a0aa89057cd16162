"""What the rules of splits measure in an image, beside loops that write the definitions down."""

from itertools import combinations
from math import isnan
from typing import get_args

import numpy as np
import pytest
from coco_factory import like_coco
from hypothesis import given
from hypothesis import strategies as st

from bcnet.data.occlusion.geometry import occlusions
from bcnet.data.splits.rules import PAIRS, WORDS, image_value, image_values, in_words, overlapped_share
from bcnet.params.data import PAIR_RULES, Convert, Split

SIDE = 12  # of the drawn images


def annotation(box, category=1, crowd=0, box_cover=0.0, mask_cover=0.0):
    occlusion = {"box_cover": box_cover, "mask_cover": mask_cover}
    return {"bbox": list(box), "category_id": category, "iscrowd": crowd, "occlusion": occlusion}


@st.composite
def annotations(draw):
    """Up to six annotations with whole-number boxes, also without area, few categories, some of them crowds."""
    sides = st.tuples(st.integers(0, SIDE), st.integers(0, SIDE)).map(sorted)
    drawn = draw(st.lists(st.tuples(sides, sides, st.integers(1, 2), st.integers(0, 4)), max_size=6))
    covers = [i / 8 for i in draw(st.permutations(range(8)))]
    return [
        annotation((x0, y0, x1 - x0, y1 - y0), category, int(crowd == 0), cover, 1 - cover)
        for ((x0, x1), (y0, y1), category, crowd), cover in zip(drawn, covers, strict=False)
    ]


def cells(box):
    """The unit squares of a whole-number box."""
    x, y, w, h = box
    return {(column, row) for column in range(x, x + w) for row in range(y, y + h)}


def slow_pair(rule, a, b):
    """A rule's value of two boxes, from the unit squares that they hold."""
    if rule == "box_iou_inclusive":  # the last pixel counts in
        return slow_pair("box_iou", *([x, y, w + 1, h + 1] for x, y, w, h in (a, b)))
    over = {
        "box_iou": len(cells(a) | cells(b)),
        "box_over_smaller": min(len(cells(a)), len(cells(b))),
        "box_over_larger": max(len(cells(a)), len(cells(b))),
    }[rule]
    return len(cells(a) & cells(b)) / over if over else 0.0


def assert_highest(value, values):
    """`value` is the highest of `values`, nan if there are none. Counts of squares divide exactly, so no tolerance."""
    assert value == max(values) if values else isnan(value)


def test_the_rules_of_pairs_are_those_of_the_parameters():
    assert tuple(PAIRS) == PAIR_RULES


@pytest.mark.parametrize("same_category", [False, True])
@pytest.mark.parametrize("rule", PAIR_RULES)
@given(image=annotations())
def test_a_rule_of_two_boxes_takes_the_highest_pair_of_objects(rule, same_category, image):
    pairs = [
        slow_pair(rule, a["bbox"], b["bbox"])
        for a, b in combinations(image, 2)
        if not a["iscrowd"] and not b["iscrowd"]
        if not same_category or a["category_id"] == b["category_id"]
    ]
    assert_highest(image_value(image, rule, same_category), pairs)


@pytest.mark.parametrize("rule", ["box_cover", "mask_cover"])
@given(image=annotations())
def test_a_rule_of_covers_takes_the_highest_object(rule, image):
    assert_highest(image_value(image, rule), [one["occlusion"][rule] for one in image if not one["iscrowd"]])


@given(image=annotations())
def test_image_overlap_counts_the_squares_under_two_boxes_or_more(image):
    layers = np.zeros((SIDE, SIDE), int)
    for one in image:
        if not one["iscrowd"]:
            x, y, w, h = one["bbox"]
            layers[y : y + h, x : x + w] += 1
    covered = int((layers > 0).sum())
    assert_highest(image_value(image, "image_overlap"), [int((layers > 1).sum()) / covered] if covered else [])


@given(image=annotations(), scale=st.floats(0.01, 100), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_image_overlap_is_the_same_at_any_scale_and_place(image, scale, x, y):
    boxes = np.array([one["bbox"] for one in image], float).reshape(-1, 4)
    moved = boxes * scale + [x, y, 0, 0]
    assert overlapped_share(moved) == pytest.approx(overlapped_share(boxes), abs=1e-9, nan_ok=True)


def test_image_overlap_of_boxes_that_cut_pixels():
    # 2 * 1 and 1 * 1 share 0.25 * 0.5; together they cover 3 - 0.125
    assert overlapped_share(np.array([[0.0, 0.0, 2.0, 1.0], [1.75, 0.5, 1.0, 1.0]])) == pytest.approx(0.125 / 2.875)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("box_iou", 8 / 24),  # 4 * 2 in common, of 16 + 16 - 8
        ("box_iou_inclusive", 15 / 35),  # 5 * 3 of 25 + 25 - 15
        ("box_over_smaller", 8 / 16),
        ("box_over_larger", 8 / 16),
        ("image_overlap", 8 / 24),
    ],
)
def test_a_crowd_counts_nowhere(rule, value):
    image = [annotation((0, 0, 4, 4)), annotation((0, 2, 4, 4)), annotation((0, 0, 4, 5), crowd=1)]
    assert image_value(image, rule) == value


@pytest.mark.parametrize("rule", [*PAIR_RULES, "box_cover", "mask_cover", "image_overlap"])
def test_an_image_without_objects_has_no_value(rule):
    crowd = annotation((0, 0, 4, 4), crowd=1)
    assert isnan(image_value([], rule))
    assert isnan(image_value([crowd], rule))
    assert isnan(image_value([crowd, annotation((0, 0, 4, 4))], rule)) == (rule in PAIR_RULES)  # one object is no pair


def test_every_image_has_its_value_in_file_order():
    boxes = [(4, (0, 0, 4, 4)), (7, (0, 0, 4, 4)), (4, (0, 2, 4, 4))]
    data = {
        "images": [{"id": 7}, {"id": 4}, {"id": 1}],
        "annotations": [annotation(box) | {"image_id": image} for image, box in boxes],
    }
    values = image_values(data, "box_iou")
    assert list(values) == [7, 4, 1]
    assert values[4] == 8 / 24
    assert isnan(values[7])
    assert isnan(values[1])


@pytest.mark.parametrize("objects", [1, 2, 8])
def test_box_iou_is_what_the_converted_annotations_say(objects):
    """The value of an image is the highest `max_box_iou` of its objects, to the last bit, also of fractions."""
    data = like_coco(objects, images=40, objects=objects)
    for image, value in image_values(data, "box_iou").items():
        group = [one for one in data["annotations"] if one["image_id"] == image]
        boxes = [one | {"segmentation": [[0, 0, 1, 0, 1, 1]]} for one in group]  # masks do not matter for boxes
        highest = [one.max_box_iou for one in occlusions(boxes, 2, 2, Convert())]
        assert value == max(highest) if sum(not one["iscrowd"] for one in group) > 1 else isnan(value)


@pytest.mark.parametrize(
    ("split", "line"),
    [
        (Split(), "all images"),
        (Split(rule="image_ids", file="/some/where/occ.json"), "the images that occ.json lists"),
        (
            Split(rule="box_over_smaller", threshold=0.25, same_category=True),
            "images with two boxes of one category whose overlap is 0.25 or more of the smaller one",
        ),
        (
            Split(rule="image_overlap", threshold=0.2, masks="amodal"),
            "images in which 0.2 or more of the area covered by boxes is covered by two or more; "
            "whole (amodal) masks are the ground truth",
        ),
    ],
)
def test_a_split_in_words(split, line):
    assert in_words(split) == line


def test_every_rule_has_its_words():
    assert set(WORDS) == set(get_args(Split.model_fields["rule"].annotation))
