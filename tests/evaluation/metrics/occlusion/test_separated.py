"""Which objects an occluder splits: drawn cases, and pixel by pixel as the definition says."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_factory import flooded

from bcnet.data.masks.segmentation import encode
from bcnet.evaluation.matching.arrays import objects_of
from bcnet.evaluation.metrics.occlusion.separated import (
    FILLED,
    MIN_PIXELS,
    MIN_SHARE,
    REACH,
    UNDERLAY,
    WIDTH,
    separated,
)

SIZE = (40, 60)


def box(left, top, right, bottom, size=SIZE):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def annotation(mask, iscrowd=0):
    return {"segmentation": encode(mask), "iscrowd": iscrowd}


def of_annotations(annotations, height, width):
    """`separated` of a file with one image beside an empty one."""
    about = {"image_id": 7, "category_id": 1, "area": 1, "bbox": [0, 0, 1, 1]}
    images = [{"id": image, "height": height, "width": width} for image in (3, 7)]
    content = {"images": images, "annotations": [about | each for each in annotations]}
    return separated(objects_of(content, np.array([3, 7])), [(height, width)] * 2)


def of(*masks):
    return of_annotations([annotation(mask) for mask in masks], *masks[0].shape)


def test_each_image_is_looked_at_alone_and_annotations_keep_their_order():
    about = {"category_id": 1, "area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0}
    masks = [(5, BAR), (3, BEHIND), (5, BEHIND), (3, box(0, 0, 9, 9))]
    content = {
        "images": [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in (5, 3)],
        "annotations": [about | {"image_id": image, "segmentation": encode(mask)} for image, mask in masks],
    }
    assert separated(objects_of(content, np.array([3, 5])), [SIZE, SIZE]) == [False, False, True, False]


BAR = box(25, 0, 35, 40)
BEHIND = box(5, 10, 55, 30) & ~BAR


def test_a_bar_across_an_object_splits_it():
    assert of(BEHIND, BAR) == [True, False]
    assert of(BAR, BEHIND) == [False, True]
    assert of(BAR.T, BEHIND.T) == [False, True]


def test_parts_may_be_far_apart_and_their_edges_uneven():
    bar = box(8, 0, 52, 40)
    behind = box(3, 10, 57, 30) & ~bar
    assert of(behind, bar) == [True, False]
    uneven = behind & ~box(6, 0, 52, 18) & ~box(6, 22, 52, 40)  # a tooth on the left, nothing opposite on the right
    assert of(uneven, bar) == [True, False]


def test_two_legs_of_one_person_split_a_dog():
    legs = box(15, 15, 20, 40) | box(35, 15, 40, 40) | box(15, 0, 40, 15)
    dog = box(3, 20, 55, 32) & ~legs
    assert of(dog, legs) == [True, False]


def test_two_far_apart_polygons_with_nothing_between():
    astray = box(0, 0, 10, 10) | box(50, 30, 60, 40)
    assert of(astray, box(20, 15, 30, 25)) == [False, False]  # does not touch
    assert of(astray, box(0, 0, 60, 5) & ~astray) == [False, False]  # touches one
    around = (box(0, 0, 60, 14) | box(46, 0, 60, 40)) & ~astray  # touches both, but does not lie between
    assert of(astray, around) == [False, False]


def test_a_part_cut_off_by_the_border():
    horseshoe = box(0, 5, 30, 15) | box(0, 25, 30, 35)  # joined left of the image
    assert of(horseshoe) == [False]
    assert of(horseshoe, box(40, 0, 60, 40)) == [False, False]
    assert of(horseshoe, box(5, 15, 9, 25)) == [False, False]  # between them, but far from filling what is


def test_what_is_in_one_part_is_not_separated():
    assert of(box(5, 10, 55, 30), BAR) == [False, False]
    assert of(box(5, 10, 55, 30) & ~box(25, 12, 35, 40), box(25, 12, 35, 40)) == [False, False]
    corner = box(5, 5, 20, 20) | box(20, 20, 35, 35)  # parts that touch at a corner are one
    assert of(corner, box(20, 5, 35, 20)) == [False, False]


def test_scraps_are_no_part():
    assert MIN_PIXELS == 20
    for rows, expected in ((3, False), (4, True)):  # 15 and 20 pixels beyond the bar
        assert of(box(5, 10, 25, 30) | box(35, 10, 40, 10 + rows), BAR) == [expected, False]
    size = (100, 100)
    for rows, expected in ((7, False), (9, True)):  # below and above 2 % of some 3,950 pixels
        large = box(0, 0, 40, 97, size) | box(50, 0, 60, rows, size)
        assert of(large, box(40, 0, 50, 100, size)) == [expected, False]


def test_a_crowd_neither_splits_nor_is_split():
    assert of_annotations([annotation(BEHIND), annotation(BAR, iscrowd=1)], *SIZE) == [False, False]
    assert of_annotations([annotation(BEHIND, iscrowd=1), annotation(BAR)], *SIZE) == [False, False]
    assert of_annotations([annotation(BAR, iscrowd=1), annotation(BEHIND), annotation(BAR)], *SIZE) == [
        False,
        True,
        False,
    ]


def test_an_occluder_may_leave_two_pixels_free_on_either_side():
    assert REACH == 3
    assert of(BEHIND, box(27, 0, 33, 40)) == [True, False]
    assert of(BEHIND, box(28, 0, 32, 40)) == [False, False]
    assert of(BEHIND, box(28, 0, 35, 40)) == of(BEHIND, box(25, 0, 32, 40)) == [False, False]


def test_an_occluder_touches_both_parts_in_the_gap():
    one_side = box(25, 0, 31, 40)  # six of ten columns
    elsewhere = box(25, 30, 60, 34) | box(55, 0, 60, 34)
    assert of(BEHIND, one_side | elsewhere) == [False, False]
    assert of(BEHIND[:, ::-1], (one_side | elsewhere)[:, ::-1]) == [False, False]
    assert of(BEHIND, one_side | elsewhere | box(31, 19, 33, 21)) == [True, False]


def test_an_occluder_fills_half_of_the_gap():
    assert of(BEHIND, box(25, 0, 35, 22)) == [True, False]  # 12 of 20 rows
    assert of(BEHIND, box(25, 0, 35, 18)) == [False, False]  # 8
    assert of(BEHIND, box(25, 0, 35, 18), box(25, 18, 35, 25)) == [False, False, False]  # two, each too little


def test_what_the_object_lies_on_does_not_split_it():
    table = box(2, 5, 58, 38)
    fork = box(5, 10, 20, 20) | box(35, 10, 50, 20)
    assert of(fork, table) == [False, False]
    assert of(fork, table & ~box(5, 10, 14, 20) & ~box(41, 10, 50, 20)) == [True, False]  # 12 of its 30 columns


def test_a_hidden_link_that_makes_a_turn_is_not_seen():  # as the docstring says
    legs = box(10, 20, 15, 38) | box(40, 20, 45, 38)
    assert of(legs, box(5, 5, 50, 20)) == [False, False]


def test_objects_that_are_nowhere():
    nowhere = np.zeros(SIZE, bool)
    assert of(nowhere, BEHIND, BAR) == [False, True, False]
    assert of_annotations([], *SIZE) == []


def slowly(masks):
    """The definition, with distances of every pixel to every pixel."""
    rows, columns = np.indices(masks[0].shape)

    def distance(part):
        return np.min([np.hypot(rows - y, columns - x) for y, x in np.argwhere(part)], axis=0)

    for place, mask in enumerate(masks):
        number = flooded(mask)
        parts = [number == each for each in range(number.max() + 1)]
        parts = [part for part in parts if part.sum() >= MIN_PIXELS and part.sum() >= MIN_SHARE * mask.sum()]
        within = np.zeros_like(mask)
        if mask.any():
            (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
            within[top : bottom + 1, left : right + 1] = True
        split = False
        for one, other in combinations([distance(part) for part in parts], 2):
            gap = within & ~mask & (one + other <= np.min(one + other) + WIDTH)
            for index, occluder in enumerate(masks):
                fills = gap & occluder
                split |= bool(
                    index != place
                    and fills.any()
                    and fills.sum() >= FILLED * gap.sum()
                    and one[fills].min() <= REACH
                    and other[fills].min() <= REACH
                    and (occluder & mask).sum() < UNDERLAY * mask.sum()
                )
        yield split


@st.composite
def scenes(draw):
    """Objects of rectangles, those in front mostly cut out of those behind."""
    size = draw(st.tuples(st.integers(12, 26), st.integers(12, 26)))

    def rectangle(shortest):
        top, left = (draw(st.integers(0, side - 1)) for side in size)
        high, wide = (draw(st.integers(shortest, side)) for side in size)
        return box(left, top, left + wide, top + high, size)

    if draw(st.booleans()):  # a bar across, and what is left free along it
        middle, free = draw(st.integers(4, size[1] - 5)), [draw(st.integers(0, 4)) for _ in range(2)]
        bar = box(middle, draw(st.integers(0, 6)), middle + draw(st.integers(1, 6)), size[0], size)
        beside = (slice(None), slice(max(0, middle - free[0]), np.flatnonzero(bar.any(0))[-1] + 1 + free[1]))
        behind = box(draw(st.integers(0, 3)), draw(st.integers(0, 4)), size[1], draw(st.integers(8, size[0])), size)
        behind[beside] = False
        return [behind | (rectangle(1) & ~bar), bar | (rectangle(1) & ~behind), rectangle(1)]
    front = np.zeros(size, bool)
    masks = []
    for _ in range(draw(st.integers(1, 4))):
        mask = rectangle(2)
        for _ in range(draw(st.integers(0, 2))):
            mask = mask | rectangle(1)
        masks.append(mask & ~front if draw(st.integers(0, 3)) else mask)
        front |= mask
    return masks


@settings(max_examples=200)
@given(scenes())
def test_drawn_scenes_follow_the_definition(masks):
    assert of(*masks) == list(slowly(masks))
