"""What most entries of a file have in common is told as a whole, and mended everywhere or nowhere."""

import copy
import json
from typing import Any

import numpy as np
import pytest
from check_factory import Checker
from export_factory import BOXES, HEIGHT, WIDTH, mask, outline, right
from PIL import Image

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode, run_lengths


def pairs(box: tuple[int, ...]) -> list[list[int]]:
    numbers = outline(box)
    return [numbers[k : k + 2] for k in range(0, 8, 2)]


FORMS = {
    "one flat list": outline,
    "points [x, y] in one list": pairs,
    "polygons of points [x, y]": lambda box: [pairs(box)],
    "points [x, y] in one list of objects": lambda box: [{"x": x, "y": y} for x, y in pairs(box)],
    "polygons one list deeper": lambda box: [[outline(box)]],
    "text": lambda box: json.dumps([outline(box)]),
    "text of pairs": lambda box: json.dumps(pairs(box)),
    "numbers as text": lambda box: [list(map(str, outline(box)))],
    "lists of x and of y": lambda box: {"all_points_x": outline(box)[::2], "all_points_y": outline(box)[1::2]},
    "polygons of points [x, y] with a z": lambda box: [[[*point, 7] for point in pairs(box)]],
    "RLE as Python's text of bytes": lambda box: {
        "size": [HEIGHT, WIDTH],
        "counts": repr(encode(mask(box))["counts"].encode()),
    },
    "RLE in a list": lambda box: [encode(mask(box))],
    "several RLE in a list": lambda box: [
        encode(mask((box[0], box[1], 2, box[3]))),
        encode(mask((box[0] + 2, box[1], box[2] - 2, box[3]))),
    ],
    "run lengths with .0": lambda box: {
        "size": [HEIGHT, WIDTH],
        "counts": list(map(float, run_lengths(encode(mask(box))["counts"]).tolist())),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_masks_of_every_form_are_read_as_they_were_meant(form: str, check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        entry["segmentation"] = FORMS[form](BOXES[entry["id"]])
    code, lines, _ = check(data)
    called = form.removesuffix(" of pairs").removesuffix(" of objects").removesuffix(" with a z")
    assert code == 2
    assert lines[0] == f"note: all 4 segmentations are {called}, where COCO has polygons or RLE (--fix mends all)"
    for entry, before in zip(check.fixed(data)["annotations"], right()["annotations"], strict=True):
        np.testing.assert_array_equal(decode(entry["segmentation"], HEIGHT, WIDTH), mask(BOXES[entry["id"]]))
        assert [entry[key] for key in before if key != "segmentation"] == [
            before[key] for key in before if key != "segmentation"
        ]


@pytest.mark.parametrize(
    "unreadable",
    [[[1, 2], [3, 4]], ["a", "b"], "no list", "[[1, 2]", "7", [{"x": 1}], {"x": [1, 2], "y": [1]}, [[[1, 2], "a"]]],
)
def test_what_has_no_reading_is_none(unreadable: Any, check: Checker) -> None:
    data = right()
    data["annotations"][0]["segmentation"] = unreadable
    code, lines, error = check(data, "--fix", str(check.out))
    assert code == 2
    assert "1 of 4 annotations would be lost" in error
    assert any(line.startswith("annotation 1: removed: ") for line in lines)
    assert not check.out.exists()
    assert [entry["id"] for entry in check.fixed(data, "--drop")["annotations"]] == [2, 3, 4]


@pytest.mark.parametrize("empty", [None, [], [[]], "missing"])
def test_boxes_without_masks_are_never_mended_away(empty: Any, check: Checker) -> None:
    data = right()
    for entry in data["annotations"][1:]:
        entry["segmentation"] = empty
        if empty == "missing":
            del entry["segmentation"]
    for flags in ([], ["--fix", str(check.out)]):
        code, lines, error = check(data, *flags)
        assert code == 2
        assert lines[0] == (
            "note: 3 of 4 annotations have a box and no mask; instance segmentation needs masks: export polygons or RLE"
        )
    assert "3 of 4 annotations would be lost" in error
    assert not check.out.exists()
    del data["annotations"][0]
    assert "all 3 annotations would be lost" in check(data, "--fix", str(check.out), "--drop")[2]
    assert not check.out.exists()


@pytest.mark.parametrize(
    ("form", "write"),
    [
        ("x1, y1, x2, y2", lambda x, y, w, h: [x, y, x + w, y + h]),
        ("centre x, centre y, width, height", lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
    ],
)
def test_boxes_of_another_form_are_mended_everywhere_or_nowhere(form: str, write: Any, check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        entry["bbox"] = write(*entry["bbox"])
    assert check(data)[1][0] == f"note: all 4 boxes are {form}, where COCO has x, y, width, height (--fix mends all)"
    assert check.fixed(data) == right()
    data["annotations"][0]["bbox"] = list(BOXES[1])  # one that is right
    assert "as 1 aren't, each wrong one is taken from its mask" in check(data)[1][0]
    assert check.fixed(data)["annotations"][0] == right()["annotations"][0]


def test_right_boxes_of_any_kind_are_no_convention(check: Checker) -> None:
    """Also those of the corner, which are the same as x1, y1, x2, y2."""
    data = right()
    for entry in data["annotations"]:
        box = (0, 0, *entry["bbox"][2:])
        entry |= {"bbox": list(box), "segmentation": [outline(box)]}
    assert check(data)[:2] == (0, ["file.json: nothing wrong, 0 notes"])
    assert check.fixed(data) == data


def test_coordinates_from_0_to_1_are_mended_everywhere_or_nowhere(check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        scale = [n / (HEIGHT if k % 2 else WIDTH) for k, n in enumerate(entry["segmentation"][0])]
        box = [n / (HEIGHT if k % 2 else WIDTH) for k, n in enumerate(entry["bbox"])]
        entry |= {"segmentation": [scale], "bbox": box, "area": box[2] * box[3]}
    mixed = copy.deepcopy(data)
    assert check(data)[1][0].startswith("note: all 4 outlines have coordinates from 0 to 1, where COCO has pixels")
    for entry, before in zip(check.fixed(data)["annotations"], right()["annotations"], strict=True):
        assert entry["area"] == before["area"]
        np.testing.assert_allclose(entry["bbox"], before["bbox"])
        np.testing.assert_allclose(entry["segmentation"], before["segmentation"])
    mixed["annotations"][0] = right()["annotations"][0]
    assert "3 of 4 outlines" in (line := check(mixed)[1][0])
    assert line.endswith("none is multiplied by its image's size")


def test_names_in_the_place_of_ids_are_mended_where_they_differ(check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        entry |= {"category_id": ["cup", "plate"][entry["category_id"] - 1], "image_id": "a.png"}
    assert check(data)[1][0] == "note: 8 references are names where COCO has ids (--fix mends all)"
    assert check.fixed(data) == right()
    data["categories"][1]["name"] = "cup"
    code, _, error = check(data, "--fix", str(check.out))
    assert (code, "all 4 annotations would be lost" in error) == (2, True)


def test_images_of_lvis_are_named_by_their_address(check: Checker) -> None:
    data = right()
    del data["images"][0]["file_name"]
    data["images"][0] |= {"coco_url": "http://images.cocodataset.org/val2017/a.png", "neg_category_ids": []}
    code, lines, _ = check(data)
    assert (code, lines[0]) == (2, "note: all 1 images have no file_name but LVIS's coco_url (--fix mends all)")
    assert check.fixed(data)["images"][0]["file_name"] == "val2017/a.png"
    assert any(line.startswith("note: file: LVIS annotates") for line in check(check.fixed(data))[1])


def test_panoptic_files_are_named(check: Checker) -> None:
    data = right()
    data["annotations"] = [{"image_id": 3, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}]
    assert "all 1 annotations have segments_info: this is COCO's panoptic format" in check(data)[1][0]
    assert check(data, "--fix", str(check.out))[0] == 2


def test_areas_are_the_masks_where_they_are_0_or_mostly_something_else(check: Checker) -> None:
    triangles = right()
    for entry in triangles["annotations"]:
        entry["segmentation"] = [entry["segmentation"][0][:6]]
    areas = [int(decode(entry["segmentation"], HEIGHT, WIDTH).sum()) for entry in triangles["annotations"]]
    fixed = check.fixed(triangles)  # areas of boxes, twice those of the triangles
    assert [entry["area"] for entry in fixed["annotations"]] == areas
    zero = right()
    zero["annotations"][2]["area"] = 0
    assert "note: annotation 3: area is 0, its mask has 162 pixels" in check(zero)[1]
    assert check.fixed(zero) == right()
    odd = right()
    odd["annotations"][2]["area"] = 4000  # one that somebody may have meant
    assert check.fixed(odd) == odd


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"version": "5", "shapes": [], "imagePath": "a.png"}, "a labelme file, of one image"),
        ({"_via_img_metadata": {}}, "a VIA project"),
        ({"a.png12": {"filename": "a.png", "regions": []}}, "VIA's annotations"),
        ({"videos": [], "annotations": [], "categories": []}, "YouTube-VIS's annotations of videos"),
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "predictions in COCO's result format"),
        ([{"image_id": 1, "category_id": 1, "segmentation": []}], "a list of annotations"),
        ([{"data": {}, "annotations": []}], "a Label Studio export"),
        ({"items": [], "categories": {}}, "a Datumaro file"),
    ],
)
def test_files_of_other_programs_are_named(content: Any, what: str, check: Checker) -> None:
    code, lines, _ = check(content)
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"expected a COCO annotation file, this is {what}")
    with pytest.raises(annotation_file.InputError, match=f"this is {what}"):
        annotation_file.read(check.path)


@pytest.mark.parametrize("names", [("cup", "Cup "), ("", "plate"), ("cup", "\t")])
def test_categories_of_one_name_and_blank_ones_are_notes(names: tuple[str, str], check: Checker) -> None:
    data = right()
    for category, name in zip(data["categories"], names, strict=True):
        category["name"] = name
    code, lines, _ = check(data)
    assert code == 0
    assert any(("its name is blank" in line) or ("is category" in line) for line in lines)


def test_files_of_crowds_are_a_note(check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        entry["iscrowd"] = 1
    assert check(data)[1][0].startswith("note: file: all annotations are crowds (iscrowd 1)")
    data["annotations"][0]["iscrowd"] = 0
    assert check(data)[1] == ["file.json: nothing wrong, 0 notes"]


def test_a_polygon_inside_another_is_a_note(check: Checker) -> None:
    """COCO unites polygons: what a hole was meant to be is filled."""
    data = right()
    data["annotations"][3]["segmentation"].append(outline((10, 10, 5, 5)))
    lines = check(data)[1]
    line = "1 annotations have a polygon inside another of theirs: COCO unites them, a hole needs RLE"
    assert lines[0] == f"note: file: {line}"
    data["annotations"][3]["segmentation"][1] = outline((2, 10, 5, 5))  # at its border
    assert not any("inside another" in line for line in check(data)[1])


def test_a_file_without_annotations_is_a_note(check: Checker) -> None:
    assert check(right() | {"annotations": []})[1][0].startswith("note: file: no annotations at all")


def test_paths_of_windows_are_mended_where_the_pictures_lie(check: Checker) -> None:
    folder = check.path.parent / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "sub/a.png")
    data = right()
    data["images"][0]["file_name"] = "sub\\a.png"
    assert check(data, "--images", str(folder))[0] == 2
    assert check.fixed(data, "--images", str(folder))["images"][0]["file_name"] == "sub/a.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "sub\\a.png")  # the name as it stands
    assert check.fixed(data, "--images", str(folder))["images"] == data["images"]
