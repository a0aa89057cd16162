"""Splits: whole images whose value reaches the threshold, or that a file lists; the rule written into the file."""

import json
from hashlib import sha256

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as rle

from bcnet.cli import main
from bcnet.data.masks import segmentation
from bcnet.data.occlusion.convert import COLUMNS
from bcnet.data.splits.split import split
from bcnet.files import InputError
from bcnet.params.data import Split

SIZE = 20
NOT_OCCLUDED = {"box_cover": 0.0, "mask_cover": 0.0, "max_box_iou": 0.0, "n_occluders": 0, "same_category": False}


def annotation(number, image, box, category=1, crowd=0, **occlusion):
    x, y, w, h = box
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
        "bbox": box,
        "area": w * h,
        "iscrowd": crowd,
        "occluder": None,
        "occlusion": {**NOT_OCCLUDED, **occlusion},
    }


CONTENT = {
    "info": {"year": 2026},
    "images": [{"id": i, "height": SIZE, "width": SIZE, "file_name": f"{i}.png"} for i in (5, 4, 3, 2)],
    "annotations": [  # 5 is empty; 4 and 3 have two objects, of one category and of two; 2 has one object and a crowd
        annotation(1, 2, [0, 0, 4, 4], mask_cover=0.1),
        annotation(2, 3, [0, 0, 10, 2], box_cover=0.5),
        annotation(3, 4, [0, 0, 10, 1]),
        annotation(4, 3, [8, 0, 2, 2], category=2),
        annotation(5, 4, [8, 0, 10, 1]),
        annotation(6, 2, [0, 0, 4, 4], crowd=1, mask_cover=1.0),
    ],
    "categories": [{"id": 1, "name": "thing"}, {"id": 2, "name": "other"}, {"id": 9, "name": "none of these"}],
}


@pytest.fixture
def converted(tmp_path):
    path = tmp_path / "bilayer.json"
    path.write_text(json.dumps(CONTENT))
    return path


def split_of(converted, rule):
    out = converted.with_name("out.json")
    split(converted, out, "name", rule)
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("rule", "images"),
    [
        (Split(), [5, 4, 3, 2]),
        (Split(rule="box_iou", threshold=0.2), [3]),  # 4 of 20; in image 4: 2 of 18
        (Split(rule="box_iou", threshold=0.2001), None),
        (Split(rule="box_iou", threshold=0.11), [4, 3]),
        (Split(rule="box_iou", threshold=0.11, same_category=True), [4]),
        (Split(rule="box_iou", threshold=0), [4, 3]),  # neither an empty image nor one object has a pair
        (Split(rule="box_iou_inclusive", threshold=6 / 38), [4, 3]),  # 3 * 2 of 2 * (11 * 2) - 6
        (Split(rule="box_over_smaller", threshold=1), [3]),
        (Split(rule="box_over_larger", threshold=0.2), [4, 3]),
        (Split(rule="box_cover", threshold=0.5), [3]),
        (Split(rule="mask_cover", threshold=0.1), [2]),
        (Split(rule="mask_cover", threshold=0.2), None),  # a crowd does not count
        (Split(rule="mask_cover", threshold=0), [4, 3, 2]),  # an empty image has no object that reaches even 0
        (Split(rule="image_overlap", threshold=0.2), [3]),
    ],
    ids=lambda value: f"{value.rule}-{value.threshold}" if isinstance(value, Split) else None,
)
def test_a_rule_selects_whole_images(converted, rule, images):
    if images is None:
        with pytest.raises(
            InputError, match=rf"split 'name' \({rule.rule} {rule.threshold}\) selects none of 4 images"
        ):
            split_of(converted, rule)
        assert not converted.with_name("out.json").exists()
        return
    about = {"name": "name", "rule": rule.rule, "threshold": rule.threshold, "same_category": rule.same_category}
    about |= {"masks": "visible", "other_images": sorted({2, 3, 4, 5} - set(images))}
    assert split_of(converted, rule) == CONTENT | {
        "info": {"year": 2026, "split": about},
        "images": [image for image in CONTENT["images"] if image["id"] in images],
        "annotations": [one for one in CONTENT["annotations"] if one["image_id"] in images],
    }


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "annotation 3 has no 'occlusion' with box_cover"),
        ({"box_cover": 0.1}, "annotation 3 has no 'occlusion' with box_cover"),
        (NOT_OCCLUDED | {"mask_cover": "high"}, "annotation 3: occlusion.mask_cover: 'high': expected 0 to 1"),
        (NOT_OCCLUDED | {"n_occluders": -1}, "annotation 3: occlusion: expected n_occluders a whole number"),
        (NOT_OCCLUDED | {"same_category": 1}, "annotation 3: occlusion: expected n_occluders a whole number"),
    ],
)
@pytest.mark.parametrize("rule", [Split(), Split(rule="box_iou", threshold=0.2)])
def test_a_file_that_was_not_converted_says_what_to_do(converted, rule, value, line):
    content = json.loads(converted.read_text())
    content["annotations"][2]["occlusion"] = value
    converted.write_text(json.dumps(content))
    with pytest.raises(InputError, match=line):
        split_of(converted, rule)


