"""COCOA: regions become objects of one category; what is wrong ends in one line."""

import json

import numpy as np
import pytest

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.data.sources import cocoa
from bcnet.files import InputError

HEIGHT, WIDTH = 40, 60


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def rle(*boxes):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return encode(mask)


def region(order, shape, visible=None, stuff=False, **more):
    one = {"segmentation": shape, "order": order, "isStuff": stuff, "name": f"thing {order}", "occlude_rate": 0.0}
    if visible is not None:
        one |= {"visible_mask": visible, "invisible_mask": rle()}
    return one | {"area": 1.0} | more


def content():
    """A cup before a wall before a plate, a crumb hidden by the cup, a fork apart; a picture without an entry."""
    regions = [
        region(1, rectangle(10, 10, 20, 20)),
        region(2, rectangle(0, 0, 60, 30), rle((20, 0, 60, 30)), stuff=True),
        region(3, rectangle(15, 15, 35, 35), rle((15, 30, 35, 35))),
        region(4, rectangle(12, 12, 15, 15), rle()),
        region(5, rectangle(50, 32, 58, 38)),
    ]
    entry = {"id": 9, "image_id": 77, "author": "a", "depth_constraint": "1-2,2-3,1-4", "regions": regions, "size": 5}
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": number, "file_name": f"COCO_train2014_{number:012}.jpg", "height": HEIGHT, "width": WIDTH}
            for number in (77, 78)
        ],
        "annotations": [entry],
    }


@pytest.fixture
def read(tmp_path):
    def run(data):
        path = tmp_path / "cocoa.json"
        path.write_text(json.dumps(data))
        return cocoa.read(path)

    return run


def test_regions_become_objects_of_one_category(read):
    found = read(content())
    assert found["categories"] == [{"id": 1, "name": "object"}]
    assert [image["id"] for image in found["images"]] == [77]  # the other one was not annotated
    cup, plate, crumb, fork = found["annotations"]  # not the wall: it is stuff
    assert [one["id"] for one in (cup, plate, crumb, fork)] == [1, 2, 3, 4]
    assert {(one["image_id"], one["category_id"]) for one in found["annotations"]} == {(77, 1)}
    assert [one["name"] for one in found["annotations"]] == ["thing 1", "thing 3", "thing 4", "thing 5"]
    assert cup["segmentation"] == cup["amodal_segmentation"] == rle((10, 10, 20, 20))
    assert (plate["segmentation"], plate["bbox"], plate["area"]) == (rle((15, 30, 35, 35)), [15, 30, 20, 5], 100)
    assert (plate["amodal_segmentation"], plate["amodal_bbox"]) == (rle((15, 15, 35, 35)), [15, 15, 20, 20])
    assert annotation_file.hidden(crumb)
    assert crumb["bbox"] == crumb["amodal_bbox"] == [12, 12, 3, 3]
    assert fork["area"] == 48


def test_depth_keeps_pairs_that_go_through_stuff(read):
    assert [one["depth"] for one in read(content())["annotations"]] == [0, 2, 1, 0]


def test_depth_counts_objects_that_are_there(read):
    data = content()
    data["annotations"][0]["depth_constraint"] = "2-1,2-3,2-4,2-5,1-3"  # the wall is before all
    assert [one["depth"] for one in read(data)["annotations"]] == [0, 1, 0, 0]


@pytest.mark.parametrize("constraint", ["", None, "missing"])
def test_without_pairs_all_have_one_depth(read, constraint):
    data = content()
    data["annotations"][0]["depth_constraint"] = constraint
    if constraint == "missing":
        del data["annotations"][0]["depth_constraint"]
    assert [one["depth"] for one in read(data)["annotations"]] == [0, 0, 0, 0]


def test_an_image_with_a_cycle_has_no_depth(read, capsys):
    data = content()
    data["annotations"][0]["depth_constraint"] = "1-3,3-4,4-1"
    assert not any("depth" in one for one in read(data)["annotations"])
    assert "cocoa.json: 1 images get no depth: their depth_constraint forms a cycle" in capsys.readouterr().err


def test_the_first_persons_work_is_taken(read):
    data = content()
    data["annotations"].append({"image_id": 77, "depth_constraint": "", "regions": []})
    assert len(read(data)["annotations"]) == 4


def test_the_result_is_a_coco_file(read, tmp_path):
    out = tmp_path / "out.json"
    out.write_text(json.dumps(read(content())))
    assert annotation_file.read(out) == json.loads(out.read_text())


def test_a_region_without_a_pixel_is_left_out_and_counted(read, capsys):
    data = content()
    data["annotations"][0]["regions"][4]["segmentation"] = [1, 1, 2, 2]
    assert [one["id"] for one in read(data)["annotations"]] == [1, 2, 3]
    assert "cocoa.json: 1 regions without a pixel are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image_id": 5}, "annotation at place 0 (from 0): image_id: 5: no image of this file"),
        ({"regions": {}}, "image 77: regions: expected a list of objects"),
        ({"depth_constraint": [1]}, "image 77: depth_constraint: [1]: expected pairs such as '1-2,1-3'"),
        ({"depth_constraint": "1-2;1-3"}, "image 77: depth_constraint: '1-2;1-3': expected pairs"),
        ({"depth_constraint": "9" * 5000 + "-1"}, "image 77: depth_constraint: '9999"),
        ({"depth_constraint": "\u0661-2"}, "image 77: depth_constraint: '\u0661-2': expected pairs"),
        ({"depth_constraint": "1-9"}, "image 77: depth_constraint: 9: no region has this order"),
    ],
)
def test_a_wrong_entry_is_named(read, change, expected):
    data = content()
    data["annotations"][0] |= change
    with pytest.raises(InputError) as error:
        read(data)
    assert f"cocoa.json: {expected}" in str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"order": 1}, "image 77: region at place 2 (from 0): order: 1: expected a number of its own"),
        ({"isStuff": None}, "image 77: region 3: isStuff: None: expected 0 or 1"),
        ({"segmentation": None}, "image 77: region 3: segmentation: None, expected polygons or RLE"),
        (
            {"visible_mask": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}},
            "image 77: region 3: visible_mask: RLE size is [60, 40], expected the image's [40, 60]",
        ),
    ],
)
def test_a_wrong_region_is_named(read, change, expected):
    data = content()
    data["annotations"][0]["regions"][2] |= change
    with pytest.raises(InputError) as error:
        read(data)
    assert f"cocoa.json: {expected}" in str(error.value)


def test_missing_sections(read):
    for section in ("images", "annotations"):
        data = content()
        del data[section]
        with pytest.raises(InputError, match=f"cocoa.json: no list '{section}'"):
            read(data)
