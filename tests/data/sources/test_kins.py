"""KINS: both releases of the annotation files become the project's format; what is wrong ends in one line."""

import json
from pathlib import Path

import numpy as np
import pytest

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.sources import kins
from bcnet.files import InputError

HEIGHT, WIDTH = 30, 100


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def pixels(segmentation):
    return decode(segmentation, HEIGHT, WIDTH)


def release_2020():
    """A car before a van before a wholly hidden pedestrian (cluster 1), and a truck apart (cluster 2)."""
    shapes = {
        11: (4, [rectangle(10, 10, 30, 25)], [rectangle(10, 10, 30, 25)], 1, 1),
        12: (7, [rectangle(20, 5, 50, 25)], [rectangle(30, 5, 50, 25), rectangle(20, 5, 30, 10)], 1, 2),
        13: (2, [rectangle(22, 12, 26, 24)], [], 1, 4),
        14: (6, [rectangle(90, 2, 120, 40)], [rectangle(90, 2, 120, 40)], 2, 3),
    }
    annotations = [
        {
            "id": name,
            "image_id": 3,
            "category_id": category,
            "iscrowd": 0,
            "a_segm": amodal,
            "i_segm": visible,
            "a_bbox": [1, 1, 1, 1],  # wrong, and never read
            "i_bbox": [0, 0, 0, 0],
            "oco_id": cluster,
            "ico_id": order,
        }
        for name, (category, amodal, visible, cluster, order) in shapes.items()
    ]
    names = ["cyclist", "pedestrian", "rider", "car", "tram", "truck", "van", "misc"]
    return {
        "images": [{"id": 3, "file_name": "000003.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": "x"} for i, name in enumerate(names, 1)],
    }


def release_2019():
    """The same objects with the keys of 2019: the visible mask as RLE, and no order."""
    content = release_2020()
    for one in content["annotations"]:
        visible = np.zeros((HEIGHT, WIDTH), bool)
        for left, top, _, _, right, bottom, *_ in one.pop("i_segm"):
            visible[int(top) : int(bottom), int(left) : int(right)] = True
        one |= {"segmentation": one.pop("a_segm"), "inmodal_seg": encode(visible), "inmodal_bbox": [0, 0, 9, 9]}
        for key in ("a_bbox", "i_bbox", "oco_id", "ico_id"):
            del one[key]
    content["categories"] = [one for one in content["categories"] if one["name"] != "rider"]
    return content


@pytest.fixture
def read(tmp_path):
    def run(content):
        path = tmp_path / "kins.json"
        path.write_text(json.dumps(content))
        return kins.read(path)

    return run


def test_objects_of_the_category_that_the_authors_leave_out_are_left_out_and_counted(read, capsys):
    content = release_2020()
    content["annotations"][1]["category_id"] = 3
    assert [one["id"] for one in read(content)["annotations"]] == [11, 13, 14]
    assert "kins.json: 1 objects of rider and person-sitting are left out" in capsys.readouterr().err


@pytest.mark.parametrize("release", [release_2019, release_2020])
def test_visible_and_amodal_masks_of_each_release(read, release):
    car, van, pedestrian, truck = read(release())["annotations"]
    assert [one["id"] for one in (car, van, pedestrian, truck)] == [11, 12, 13, 14]
    assert (pixels(car["segmentation"]) == pixels(car["amodal_segmentation"])).all()
    assert (car["bbox"], car["area"], car["category_id"]) == ([10, 10, 20, 15], 300, 4)
    assert (van["bbox"], van["area"]) == ([20, 5, 30, 20], 30 * 20 - 10 * 15)
    assert (van["amodal_bbox"], pixels(van["amodal_segmentation"]).sum()) == ([20, 5, 30, 20], 600)
    assert (pedestrian["area"], pedestrian["bbox"]) == (0, pedestrian["amodal_bbox"])
    assert annotation_file.hidden(pedestrian)
    assert truck["amodal_bbox"] == [90, 2, 10, 28]  # cut to the image
    assert "a_segm" not in car
    assert "ico_id" not in car


def test_depth_follows_the_order_in_a_cluster(read):
    assert [one["depth"] for one in read(release_2020())["annotations"]] == [0, 1, 2, 0]
    assert not any("depth" in one for one in read(release_2019())["annotations"])


def test_objects_of_equal_order_have_equal_depth_and_those_without_fields_none(read):
    content = release_2020()
    content["annotations"][1]["ico_id"] = 1
    del content["annotations"][3]["oco_id"]
    assert [one.get("depth") for one in read(content)["annotations"]] == [0, 0, 1, None]


def test_the_seven_categories_that_have_objects(read):
    expected = [(1, "cyclist"), (2, "pedestrian"), (4, "car"), (5, "tram"), (6, "truck"), (7, "van"), (8, "misc")]
    for release in (release_2019, release_2020):
        assert [(one["id"], one["name"]) for one in read(release())["categories"]] == expected


def test_the_result_is_a_coco_file(read, tmp_path):
    out = tmp_path / "out.json"
    out.write_text(json.dumps(read(release_2020())))
    assert annotation_file.read(out) == json.loads(out.read_text())


def test_an_object_without_a_pixel_is_left_out_and_counted(read, capsys):
    content = release_2020()
    content["annotations"][3]["a_segm"] = [rectangle(110, 2, 120, 20)]
    assert [one["id"] for one in read(content)["annotations"]] == [11, 12, 13]
    assert "kins.json: 1 objects without a pixel are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"i_segm": None}, "annotation 12: i_segm: None, expected polygons or RLE"),
        ({"a_segm": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 12: a_segm: a polygon has 7 numbers"),
        (
            {"a_segm": {"size": [5, 5], "counts": [25]}},
            "annotation 12: a_segm: RLE size is [5, 5], expected the image's",
        ),
        ({"image_id": 4}, "annotation 12: image_id: 4: expected one of the file's 1"),
        ({"category_id": 9}, "annotation 12: category_id: 9: expected one of the file's 7"),
        ({"ico_id": "2"}, "annotation 12: ico_id: '2': expected a whole number"),
        ({"id": 11}, "annotation 11: this id occurs twice"),
    ],
)
def test_one_line_names_annotation_key_and_what_was_expected(read, change, expected):
    content = release_2020()
    content["annotations"][1] |= change
    with pytest.raises(InputError) as error:
        read(content)
    assert f"kins.json: {expected}" in str(error.value)


def test_missing_masks_and_sections(read):
    content = release_2020()
    del content["annotations"][0]["i_segm"]
    with pytest.raises(InputError, match="annotation 11: expected a_segm and i_segm or segmentation and inmodal_seg"):
        read(content)
    del content["categories"]
    with pytest.raises(InputError, match=r"kins.json: no list 'categories'"):
        read(content)
    with pytest.raises(InputError, match=r"missing.json: cannot be read"):
        kins.read(Path("missing.json"))
