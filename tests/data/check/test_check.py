"""`bcnet check`: all problems at once, notes apart from them, and a fixed copy in which nothing right is changed."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import fuzz_annotations
import numpy as np
import pytest
from coco_factory import like_coco, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.measure import points_in_poly

from bcnet.cli import main
from bcnet.data.check.fix import fix
from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.masks.segmentation import clip, encode
from bcnet.files import InputError, read_json

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def annotation(**values: Any) -> dict[str, Any]:
    square = {"id": 7, "image_id": 3, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [10, 10, 10, 10]}
    return square | {"segmentation": [SQUARE]} | values


def content(*annotations: Any) -> dict[str, Any]:
    image = {"id": 3, "width": 40, "height": 30, "file_name": "a.png"}
    return {"images": [image], "annotations": list(annotations), "categories": [{"id": 1, "name": "cat"}]}


class Checker:
    """Runs `bcnet check` in a folder and keeps what it says."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, data: Any, *arguments: str) -> tuple[int, list[str], str]:
        """Exit code, lines, and the line of the error."""
        path = self.folder / "file.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        code = main(["check", str(path), *arguments])
        said = self.capsys.readouterr()
        return code, said.out.replace(f"{self.folder}/", "").splitlines(), said.err.replace(f"{self.folder}/", "")

    def fix(self, data: Any, *arguments: str) -> tuple[int, list[str], Any]:
        """Exit code, lines, and the fixed content, None if none was written."""
        out = self.folder / "out.json"
        code, lines, _ = self(data, "--fix", str(out), *arguments)
        if not out.exists():
            return code, lines, None
        assert main(["check", str(out)]) == 0
        self.capsys.readouterr()
        return code, lines, json.loads(out.read_text())


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checker:
    return Checker(tmp_path, capsys)


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
    for arguments in ([], ["--fix", str(check.folder / "out.json")]):
        code, _, error = check(text, *arguments)
        assert code == 2
        assert (line in error and error.count("\n") == 1) or (arguments and "cannot be fixed" in error)
    assert not (check.folder / "out.json").exists()


def test_nan_is_named_where_it_is_and_as_no_json(check: Checker) -> None:
    code, lines, error = check(content(annotation(area=math.nan), annotation(id=8, score=math.inf)))
    assert code == 2
    assert lines[0].startswith("not valid JSON")
    assert lines[1:] == ["annotation 7: area is nan, expected a number of pixels"]
    assert error.endswith("2 problems in 2 entries\n")


DUPLICATE = "note: annotation 8: its image, category and mask are those of annotation 7"
EMPTY = {"size": [30, 40], "counts": [1200]}


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
    assert (code, said, error) == (0, [*lines, f"file.json: nothing wrong, {len(lines)} notes"], "")


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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name, size in (("a.png", (40, 30)), ("small.png", (4, 3)), ("sub/extra.JPG", (4, 4))):
        Image.new("RGB", size).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "readme.txt").write_text("no picture")
    return folder


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
    assert error.endswith(": has none of the images, but pictures has all: try pictures\n")


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
        f"out.json: written, {len(lines)} changes{lost}",
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
    (check.folder / "out.json").unlink()
    assert check.fix(data)[::2] == (2, None)
    assert check.fix(data, "--images", str(pictures))[::2] == (0, content(annotation()))


def test_an_equal_image_goes_but_two_different_ones_with_one_id_cannot_be_fixed(check: Checker) -> None:
    data = content(annotation())
    data["images"] *= 2
    data["categories"] *= 2
    assert check.fix(data)[::2] == (0, content(annotation()))
    (check.folder / "out.json").unlink()
    data["images"][1] = data["images"][1] | {"file_name": "b.png"}
    code, lines, error = check(data, "--fix", str(check.folder / "out.json"))
    assert (code, lines) == (2, ["image 3: this id occurs twice"])
    assert error == "bcnet check: file.json: 1 problem in 1 entry cannot be fixed, out.json is not written\n"
    assert not (check.folder / "out.json").exists()


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
    path = check.folder / "file.json"
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
    for key, annotation in annotation_file.by_id(data["annotations"]).items():
        if f"annotation {key}" not in wrong and annotation_file.has_size(images[annotation["image_id"]]):
            annotation_rules.fill_annotation(annotation, images[annotation["image_id"]])


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
