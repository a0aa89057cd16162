"""Splits: whole images in which an object reaches the threshold, the rule written into the file."""

import json

import pytest

from bcnet.data.splits import split
from bcnet.files import InputError
from bcnet.params.data import Split

NONE = {"box_cover": 0.0, "mask_cover": 0.0, "max_box_iou": 0.0, "n_occluders": 0, "same_category": False}


def annotation(number, image, **occlusion):
    square = {"segmentation": [[1, 1, 4, 1, 4, 4, 1, 4]], "bbox": [1, 1, 3, 3], "area": 9, "iscrowd": 0}
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        **square,
        "occluder": None,
        "occlusion": NONE | occlusion,
    }


CONTENT = {
    "info": {"year": 2026},
    "images": [{"id": i, "height": 9, "width": 9, "file_name": f"{i}.png"} for i in (5, 4, 3, 2)],
    "annotations": [
        annotation(1, 2),
        annotation(2, 3, max_box_iou=0.2, mask_cover=0.1),
        annotation(3, 3),
        annotation(4, 4, max_box_iou=0.199, box_cover=0.5),
    ],
    "categories": [{"id": 1, "name": "thing"}, {"id": 9, "name": "none of these"}],
}


@pytest.fixture
def converted(tmp_path):
    path = tmp_path / "bilayer.json"
    path.write_text(json.dumps(CONTENT))
    return path


@pytest.mark.parametrize(
    ("rule", "images"),
    [
        (Split(), [5, 4, 3, 2]),
        (Split(rule="box_iou", threshold=0.2), [3]),
        (Split(rule="box_iou", threshold=0.19), [4, 3]),
        (Split(rule="box_cover", threshold=0.5), [4]),
        (Split(rule="mask_cover", threshold=0.1), [3]),
        (Split(rule="box_iou", threshold=0), [4, 3, 2]),  # an image without objects has none that reaches even 0
    ],
)
def test_a_rule_selects_whole_images(converted, tmp_path, rule, images):
    split(converted, tmp_path / "out.json", "name", rule)
    result = json.loads((tmp_path / "out.json").read_text())
    left_out = sorted({2, 3, 4, 5} - set(images))
    about = {"name": "name", "rule": rule.rule, "threshold": rule.threshold, "other_images": left_out}
    assert result == CONTENT | {
        "info": {"year": 2026, "split": about},
        "images": [image for image in CONTENT["images"] if image["id"] in images],
        "annotations": [one for one in CONTENT["annotations"] if one["image_id"] in images],
    }


def test_a_rule_that_selects_nothing_is_an_error(converted, tmp_path):
    with pytest.raises(InputError, match=r"split 'hard' \(box_iou 0.9\) selects none of 4 images"):
        split(converted, tmp_path / "out.json", "hard", Split(rule="box_iou", threshold=0.9))
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("rule", [Split(), Split(rule="box_iou", threshold=0.2)])
def test_a_file_that_was_not_converted_says_what_to_do(converted, tmp_path, rule):
    content = json.loads(converted.read_text())
    content["annotations"][2]["occlusion"] = None
    converted.write_text(json.dumps(content))
    with pytest.raises(InputError, match="annotation 3 has no 'occlusion', run `bcnet convert` first"):
        split(converted, tmp_path / "out.json", "name", rule)
