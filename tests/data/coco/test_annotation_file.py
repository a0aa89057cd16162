"""Annotation files: all that COCO allows is read, all else is refused in one clear line."""

import json
import math

import numpy as np
import pytest
from coco_factory import like_coco
from PIL import Image

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.files import InputError

NESTED: list = []
for _ in range(900):
    NESTED = [NESTED]
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def content(**annotation):
    """A file of one 40x30 image (and one without annotations) with one annotation, a square unless told otherwise."""
    square = {"id": 7, "image_id": 3, "category_id": 90, "iscrowd": 0, "area": 100, "bbox": [10, 10, 10, 10]}
    return {
        "images": [
            {"id": 3, "width": 40, "height": 30, "file_name": "a.jpg"},
            {"id": 1, "width": 5, "height": 5, "file_name": "empty/b.jpg"},
        ],
        "annotations": [square | {"segmentation": [SQUARE]} | annotation],
        "categories": [{"id": 1, "name": "cat"}, {"id": 90, "name": "dog"}],
    }


def read(folder, data):
    path = folder / "file.json"
    path.write_text(json.dumps(data))
    return annotation_file.read(path)


def square_mask():
    mask = np.zeros((30, 40), bool)
    mask[10:20, 10:20] = True
    return mask


@pytest.mark.parametrize("seed", range(3))
def test_a_file_like_cocos_own_is_accepted_and_left_as_it_is(tmp_path, seed):
    data = like_coco(seed)
    assert read(tmp_path, data) == data


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [SQUARE, [-2, -2, 42, 0, 42, 32]],  # as far outside as is tolerated
        encode(square_mask()),
        {"size": [30, 40], "counts": [310, *[10, 20] * 9, 10, 610]},
    ],
)
@pytest.mark.parametrize("crowd", [0, 1])
def test_polygons_and_both_kinds_of_rle_are_accepted(tmp_path, segmentation, crowd):
    data = content(segmentation=segmentation, iscrowd=crowd)
    assert read(tmp_path, data) == data


def test_a_box_may_reach_two_pixels_outside(tmp_path):
    read(tmp_path, content(bbox=[-2, -2, 44, 34]))
    with pytest.raises(InputError, match="bbox"):
        read(tmp_path, content(bbox=[-2, -2, 44.1, 34]))


def test_boxes_without_height_are_accepted_since_train2017_has_two(tmp_path):
    flat = {"segmentation": [[29.6, 8.3, 29.6, 8.3, 30.7, 8.3, 30.7, 8.3]], "bbox": [29.6, 8.3, 1.1, 0.0], "area": 0.0}
    read(tmp_path, content(**flat))


