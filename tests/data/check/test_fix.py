"""`bcnet check --fix`: a copy in which what has one right answer is mended and nothing right is changed."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import fuzz_annotations
import numpy as np
import pytest
from check_factory import EMPTY, SQUARE, Checker, annotation, content
from coco_factory import like_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from bcnet.data.check.fix import fix
from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.masks.segmentation import clip, encode
from bcnet.files import InputError, read_json

COUNTS = encode(np.pad(np.ones((10, 10), bool), ((10, 10), (10, 20))))["counts"]


@pytest.mark.parametrize(
    ("wrong", "fixed", "lines"),
    [
        ({"id": "7"}, {}, ["annotation at place 0 (from 0): id: '7' -> 7"]),
        ({"id": 7.0}, {}, ["annotation at place 0 (from 0): id: 7.0 -> 7"]),
        ({"id": None}, {"id": 1}, ["annotation at place 0 (from 0): id: None -> 1"]),
        ({"image_id": "3"}, {}, ["annotation 7: image_id: '3' -> 3"]),
        ({"category_id": 1.0}, {}, ["annotation 7: category_id: 1.0 -> 1"]),
        ({"iscrowd": True}, {"iscrowd": 1}, ["annotation 7: iscrowd: True -> 1"]),
        ({"iscrowd": "0"}, {}, ["annotation 7: iscrowd: '0' -> 0"]),
        ({"iscrowd": None}, {}, ["annotation 7: iscrowd: None -> 0"]),
        ({"area": -5}, {"area": 100}, ["annotation 7: area: -5 -> 100"]),
        ({"area": None}, {"area": 100}, ["annotation 7: area: None -> 100"]),
        ({"bbox": [9, 9, -1, 4]}, {}, ["annotation 7: bbox: [9, 9, -1, 4] -> [10.0, 10.0, 10.0, 10.0]"]),
        ({"bbox": [9, 9, 99, 4]}, {}, ["annotation 7: bbox: [9, 9, 99, 4] -> [10.0, 10.0, 10.0, 10.0]"]),
        (
            {"segmentation": SQUARE},
            {},
            ["annotation 7: segmentation: one flat list: [10, 10, 20, 10, 20, 20, 10, 20] -> polygons"],
        ),
        (
            {"segmentation": [[1, 1], SQUARE]},
            {},
            [
                "annotation 7: segmentation: dropped what encloses nothing: a polygon is [1, 1], expected "
                "[x, y, x, y, …] of three points or more"
            ],
        ),
        (
            {"segmentation": [SQUARE, [60, 0, 70, 0, 70, 9]]},
            {},
            ["annotation 7: segmentation: polygon dropped: a polygon lies wholly outside the 40x30 image"],
        ),
        (
            {"segmentation": {"size": [30.0, 40], "counts": COUNTS}},
            {"segmentation": {"size": [30, 40], "counts": COUNTS}},
            ["annotation 7: segmentation: size: [30.0, 40] -> [30, 40]"],
        ),
        (
            {"segmentation": [[30, 20, 50, 20, 50, 40, 30, 40]], "bbox": [30, 20, 20, 20], "area": 400},
            {"segmentation": [[30, 30, 30, 20, 40, 20, 40, 30]], "bbox": [30, 20, 10, 10], "area": 100},
            [
                "annotation 7: segmentation: cut at the image's border: a polygon reaches outside the 40x30 image "
                "by more than 2 pixels: x 30 to 50, y 20 to 40",
                "annotation 7: bbox: [30, 20, 20, 20] -> [30.0, 20.0, 10.0, 10.0]",
                "annotation 7: area: 400 -> 100",
            ],
        ),
    ],
)
def test_what_has_one_right_answer_is_mended(wrong: dict, fixed: dict, lines: list[str], check: Checker) -> None:
    code, said, mended = check.fix(content(annotation(**wrong)), "--drop")
    assert (code, mended) == (0, content(annotation(**fixed)))
    lost = ", lost: 1 of 2 polygons of the rest" if "polygon dropped" in lines[0] else ""
    assert [line for line in said if not line.startswith("note: ")] == [
        *lines,
        f"out.json: written, {len(lines)} change{'s' * (len(lines) > 1)}{lost}",
    ]


@pytest.mark.parametrize(
    ("hopeless", "reason"),
    [
        ({"image_id": 4}, "image_id 4 is not the id of an image of this file"),
        ({"category_id": None}, "category_id None is not the id of a category of this file"),
        ({"segmentation": []}, "segmentation is [], expected polygons"),
        ({"segmentation": [[1, 1]]}, "segmentation is [], expected polygons"),
        ({"segmentation": EMPTY | {"size": [40, 30]}}, "RLE size is [40, 30], expected the image's [30, 40]"),
        ({"segmentation": EMPTY, "area": None}, "its mask is empty, so no bbox and area can be computed from it"),
        ({"iscrowd": "maybe"}, "iscrowd is 'maybe', expected 0 or 1"),
    ],
)
def test_an_annotation_that_cannot_be_saved_goes(hopeless: dict, reason: str, check: Checker) -> None:
    data = content(annotation(id=8, **hopeless), annotation(), "none")
    code, lines, fixed = check.fix(data)
    assert (code, fixed) == (2, None)  # over a tenth would be lost
    code, lines, fixed = check.fix(data, "--drop")
    assert (code, fixed) == (0, content(annotation()))
    assert lines[-1].endswith(" changes, lost: 2 of 3 annotations")
    assert any(line.startswith(f"annotation 8: removed: {reason}") for line in lines)
    assert "annotation at place 2 (from 0): removed: 'none', expected an object" in lines


def test_later_annotations_with_a_taken_id_get_free_ones(check: Checker) -> None:
    ids = [7, 1, 7, "2", 1.0, None, 2**63]
    code, lines, fixed = check.fix(content(*(annotation(id=number, area=100 + at) for at, number in enumerate(ids))))
    assert [(entry["id"], entry["area"]) for entry in fixed["annotations"]] == [
        *((7, 100), (1, 101), (3, 102), (2, 103), (4, 104), (5, 105), (6, 106))
    ]
    assert "annotation 7: id: 7 -> 3" in lines
    assert code == 0


def test_sizes_are_made_whole_or_read_from_the_pictures(check: Checker, pictures: Path) -> None:
    data = content(annotation())
    data["images"][0] |= {"id": "3", "width": "40", "height": 30.0}
    code, lines, fixed = check.fix(data)
    assert (code, fixed) == (0, content(annotation()))
    assert lines[:3] == [
        "image at place 0 (from 0): id: '3' -> 3",
        "image at place 0 (from 0): width: '40' -> 40",
        "image at place 0 (from 0): height: 30.0 -> 30",
    ]
    data["images"][0] |= {"id": 3, "width": None, "height": 30.5}
    assert check.fix(data)[::2] == (2, None)
    assert check.fix(data, "--images", str(pictures))[::2] == (0, content(annotation()))


def test_an_equal_image_goes_but_two_different_ones_with_one_id_cannot_be_fixed(check: Checker) -> None:
    data = content(annotation())
    data["images"] *= 2
    data["categories"] *= 2
    assert check.fix(data)[::2] == (0, content(annotation()))
    data["images"][1] = data["images"][1] | {"file_name": "b.png"}
    code, lines, error = check(data, "--fix", str(check.out))
    assert (code, lines) == (2, ["image 3: this id occurs twice"])
    assert error == "bcnet check: file.json: 1 problem in 1 entry cannot be fixed, out.json is not written\n"
    assert not check.out.exists()


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "", None, "a\0.png"])
def test_an_image_outside_its_folder_cannot_be_fixed(name: Any, check: Checker) -> None:
    data = content(annotation(area=-1))
    data["images"][0]["file_name"] = name
    code, lines, fixed = check.fix(data)
    assert (code, fixed) == (2, None)
    assert len(lines) == 1
    assert "file_name" in lines[0]


def test_nan_and_a_byte_order_mark_are_fixed(check: Checker) -> None:
    code, lines, fixed = check.fix(content(annotation(area=math.nan, scores=[1, {"a": math.inf}])))
    assert (code, fixed) == (0, content(annotation(scores=[1, {"a": None}])))
    assert lines[0].startswith("not valid JSON")
    assert "annotation 7: area: nan -> 100" in lines
    assert "file: annotations: id 7: scores: 1: a: inf -> null" in lines
    assert check.fix("\ufeff" + json.dumps(content(annotation())))[::2] == (0, content(annotation()))


def test_the_file_itself_is_never_written(check: Checker) -> None:
    path = check.path
    path.write_text("")
    (check.folder / "symbolic.json").symlink_to(path)
    (check.folder / "hard.json").hardlink_to(path)
    for name in ("file.json", "symbolic.json", "hard.json"):
        code, _, error = check(content(annotation(area=-1)), "--fix", str(check.folder / name))
        assert code == 2
        assert "expected another file" in error
        assert json.loads(path.read_text()) == content(annotation(area=-1))


@pytest.mark.parametrize("seed", range(3))
def test_a_file_like_cocos_own_comes_back_as_it_is(seed: int, check: Checker) -> None:
    data = like_coco(seed)
    assert check.fix(data) == (0, ["out.json: written, 0 changes"], data)


def _fill(data: Any, wrong: set[str]) -> None:
    """Complete the annotations that are right, as far as their images have a size."""
    if annotation_file.missing_sections(data):
        return
    images = annotation_file.by_id(data["images"])
    for key, entry in annotation_file.by_id(data["annotations"]).items():
        if f"annotation {key}" not in wrong and annotation_file.has_size(images[entry["image_id"]]):
            annotation_rules.fill_annotation(entry, images[entry["image_id"]])


def test_fixing_changes_nothing_that_is_right(tmp_path: Path) -> None:
    """Of the fuzzer's spoilt files, what has no problem is there again as it was; that the rest is right, it tests."""
    compared = 0
    for number in range(300):
        (tmp_path / "case.json").write_bytes(fuzz_annotations.case(number, seed=5))
        try:
            data = read_json(tmp_path / "case.json")
        except InputError:
            continue
        before, whole = copy.deepcopy(data), copy.deepcopy(data)
        wrong = {problem.entry for problem in annotation_file.problems(whole)}
        assert repr(whole) == repr(before)  # it only looks
        _fill(whole, wrong)
        fix(data, None)
        for section, what in () if annotation_file.missing_sections(data) else annotation_file.SECTIONS.items():
            after, complete = annotation_file.by_id(data[section]), annotation_file.by_id(whole[section])
            for key, entry in annotation_file.by_id(before[section]).items():
                if f"{what} {key}" not in wrong and entry == complete[key]:
                    assert after[key] == entry
                    compared += 1
    assert compared > 500


COORDINATE = st.integers(-300, 400).map(lambda tenth: tenth / 10)
INSIDE = np.stack(np.meshgrid(np.arange(15) + math.pi / 10, np.arange(20) + math.e / 10), axis=-1).reshape(-1, 2)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=8))
@settings(max_examples=300)
def test_a_cut_polygon_holds_the_points_of_the_image_that_it_held(points: list[tuple[float, float]]) -> None:
    cut = clip([coordinate for point in points for coordinate in point], height=20, width=15)
    assert all(0 <= x <= 15 for x in cut[::2])
    assert all(0 <= y <= 20 for y in cut[1::2])
    held = points_in_poly(INSIDE, np.array(points))
    np.testing.assert_array_equal(points_in_poly(INSIDE, np.array(cut).reshape(-1, 2)) if cut else held & False, held)
