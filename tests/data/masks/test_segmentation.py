"""Masks: however a mask is written it is the same mask, and a broken one is refused."""

from unittest import mock

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from bcnet.data.masks import segmentation
from bcnet.data.masks.segmentation import decode, encode, run_lengths, segmentation_problem, to_rle


def uncompressed(mask):
    """Uncompressed RLE, the slow way: the lengths of the runs down the columns, background first."""
    counts, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=100)
def test_every_way_to_write_a_mask_is_the_same_mask(mask):
    height, width = mask.shape
    compressed, slow = encode(mask), uncompressed(mask)
    np.testing.assert_array_equal(run_lengths(compressed["counts"]), slow["counts"])
    assert to_rle(slow, height, width) == compressed == to_rle(compressed, height, width)
    np.testing.assert_array_equal(decode(slow, height, width), mask)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)), fill=st.booleans()))
@example(np.zeros((3, 4), bool))
@example(np.ones((3, 4), bool))
@example(np.array([[0, 1, 1, 0], [0, 1, 1, 0]], bool))  # two columns make one run
@settings(max_examples=200)
def test_a_large_mask_is_encoded_by_its_box(mask):
    with mock.patch.object(segmentation, "LARGE", 0):
        assert encode(mask)["counts"] == coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def test_long_runs_of_large_images():
    mask = np.zeros((3000, 4000), bool)
    mask[:, 1000:3000] = True
    mask[7, 3500] = True
    assert run_lengths(encode(mask)["counts"]).tolist() == uncompressed_of_columns(mask)


def uncompressed_of_columns(mask):
    edges = np.flatnonzero(np.diff(mask.T.ravel().astype(np.int8))) + 1
    return np.diff([0, *edges, mask.size]).tolist()


@given(arrays(bool, (9, 11)), st.data())
@settings(max_examples=100)
def test_cut_and_broken_rle_strings_are_refused(mask, data):
    counts = encode(mask)["counts"]
    cut = counts[: data.draw(st.integers(0, len(counts) - 1))]
    assert segmentation_problem({"size": [9, 11], "counts": cut}, 9, 11)
    assert segmentation_problem({"size": [9, 11], "counts": counts + " "}, 9, 11)


def test_letters_beyond_ascii_are_no_rle():
    """A lenient encoder writes them as "?", which is a run of 15."""
    assert segmentation_problem({"size": [3, 5], "counts": "?"}, 3, 5) is None
    assert segmentation_problem({"size": [3, 5], "counts": "\u00e9"}, 3, 5)


def test_numbers_longer_than_any_image_are_refused():
    counts = encode(np.ones((9, 11), bool))["counts"]  # its first number, of no background, is a 0
    assert counts[0] == "0"
    endless_zero = "P" * 14 + "0"  # the same number in 15 groups of bits: more than the format's integers hold
    assert segmentation_problem({"size": [9, 11], "counts": endless_zero + counts[1:]}, 9, 11)