def test_what_an_annotation_leaves_out_is_filled_in(tmp_path):
    data = content()
    for key in ("iscrowd", "area", "bbox"):
        del data["annotations"][0][key]
    (annotation,) = read(tmp_path, data)["annotations"]
    assert (annotation["iscrowd"], annotation["area"], annotation["bbox"]) == (0, 100, [10, 10, 10, 10])


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"image_id": 2}, "image_id 2 is not"),
        ({"image_id": [3]}, "image_id [3] is not"),
        ({"category_id": 2}, "category_id 2 is not"),
        ({"iscrowd": "yes"}, "iscrowd is 'yes'"),
        ({"iscrowd": True}, "iscrowd is True"),
        ({"iscrowd": 1.0}, "iscrowd is 1.0"),
        ({"iscrowd": None}, "iscrowd is None"),
        ({"area": -1}, "area is -1"),
        ({"area": math.nan}, "area is nan"),
        ({"area": True}, "area is True"),
        ({"area": 2**53 + 1}, "area is 9007199254740993"),
        ({"bbox": [10, 10, -1, 10]}, "bbox is [10, 10, -1, 10]"),
        ({"bbox": [10, 10, 0, 0]}, "bbox is [10, 10, 0, 0]"),
        ({"bbox": [20, 10, 35, 20]}, "bbox is [20, 10, 35, 20], expected [x, y, width, height] inside the 40x30 image"),
        ({"bbox": [10, 10, 10]}, "bbox is"),
        ({"bbox": [10, 10, 10, True]}, "bbox is [10, 10, 10, True]"),
        ({"bbox": [], "area": None}, "bbox is []"),
        ({"bbox": NESTED}, "bbox is [[[[[[[...]]]]]]]"),
        ({"segmentation": None}, "segmentation is null, expected polygons [[x, y, x, y, …], …] or RLE {size, counts}"),
        ({"segmentation": []}, "segmentation is []"),
        ({"segmentation": SQUARE}, "segmentation is [10, 10, 20, 10, 20, 20, 10, 20], expected polygons [[x, y"),
        (
            {"segmentation": [[1, 1, 5, 5]]},
            "a polygon is [1, 1, 5, 5], expected [x, y, x, y, …] of three points or more",
        ),
        ({"segmentation": [[*SQUARE, 4]]}, "a polygon is [10, 10, 20, 10, 20, 20, 10, 20, 4], expected"),
        ({"segmentation": [[*SQUARE[:-1], "20"]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [[*SQUARE[:-1], None]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [[*SQUARE[:-1], True]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [[False, *SQUARE[1:]]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [[*SQUARE[:-1], math.nan]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [[*SQUARE[:-1], math.inf]]}, "expected finite numbers [x, y, x, y, …]"),
        ({"segmentation": [SQUARE, [41, 0, 50, 0, 50, 9]]}, "wholly outside the 40x30 image"),
        ({"segmentation": [[0, -9, 9, -9, 9, -1]]}, "wholly outside the 40x30 image"),
        ({"segmentation": [[0, 0, 42.1, 0, 9, 9]]}, "outside the 40x30 image by more than 2 pixels: x 0 to 42.1"),
        ({"segmentation": [[0, 0, 9, -2.1, 9, 9]]}, "outside the 40x30 image by more than 2 pixels"),
        ({"segmentation": {"size": [40, 30], "counts": [1200]}}, "RLE size is [40, 30], expected the image's [30, 40]"),
        ({"segmentation": {"size": [30.0, 40], "counts": [1200]}}, "RLE size is [30.0, 40]"),
        ({"segmentation": {"size": [30, 40], "counts": [1199]}}, "sum to 1199, expected height x width = 1200"),
        ({"segmentation": {"size": [30, 40], "counts": [1201, -1]}}, "negative"),
        ({"segmentation": {"size": [30, 40], "counts": [1200.0]}}, "RLE counts are [1200.0], expected"),
        ({"segmentation": [{"size": [30, 40], "counts": [1200]}]}, '[{"size": [30, 40], "counts": [1200]}], expected'),
        ({"segmentation": [[[1, 2], [3, 4], [5, 6]]]}, "a polygon is [[1, 2], [3, 4], [5, 6]], expected"),
        ({"segmentation": [[0.125] * 99]}, f"a polygon is [{'0.125, ' * 8}0.1…, expected [x, y, x, y, …]"),
        ({"segmentation": {"size": [30, 40]}}, "RLE counts are null, expected"),
        ({"segmentation": {"size": [30, 40], "counts": ""}}, 'RLE counts are "", expected'),
        ({"segmentation": {"size": [30, 40], "counts": "é"}}, "RLE counts"),
        ({"segmentation": {"size": [30, 40], "counts": encode(square_mask())["counts"][:-1]}}, "RLE counts"),
        ({"segmentation": {"size": [30, 40], "counts": [1200]}, "bbox": None}, "its mask is empty"),
    ],
)
def test_a_wrong_annotation_is_named_with_what_is_wrong(tmp_path, wrong, expected):
    with pytest.raises(InputError) as error:
        read(tmp_path, content(**wrong))
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'file.json'}: annotation 7: ")
    assert expected in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("images", {"width": None}, "image 3: width is None"),
        ("images", {"height": 0}, "image 3: height is 0"),
        ("images", {"height": 30.5}, "image 3: height is 30.5"),
        ("images", {"file_name": None}, "image 3: file_name is None"),
        ("images", {"file_name": "../a.jpg"}, "image 3: file_name '../a.jpg' leaves"),
        ("images", {"file_name": "/a.jpg"}, "image 3: file_name '/a.jpg' leaves"),
        ("images", {"file_name": "a\0.jpg"}, "image 3: file_name 'a\\x00.jpg' leaves"),
        ("images", {"file_name": "a\u2028.jpg"}, "image 3: file_name 'a\\u2028.jpg' leaves"),
        ("images", {"width": 20000, "height": 20000}, "image 3: width x height is 20000x20000, expected at most"),
        ("images", {"id": -3}, "image at place 0 (from 0) has no whole number as 'id'"),
        ("images", {"id": 2**63}, "image at place 0 (from 0) has no whole number as 'id'"),
        ("images", {"id": "3"}, "image at place 0 (from 0) has no whole number as 'id'"),
        ("images", {"id": 1}, "image 1: this id occurs twice"),
        ("categories", {"id": 90}, "category 90: this id occurs twice"),
        ("categories", {"name": None}, "category 1: name is None"),
    ],
)
def test_a_wrong_image_or_category_is_named(tmp_path, section, change, expected):
    data = content()
    data[section][0] |= change
    with pytest.raises(InputError) as error:
        read(tmp_path, data)
    assert expected in str(error.value)


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_a_missing_section_is_named(tmp_path, section):
    data = content()
    del data[section]
    with pytest.raises(InputError, match=f"no list '{section}'"):
        read(tmp_path, data)


