"""`bcnet check`: all problems at once, and notes apart from them."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from check_factory import EMPTY, Checker, annotation, content
from coco_factory import like_coco, write_folder
from PIL import Image


def test_nothing_wrong(check: Checker) -> None:
    assert check(content(annotation())) == (0, ["file.json: nothing wrong, 0 notes"], "")


def test_every_problem_of_every_entry_is_a_line(check: Checker) -> None:
    data = content(
        annotation(iscrowd=2, area=-1, bbox=[0, 0, 99, 9], segmentation=[[1, 2, 3], [0, 0, 99, 0, 9, 9]]),
        annotation(),
        annotation(id=None, image_id=4, category_id="1"),
        "no entry",
        annotation(id=8, image_id=5, bbox=None, segmentation=None),
    )
    data["images"] += [{"id": 3, "width": 0, "height": 2.5, "file_name": "/b"}, {"id": 5, "file_name": "c"}]
    data["categories"] += [{"id": 1}, {"id": -1, "name": "dog"}]
    code, lines, error = check(data)
    assert code == 2
    assert error == "bcnet check: file.json: 19 problems in 7 entries\n"
    assert sorted(lines) == sorted(
        [
            "image 3: this id occurs twice",
            "image 3: width is 0, expected a whole number of pixels",
            "image 3: height is 2.5, expected a whole number of pixels",
            "image 3: file_name '/b' leaves the image folder or contains a tab, line end or control character",
            "image 5: width is missing, expected a whole number of pixels",
            "image 5: height is missing, expected a whole number of pixels",
            "category 1: this id occurs twice",
            "category 1: name is missing, expected a text",
            "category at place 2 (from 0) has no whole number as 'id'",
            "annotation 7: iscrowd is 2, expected 0 or 1",
            "annotation 7: a polygon is [1, 2, 3], expected [x, y, x, y, …] of three points or more",
            "annotation 7: a polygon reaches outside the 40x30 image by more than 2 pixels: x 0 to 99, y 0 to 9",
            "annotation 7: area is -1, expected a number of pixels",
            "annotation 7: bbox is [0, 0, 99, 9], expected [x, y, width, height] inside the 40x30 image",
            "annotation 7: this id occurs twice",
            "annotation at place 2 (from 0) has no whole number as 'id'",
            "annotation at place 2 (from 0): image_id 4 is not the id of an image of this file",
            "annotation at place 2 (from 0): category_id '1' is not the id of a category of this file",
            "annotation at place 3 (from 0) has no whole number as 'id'",
        ]
    )


def test_long_lists_stay_readable(check: Checker) -> None:
    data = content(*(annotation(id=i, area=-i, iscrowd=i) for i in range(2, 27)))
    lines = check(data)[1]
    assert lines[20] == "and 5 more of this kind" == lines[41]
    assert len(lines) == 42
    assert len(check(data, "--all")[1]) == 50


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "not valid JSON"),
        ("[" * 9999, "not valid JSON"),
        ("[]", "3 problems in 3 entries"),
        ('{"images": {}}', "1 problem in 1 entry"),
    ],
)
def test_what_is_no_annotation_file_ends_in_one_line(text: str, line: str, check: Checker) -> None:
    for arguments in ([], ["--fix", str(check.out)]):
        code, _, error = check(text, *arguments)
        assert code == 2
        assert (line in error and error.count("\n") == 1) or (arguments and "cannot be fixed" in error)
    assert not check.out.exists()


def test_nan_is_named_where_it_is_and_as_no_json(check: Checker) -> None:
    code, lines, error = check(content(annotation(area=math.nan), annotation(id=8, score=math.inf)))
    assert code == 2
    assert lines[0].startswith("not valid JSON")
    assert lines[1:] == ["annotation 7: area is nan, expected a number of pixels"]
    assert error.endswith("2 problems in 2 entries\n")


DUPLICATE = "note: annotation 8: its image, category and mask are those of annotation 7"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"annotations": [annotation(), annotation(id=8)]}, [DUPLICATE]),
        ({"annotations": [annotation(), annotation(id=8, iscrowd=1)]}, []),
        (
            {"annotations": []},
            [
                "note: file: no annotations at all: was an export without masks chosen?",
                "note: image 3: no annotations",
                "note: category 1: no annotations",
            ],
        ),
        (
            {"annotations": [annotation(bbox=[4, 10, 10, 10])]},
            ["note: annotation 7: bbox is [4, 10, 10, 10], its mask's is [10.0, 10.0, 10.0, 10.0]"],
        ),
        ({"annotations": [annotation(bbox=[5, 5, 20, 20])]}, []),
        ({"annotations": [annotation(area=201)]}, ["note: annotation 7: area is 201, its mask has 100 pixels"]),
        ({"annotations": [annotation(area=200)]}, []),
        ({"annotations": [annotation(area=49)]}, ["note: annotation 7: area is 49, its mask has 100 pixels"]),
        ({"annotations": [annotation(segmentation=EMPTY)]}, ["note: annotation 7: its mask is empty"]),
    ],
)
def test_what_is_odd_but_legal_is_a_note(changes: dict, lines: list[str], check: Checker) -> None:
    code, said, error = check(content() | changes)
    assert (code, said, error) == (
        0,
        [*lines, f"file.json: nothing wrong, {len(lines)} note{'s' * (len(lines) != 1)}"],
        "",
    )


def test_what_is_left_out_is_a_note(check: Checker) -> None:
    left = annotation()
    del left["iscrowd"], left["area"]
    _, lines, _ = check(content(left))
    assert lines[:2] == [
        "note: annotation 7: no iscrowd, 0 is taken",
        "note: annotation 7: no area, its mask's is taken",
    ]


def test_two_images_with_one_picture_are_a_note(check: Checker) -> None:
    data = content(annotation(), annotation(id=8, image_id=4))
    data["images"].append(data["images"][0] | {"id": 4, "file_name": "./a.png"})
    assert check(data)[1][0] == "note: image 4: its file is that of image 3"


@pytest.mark.parametrize("seed", range(3))
def test_a_file_like_cocos_own_has_nothing_wrong_and_nothing_odd(seed: int, check: Checker) -> None:
    write_folder(check.folder / "coco", val2017=(data := like_coco(seed)))
    code, lines, error = check(data, "--images", str(check.folder / "coco/val2017"))
    assert (code, error) == (0, "")
    assert lines[:2] == ["file.json: nothing wrong, 0 notes", "sizes for params.yaml that fit these images and boxes:"]


def test_every_picture_is_decoded_and_measured(check: Checker, pictures: Path) -> None:
    data = content(annotation(), *(annotation(id=number, image_id=number) for number in (4, 5, 6)))
    for number, name in ((4, "none.png"), (5, "broken.png"), (6, "small.png")):
        data["images"].append(data["images"][0] | {"id": number, "file_name": name})
    code, lines, error = check(data, "--images", str(pictures))
    assert code == 2
    assert lines[0] == "image 4: no such image file: 'none.png'"
    assert lines[1].startswith("image 5: not a readable image: ")
    assert lines[2] == "image 6: the image is 4x3, its annotation says 40x30: 'small.png'"
    assert lines[3:] == ["note: image file: not in the annotations: 'sub/extra.JPG'"]
    assert error == "bcnet check: file.json: 3 problems in 3 entries\n"
    assert check.fix(data, "--images", str(pictures))[::2] == (2, None)


def test_pictures_whose_values_use_few_of_their_bits_are_noted(check: Checker, pictures: Path) -> None:
    for name in ("small.png", "sub/extra.JPG", "broken.png"):
        (pictures / name).unlink()
    for high, bits in ((255, 8), (4095, 12), (65535, None)):
        Image.fromarray(np.full((30, 40), high, np.uint16)).save(pictures / "a.png")
        lines = check(content(annotation()), "--images", str(pictures))[1]
        note = f"note: image 3: its 16-bit values use {bits} bits, and are taken as such: 'a.png'"
        assert [line for line in lines if line.startswith("note")] == ([note] if bits else [])


def test_a_missing_folder_of_pictures_is_said(check: Checker) -> None:
    code, _, error = check(content(annotation()), "--images", "nowhere")
    assert (code, error) == (2, "bcnet check: --images nowhere: no such image folder\n")


def test_the_folder_around_the_right_one_is_told(check: Checker, pictures: Path) -> None:
    code, _, error = check(content(annotation()), "--images", str(pictures.parent))
    assert (code, error.count("\n")) == (2, 1)
    assert error.endswith(": has none of the images, all are in: pictures\n")
    shutil.copytree(pictures, pictures.parent / "train")  # with the same names: it cannot tell which is meant
    _, _, error = check(content(annotation()), "--images", str(pictures.parent))
    assert error.endswith(": has none of the images, all are in: pictures, train\n")
