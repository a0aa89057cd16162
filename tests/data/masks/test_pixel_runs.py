"""Masks as runs: every function against the pixels themselves, and the strings against pycocotools."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_factory import flooded, runs_of
from pycocotools import mask as coco_mask

from bcnet.data.masks import pixel_runs

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


def string_of(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]


@given(PAIRS)
def test_union_and_areas_are_those_of_the_pixels(pair):
    a, b = pair
    np.testing.assert_array_equal(pixel_runs.union(runs_of(a), runs_of(b)), runs_of(a | b))
    assert pixel_runs.area(runs_of(a)) == a.sum()
    assert pixel_runs.shared_area(runs_of(a), runs_of(b)) == (a & b).sum()


@given(PAIRS)
def test_a_difference_is_that_of_the_pixels(pair):
    a, b = pair
    np.testing.assert_array_equal(pixel_runs.difference(runs_of(a), runs_of(b)), runs_of(a & ~b))


@example(np.array([[True, False, True]]))  # columns apart, though next to each other in COCO's count
@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)))
def test_parts_are_what_a_flood_reaches(mask):
    pieces, part = pixel_runs.parts(runs_of(mask), mask.shape[0])
    number = np.full(mask.size, -1)
    for (start, end), each in zip(pieces, part, strict=True):
        assert (number[start:end] == -1).all()
        number[start:end] = each
    np.testing.assert_array_equal(number, flooded(mask).ravel(order="F"))


def test_runs_of_no_pixels_neither_part_nor_join():
    cut_in_two, nothing_between = np.array([0, 2, 2, 4]), np.array([0, 1, 3, 4, 6, 6])  # of columns of 4
    assert pixel_runs.parts(cut_in_two, 4)[1].max() == 0
    assert pixel_runs.parts(nothing_between, 4)[1].tolist() == [0, 1]


@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)), st.data())
def test_pixels_of_a_box_are_a_slice(mask, data):
    height, width = mask.shape
    left, right = sorted(data.draw(st.integers(0, width)) for _ in range(2))
    top, bottom = sorted(data.draw(st.integers(0, height)) for _ in range(2))
    seen = pixel_runs.pixels(runs_of(mask), np.array([left, top, right, bottom]), height)
    np.testing.assert_array_equal(seen, mask[top:bottom, left:right])


@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)), st.data())
def test_a_cut_keeps_the_pixels_of_the_box(mask, data):
    height, width = mask.shape
    left, right = (data.draw(st.integers(0, width)) for _ in range(2))
    top, bottom = (data.draw(st.integers(0, height)) for _ in range(2))
    box = np.zeros_like(mask)
    box[top:bottom, left:right] = True
    part = pixel_runs.cut(runs_of(mask), np.array([left, top, right, bottom]), height)
    np.testing.assert_array_equal(part, runs_of(mask & box))


def assert_strings_agree(mask):
    text = string_of(mask)
    np.testing.assert_array_equal(pixel_runs.decode(np.frombuffer(text, np.uint8)), runs_of(mask))
    assert pixel_runs.encode(runs_of(mask), mask.size).tobytes() == text


@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)))
def test_strings_are_pycocotools_own(mask):
    assert_strings_agree(mask)


def test_strings_with_numbers_of_many_groups():
    rng = np.random.default_rng(0)
    for shape in ((2000, 3000), (3000, 2)):
        mask = np.zeros(shape, bool)
        assert_strings_agree(mask)
        for _ in range(20):
            top, left = rng.integers(0, shape)
            mask[top : top + rng.integers(1, shape[0]), left : left + rng.integers(1, 200)] ^= True
            assert_strings_agree(mask)
        assert_strings_agree(np.ones(shape, bool))
