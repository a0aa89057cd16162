"""Habits of single programs in outlines, ids and sizes: named as a whole, mended everywhere or nowhere."""

import json
from typing import Any

import numpy as np
import pytest
from check_factory import Checker
from export_factory import BOXES, HEIGHT, WIDTH, mask, outline, right

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.files import InputError


def with_z(box: tuple[int, ...], z: int = 1) -> list[int]:
    numbers = outline(box)
    return [number for k in range(0, 8, 2) for number in (*numbers[k : k + 2], z)]


def each(**values: Any) -> dict[str, Any]:
    """The right file with these values in each annotation, made of its box where they are functions."""
    data = right()
    for entry in data["annotations"]:
        box = BOXES[entry["id"]]
        entry |= {key: value(box) if callable(value) else value for key, value in values.items()}
    return data


def test_triples_are_refused_everywhere_and_mended(check: Checker) -> None:
    """Read as pairs they are other outlines, and nothing would tell."""
    data = each(segmentation=lambda box: [with_z(box)])
    code, said, _ = check(data)
    assert code == 2
    assert "note: all 4 outlines are x, y, z triples, where COCO has x, y pairs (--fix mends all)" in said
    with pytest.raises(InputError, match="the polygons are x, y, z triples, expected x, y pairs"):
        annotation_file.read(check.path)
    assert check(data, "--fix", str(check.out))[0] == 0
    for entry in json.loads(check.out.read_text())["annotations"]:
        assert entry["segmentation"] == [outline(BOXES[entry["id"]])]


def test_triples_of_triangles_are_seen(check: Checker) -> None:
    """Nine numbers, which are no pairs; six numbers are."""
    data = each(segmentation=lambda box: [with_z(box)[:9]])
    assert any("outlines are x, y, z triples" in line for line in check(data)[1])
    data = each(segmentation=lambda box: [outline(box)[:6]])
    assert not any("x, y, z triples" in line for line in check(data)[1])


def test_one_polygon_of_pairs_tells_that_there_are_no_triples(check: Checker) -> None:
    data = each(segmentation=lambda box: [with_z(box)])
    data["annotations"][3]["segmentation"] = [outline(BOXES[4])]
    assert not any("triples" in line for line in check(data)[1])


def images_of(box: tuple[int, ...], rle: bool) -> dict[str, Any]:
    """Four images whose sides are exchanged, with an object each."""
    data = right()
    shape = encode(mask(box)) if rle else [outline(box)]
    own = {**data["annotations"][0], "bbox": list(box), "area": box[2] * box[3], "segmentation": shape}
    image = {**data["images"][0], "width": HEIGHT, "height": WIDTH}
    data["images"] = [{**image, "id": key, "file_name": f"{key}.png"} for key in range(1, 5)]
    data["annotations"] = [{**own, "id": key, "image_id": key} for key in range(1, 5)]
    return data


@pytest.mark.parametrize("rle", [False, True])
def test_exchanged_sides_are_mended_where_all_say_so(rle: bool, check: Checker) -> None:
    data = images_of((25, 5, 10, 10), rle)
    code, said, _ = check(data)
    line = "note: 4 images have annotations that fit them only if width and height are exchanged"
    assert (code, said[0]) == (2, f"{line} (--fix mends all)")
    assert check(data, "--fix", str(check.out))[0] == 0
    fixed = annotation_file.read(check.out)
    assert {(image["width"], image["height"]) for image in fixed["images"]} == {(WIDTH, HEIGHT)}
    for entry in fixed["annotations"]:
        assert np.array_equal(decode(entry["segmentation"], HEIGHT, WIDTH), mask((25, 5, 10, 10)))


