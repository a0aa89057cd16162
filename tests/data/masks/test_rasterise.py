"""Polygons become the masks that the COCO API makes of them."""

import numpy as np
import pytest
from coco_factory import like_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bcnet.data.masks.pixel_runs import decode
from bcnet.data.masks.rasterise import rasterise
from bcnet.data.masks.segmentation import to_rle

NUMBER = st.one_of(
    st.floats(-3, 25, allow_nan=False), st.integers(-2, 22).map(float), st.integers(-20, 220).map(lambda n: n / 10)
)
POLYGON = st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=9).map(lambda points: [c for p in points for c in p])


def runs_of(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    ends = np.cumsum([len(polygon) for polygon in polygons])
    return rasterise(np.concatenate(polygons).astype(float), ends, 0, len(ends), height, width)


def expected(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    runs = decode(np.frombuffer(to_rle(polygons, height, width)["counts"].encode(), np.uint8))
    return runs.reshape(-1, 2)[np.diff(runs.reshape(-1, 2)).ravel() > 0].ravel()


@settings(max_examples=500)
@given(st.lists(POLYGON, min_size=1, max_size=3), st.integers(1, 20), st.integers(1, 20))
def test_any_polygons(polygons, height, width):
    np.testing.assert_array_equal(runs_of(polygons, height, width), expected(polygons, height, width))


def test_corners_twice_and_lines():
    for polygon in (
        [2, 2, 2, 2, 8, 2, 8, 8, 2, 8],
        [1, 1, 5, 5, 9, 9],
        [3, 3, 3, 3, 3, 3],
        [0, 0, 10, 0, 10, 12, 0, 12],
    ):
        np.testing.assert_array_equal(runs_of([polygon], 12, 10), expected([polygon], 12, 10))


@pytest.mark.parametrize("seed", range(3))
def test_outlines_as_coco_has_them(seed):
    content = like_coco(seed, images=30, size=(480, 640))
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    polygons = [each for each in content["annotations"] if not each["iscrowd"]]
    assert any(len(each["segmentation"]) > 1 for each in polygons)
    for each in polygons:
        size = sizes[each["image_id"]]
        found = runs_of(each["segmentation"], *size)
        np.testing.assert_array_equal(found, expected(each["segmentation"], *size))
        assert np.diff(found.reshape(-1, 2)).sum() == coco_mask.area(to_rle(each["segmentation"], *size))
