"""What both readers of amodal data rely on: masks of every kind, cut to the image, and depth from pairs."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.sources.amodal import depths, mask_of, shape_keys
from bcnet.files import InputError

IMAGE = {"height": 30, "width": 40}
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def pixels(segmentation):
    return decode(mask_of(segmentation, IMAGE, "here"), 30, 40)


def box(left, top, right, bottom):
    mask = np.zeros((30, 40), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_polygons_one_flat_polygon_rle_and_nothing():
    square = box(10, 10, 20, 20)
    assert (pixels([SQUARE]) == square).all()
    assert (pixels(SQUARE) == square).all()
    assert (pixels(encode(square)) == square).all()
    assert (pixels({"size": [30, 40], "counts": [1200]}) == box(0, 0, 0, 0)).all()
    assert not pixels([]).any()
    both = pixels([SQUARE, [0, 0, 5, 0, 5, 5, 0, 5]])
    assert (both == square | box(0, 0, 5, 5)).all()


def test_an_outline_that_leaves_the_image_is_cut_there():
    assert (pixels([[-20, -10, 5, -10, 5, 7, -20, 7]]) == box(0, 0, 5, 7)).all()
    assert (pixels([[30, 25, 70, 25, 70, 60, 30, 60]]) == box(30, 25, 40, 30)).all()
    assert not pixels([[-20, 0, -5, 0, -5, 20, -20, 20]]).any()
    triangle = [-12, 3, 55, 20, 8, 41]
    canvas = {"height": 90, "width": 120}  # the same drawn on a larger image, then cut
    whole = decode(mask_of([[number + 30 for number in triangle]], canvas, "here"), 90, 120)
    assert (pixels([triangle]) != whole[30:60, 30:70]).mean() < 0.003  # but for a fifth of a pixel at negative corners


def test_parts_of_fewer_than_three_points_enclose_nothing():
    assert (
        pixels([SQUARE, [1, 1, 9, 9], [3, 3]]) == box(10, 10, 20, 20)
    ).all()  # the COCO API draws [1, 1, 9, 9] as a box
    assert not pixels([[1, 1, 9, 9]]).any()


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        (None, "here: None, expected polygons or RLE"),
        ([[1, 2, 3, 4, 5, 6, 7]], "here: a polygon has 7 numbers, expected x and y of each point"),
        ([[1, 2, 3, 4, 5, "6"]], "here: '6' in a polygon, expected pixels of the 40x30 image"),
        ([[1, 2, 3, 4, 5, float("nan")]], "here: nan in a polygon"),
        ([1, 2, [3], 4, 5, 6], r"here: \[3\] in a polygon"),
        ([[1, 2, 3, 4, 5, 1e9]], "here: 1000000000.0 in a polygon"),
        ({"size": [40, 30], "counts": [1200]}, r"here: RLE size is \[40, 30\], expected the image's \[30, 40\]"),
    ],
)
def test_a_wrong_mask_ends_in_a_line(segmentation, expected):
    with pytest.raises(InputError, match=expected):
        mask_of(segmentation, IMAGE, "here")


def test_boxes_and_area_are_those_of_the_masks():
    keys = shape_keys(encode(box(10, 10, 20, 20)), encode(box(10, 10, 14, 20)))
    assert (keys["bbox"], keys["area"], keys["iscrowd"]) == ([10, 10, 4, 10], 40, 0)
    assert keys["amodal_bbox"] == [10, 10, 10, 10]
    assert not annotation_file.hidden(keys)


def test_an_object_that_is_visible_nowhere_has_the_box_in_which_it_is_hidden():
    keys = shape_keys(encode(box(10, 10, 20, 20)), encode(box(0, 0, 0, 0)))
    assert (keys["bbox"], keys["area"]) == ([10, 10, 10, 10], 0)
    assert annotation_file.hidden(keys)


def test_depth_counts_the_objects_before_one():
    assert depths([1, 2, 3, 4], [(1, 2), (2, 3), (1, 3)]) == {1: 0, 2: 1, 3: 2, 4: 0}
    assert depths([5], []) == {5: 0}


def test_a_cycle_has_no_depth():
    assert depths([1, 2, 3, 4], [(1, 2), (2, 3), (3, 1)]) is None
    assert depths([1], [(1, 1)]) is None


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_depth_keeps_every_pair_and_is_missing_only_where_no_order_does(case):
    count, pairs = case
    found = depths(range(count), pairs)
    orders = permutations(range(count))  # every possible order, front to back
    possible = any(all(order.index(front) < order.index(behind) for front, behind in pairs) for order in orders)
    assert (found is not None) == possible
    if found is not None:
        assert all(found[front] < found[behind] for front, behind in pairs)
        assert min(found.values()) == 0