def test_the_table_is_that_of_the_splits_annotations(converted):
    out = split_of(converted, Split(rule="box_iou", threshold=0.11))
    table = pq.read_table(converted.parent / "out.parquet")
    assert table.column_names == list(COLUMNS)
    rows = [{**one, **one["occlusion"], "annotation_id": one["id"]} for one in out["annotations"]]
    assert rows
    assert table.to_pylist() == [{name: row[name] for name in COLUMNS} for row in rows]


def test_the_annotations_are_never_overwritten(converted):
    before = converted.read_bytes()
    with pytest.raises(InputError, match=r"expected a \.json file other than --annotations"):
        split(converted, converted.parent / "." / converted.name, "name", Split(rule="box_iou", threshold=0.2))
    assert converted.read_bytes() == before


AUTHORS = json.dumps({"images": [{"id": 3}, {"id": 5}], "annotations": [{"id": 1, "area": "of the box"}]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ids.txt", "5\n3\n"),
        ("ids.txt", "\ufeff000000000003\r\n\r\n 5 \r\n5"),
        ("instances_val_occ_new.json", AUTHORS),
    ],
)
def test_a_file_lists_the_images_and_ours_is_the_ground_truth(converted, name, text):
    path = converted.with_name(name)
    path.write_bytes(text.encode())
    result = split_of(converted, Split(rule="image_ids", file=path))
    assert [image["id"] for image in result["images"]] == [5, 3]  # in the order of the annotations, not of the list
    assert result["annotations"] == [one for one in CONTENT["annotations"] if one["image_id"] == 3]
    about = {"name": "name", "rule": "image_ids", "threshold": None, "same_category": False, "masks": "visible"}
    about |= {"file": name, "file_sha256": sha256(text.encode()).hexdigest(), "other_images": [2, 4]}
    assert result["info"]["split"] == about


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("ids.txt", b"3\n17\n4\n18\n17", "2 of its 4 images are not in the annotations, the first is 17"),
        ("ids.txt", b"\n \n", "lists no image, expected a COCO-format"),
        ("ids.txt", b"3\n3.jpg\n", "ids.txt:2: '3.jpg': expected an image id"),
        ("ids.txt", b"9" * 5000, "expected an image id"),
        ("ids.txt", b"1_0", "ids.txt:1: '1_0': expected an image id"),
        ("ids.txt", b"3\n\xff", "ids.txt: not a text: invalid start byte at byte 2"),
        ("ids.json", b'{"images": [{"id": 99}]}', "1 of its 1 images are not in the annotations, the first is 99"),
        ("ids.json", b'{"images": []}', "lists no image"),
        ("ids.json", b'{"images": [{"id": 3}, {"id": "4"}]}', "image at place 1 (from 0) has no whole number as 'id'"),
        ("ids.json", b"[3, 4]", "no list 'images', expected a COCO-format file"),
        ("ids.json", b"3\n4", "not valid JSON"),
        ("gone.txt", None, "gone.txt: cannot be read: No such file or directory"),
        ("gone.json", None, "gone.json: cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_list_ends_in_one_line(converted, name, content, line):
    path = converted.with_name(name)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        split_of(converted, Split(rule="image_ids", file=path))
    assert line in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert not converted.with_name("out.json").exists()


def with_amodal(content):
    """The content with amodal masks: each a row of five pixels more than what is visible of it."""
    content = json.loads(json.dumps(content))
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        mask = np.zeros((SIZE, SIZE), bool)
        mask[y : y + h, x : x + w] = True
        mask[SIZE - 1, :5] = True
        one["amodal_segmentation"] = segmentation.encode(mask)
        one["amodal_bbox"] = rle.toBbox(one["amodal_segmentation"]).tolist()
    return content


def test_amodal_ground_truth_stands_in_place_of_the_visible(converted):
    amodal = with_amodal(CONTENT)
    converted.write_text(json.dumps(amodal))
    rule = {"rule": "box_iou", "threshold": 0.2}
    visible, result = (split_of(converted, Split(masks=kind, **rule)) for kind in ("visible", "amodal"))
    assert [image["id"] for image in result["images"]] == [3]  # of visible boxes: the amodal ones all reach 0.2
    assert result["info"]["split"] == visible["info"]["split"] | {"masks": "amodal"}
    assert result["annotations"] == [
        one
        | {
            "segmentation": one["amodal_segmentation"],
            "visible_segmentation": one["segmentation"],
            "bbox": one["amodal_bbox"],
            "area": one["bbox"][2] * one["bbox"][3] + 5,
        }
        for one in amodal["annotations"]
        if one["image_id"] == 3
    ]
    assert result["annotations"][1]["bbox"] == [0, 0, 10, 20]


def test_an_object_that_is_visible_nowhere_is_ground_truth_only_amodally(converted):
    content = with_amodal(CONTENT)
    hidden = content["annotations"][1]
    hidden |= {"segmentation": segmentation.encode(np.zeros((SIZE, SIZE), bool)), "area": 0}
    converted.write_text(json.dumps(content))
    names = [one["id"] for one in content["annotations"]]
    visible, amodal = (split_of(converted, Split(masks=kind)) for kind in ("visible", "amodal"))
    assert [one["id"] for one in amodal["annotations"]] == names
    assert [one["id"] for one in visible["annotations"]] == [name for name in names if name != hidden["id"]]


OUTSIDE = [0, 0, SIZE + 9, 4]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        ({}, "annotation 1 has no 'amodal_segmentation', which masks: amodal needs of every annotation"),
        ({3: {}}, "annotation 3 has no 'amodal_segmentation'"),
        ({3: {"amodal_segmentation": [[1, 2]]}}, r"annotation 3: amodal_segmentation: a polygon is \[1, 2\]"),
        ({4: {"amodal_bbox": OUTSIDE}}, "annotation 4: amodal_bbox is"),
    ],
)
def test_amodal_ground_truth_is_there_for_every_annotation(converted, spoil, line):
    if spoil:
        ((number, values),) = spoil.items()
        content = with_amodal(CONTENT)
        one = next(one for one in content["annotations"] if one["id"] == number)
        one |= values
        if not values:
            del one["amodal_segmentation"]
        converted.write_text(json.dumps(content))
    with pytest.raises(InputError, match=line):
        split_of(converted, Split(masks="amodal"))
    assert not converted.with_name("out.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "--rule val",
        "--out s.json",
        "",
        "--explain --rule val",
        "--rule val --out s.json --ids i.txt",
        "--rule val --out s.json --count 0",
    ],
)
def test_arguments_that_do_not_go_together(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["split", "--annotations", "a.json", *arguments.split()])
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith(("bcnet split: --", "bcnet split: expected --"))