def test_exchanged_sides_are_mended_nowhere_where_one_image_is_right(check: Checker) -> None:
    data = images_of((25, 5, 10, 10), False)
    low = (2, 25, 10, 12)
    data["annotations"][3] |= {"segmentation": [outline(low)], "bbox": list(low)}
    line = "note: 3 images have annotations that fit them only if width and height are exchanged; as 1 have others"
    assert check(data)[1][0].startswith(line)
    code, _, error = check(data, "--fix", str(check.out))
    assert (code, check.out.exists()) == (2, False), "objects would be cut at the border of the wrong side"
    assert "is not written: what is mended would be wrong" in error


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"bbox": lambda box: [*box, 30.0], "segmentation": []},
            "all 4 annotations have a rotated box (x, y, width, height, angle) and no mask",
        ),
        (
            {"segmentation": lambda box: [[box[0], box[1], box[0] + box[2], box[1] + box[3]]]},
            "all 4 outlines are two points, as labelme writes rectangles (corners) and circles (centre and rim)",
        ),
        (
            {"segmentation": {"format": "rle", "rle": [0, 0, 1, 2]}},
            "all 4 masks are Label Studio's brush encoding (format, rle), which is another than COCO's RLE",
        ),
    ],
)
def test_what_holds_no_mask_is_named_and_never_mended_away(values: dict[str, Any], line: str, check: Checker) -> None:
    code, said, _ = check(each(**values))
    assert (code, said[0].partition(": export")[0]) == (2, f"note: {line}")
    assert check(each(**values), "--fix", str(check.out))[0] == 2
    assert not check.out.exists()


def test_texts_as_ids_become_numbers_with_all_that_refers_to_them(check: Checker) -> None:
    data = right()
    data["images"].append({**data["images"][0], "id": "b/2", "file_name": "b.png"})
    data["images"][0]["id"] = "a/1"
    for entry in data["annotations"]:
        entry["image_id"] = "b/2" if entry["id"] == 2 else "a/1"
    assert "note: 2 ids of image are texts" in check(data)[1][0]
    assert check(data, "--fix", str(check.out))[0] == 0
    fixed = annotation_file.read(check.out)
    assert [image["id"] for image in fixed["images"]] == [1, 2]
    assert {entry["id"]: entry["image_id"] for entry in fixed["annotations"]} == {1: 1, 2: 2, 3: 1, 4: 1}


def test_one_id_for_all_annotations_gets_free_ones_and_none_is_merged(check: Checker) -> None:
    assert check(each(id=0), "--fix", str(check.out))[0] == 0
    assert [entry["id"] for entry in annotation_file.read(check.out)["annotations"]] == [0, 1, 2, 3]


def test_references_too_large_for_floats_are_not_guessed(check: Checker) -> None:
    """Images 2^53 and 2^53 + 1 are one float."""
    data = right()
    data["images"] = [{**data["images"][0], "id": 2**53 + k, "file_name": f"{k}.png"} for k in range(2)]
    for entry in data["annotations"]:
        entry["image_id"] = float(2**53 + 1)
    code, _, error = check(data, "--fix", str(check.out))
    assert (code, check.out.exists()) == (2, False)
    assert "all 4 annotations would be lost" in error


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"images": {"3": {}}}, "COCO-like, but its images are an object: write a list"),
        ({"images": [{"id": 3, "annotations": []}], "annotations": None}, "with annotations inside images"),
        ({"annotations": [{"id": 1, "caption": "a cup"}], "categories": None}, "COCO's captions"),
        ({"images": None, "image": {"image_id": 3}}, "a file of SA-1B, of one image"),
        ({"categories": ["cup", "plate"]}, 'the categories are bare names, expected objects {"id": 1, "name": "…"}'),
    ],
)
def test_sections_of_another_kind_are_named_in_one_line(changes: dict[str, Any], line: str, check: Checker) -> None:
    data = {key: value for key, value in {**right(), **changes}.items() if value is not None}
    code, said, _ = check(data)
    assert (code, len(said)) == (2, 1)
    assert line in said[0]


def test_ignore_is_a_note(check: Checker) -> None:
    _, said, _ = check(each(ignore=1))
    assert "note: file: 4 annotations have ignore, which COCO's evaluation doesn't read" in said[0]