def test_two_annotations_with_one_id(tmp_path):
    data = content()
    data["annotations"] *= 2
    with pytest.raises(InputError, match="annotation 7: this id occurs twice"):
        read(tmp_path, data)


def test_a_truncated_file_says_where_it_ends(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(content())[:100])
    with pytest.raises(InputError, match=r"cut\.json: not valid JSON \(truncated\?\).*column 101"):
        annotation_file.read(path)


def test_nan_outside_an_annotation_is_still_not_json(tmp_path):
    with pytest.raises(InputError, match="not valid JSON"):
        read(tmp_path, content() | {"info": {"version": math.nan}})


def test_lists_nested_deeper_than_any_parser_goes_end_in_one_line(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"deep\.json: not valid JSON"):
        annotation_file.read(path)


def test_the_largest_image_is_what_pillow_opens():
    assert annotation_file.LARGEST_IMAGE == 2 * Image.MAX_IMAGE_PIXELS


def test_amodal_masks_are_checked_and_their_box_filled_in(tmp_path):
    (annotation,) = read(tmp_path, content(amodal_segmentation=[[5, 5, 25, 5, 25, 20, 5, 20]]))["annotations"]
    assert annotation["amodal_bbox"] == [5, 5, 20, 15]
    for wrong, expected in (
        (
            {"amodal_segmentation": None},
            "annotation 7: amodal_segmentation: segmentation is null, expected polygons",
        ),
        ({"visible_segmentation": [[1, 2]]}, r"annotation 7: visible_segmentation: a polygon is \[1, 2\]"),
        ({"amodal_segmentation": [SQUARE], "amodal_bbox": [1, 2]}, r"annotation 7: amodal_bbox is \[1, 2\], expected"),
    ):
        with pytest.raises(InputError, match=expected):
            read(tmp_path, content(**wrong))


def test_an_object_that_is_visible_nowhere_is_hidden(tmp_path):
    nothing = {"size": [30, 40], "counts": [1200]}
    (annotation,) = read(tmp_path, content(segmentation=nothing, area=0, amodal_segmentation=[SQUARE]))["annotations"]
    assert annotation_file.hidden(annotation)
    assert not annotation_file.hidden({**annotation, "area": 1})
    del annotation["amodal_segmentation"]
    assert not annotation_file.hidden(annotation)  # a user's file that states no areas
