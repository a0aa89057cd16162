"""Convert: every annotation gets its occluder and measures, the same bytes however many processes work."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.occlusion.convert import MEASURES, convert, gather
from bcnet.data.occlusion.geometry import occlusions
from bcnet.files import InputError
from bcnet.params.data import Convert

HEIGHT, WIDTH = 30, 40


@pytest.fixture
def annotations(tmp_path):
    """Fifty images of rectangles, their annotations mixed over the file, some of them crowds."""
    random = np.random.default_rng(0)
    images = [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.png"} for i in range(50)]
    content = {"info": {"year": 2026}, "images": images, "categories": [{"id": c, "name": str(c)} for c in (2, 5)]}
    content["annotations"] = []
    for number, image in enumerate(random.permutation(np.repeat(np.arange(45), 4)).tolist()):
        x, y = random.integers(0, 20, 2).tolist()
        crowd = int(random.random() < 0.1)
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y : y + 10, x : x + 15] = True
        shape = encode(mask) if crowd else [[x, y, x + 15, y, x + 15, y + 10, x, y + 10]]
        one = {"id": 1000 - number, "image_id": image, "category_id": random.choice([2, 5]).item(), "iscrowd": crowd}
        content["annotations"].append(one | {"bbox": [x, y, 15, 10], "area": 150.5, "segmentation": shape})
    path = tmp_path / "in.json"
    path.write_text(json.dumps(content))
    return path


def test_each_annotation_gets_what_the_geometry_says_of_its_image(annotations, tmp_path):
    out = tmp_path / "deep" / "out.json"
    convert(annotations, out, Convert(min_pixels=30), jobs=1)
    before, after = json.loads(annotations.read_text()), json.loads(out.read_text())
    assert after.keys() == before.keys()
    assert any(one["occluder"] for one in after["annotations"])
    for image in before["images"]:
        group = [one for one in before["annotations"] if one["image_id"] == image["id"]]
        found = [one for one in after["annotations"] if one["image_id"] == image["id"]]
        for one, source, expected in zip(
            found, group, occlusions(group, HEIGHT, WIDTH, Convert(min_pixels=30)), strict=True
        ):
            measures = {name: getattr(expected, name) for name in MEASURES}
            assert one == source | {"occluder": expected.occluder, "occlusion": measures}
            assert not (one["iscrowd"] and one["occluder"])


def test_the_table_has_a_row_for_each_annotation_in_file_order(annotations, tmp_path):
    convert(annotations, tmp_path / "out.json", Convert(), jobs=1)
    content = json.loads((tmp_path / "out.json").read_text())["annotations"]
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["annotation_id", "image_id", "category_id", "area", "iscrowd", *MEASURES]
    assert table.to_pylist() == [
        {
            "annotation_id": one["id"],
            **{key: one[key] for key in ("image_id", "category_id", "area")},
            "iscrowd": bool(one["iscrowd"]),
            **one["occlusion"],
        }
        for one in content
    ]


@pytest.mark.parametrize("format", ["bilayer", "released"])
def test_the_bytes_do_not_depend_on_the_number_of_processes(annotations, tmp_path, format):
    for jobs in (1, 3):
        convert(annotations, tmp_path / f"{jobs}.json", Convert(), jobs, format)
    for kind in ("json", "parquet"):
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"3.{kind}").read_bytes()


def test_converting_twice_changes_nothing(annotations, tmp_path):
    convert(annotations, tmp_path / "once.json", Convert(), jobs=1)
    convert(tmp_path / "once.json", tmp_path / "twice.json", Convert(), jobs=1)
    assert (tmp_path / "once.json").read_bytes() == (tmp_path / "twice.json").read_bytes()


def test_the_released_format_has_polygons_under_its_own_key(annotations, tmp_path):
    convert(annotations, tmp_path / "ours.json", Convert(), jobs=1)
    convert(annotations, tmp_path / "theirs.json", Convert(), jobs=1, format="released")
    ours, theirs = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ours", "theirs"))
    for a, b in zip(ours["annotations"], theirs["annotations"], strict=True):
        assert "occluder" not in b
        polygons, occluder = b["bg_object_segmentation"], a.pop("occluder")
        assert bool(polygons) == bool(occluder)
        if occluder:  # unions of rectangles of these sizes have no holes
            drawn, mask = decode(polygons, HEIGHT, WIDTH), decode(occluder, HEIGHT, WIDTH)
            assert (drawn != mask).sum() <= 0.02 * mask.sum()
        assert b.items() >= a.items()


def test_shards_put_together_are_the_whole_byte_for_byte(annotations, tmp_path):
    convert(annotations, tmp_path / "whole.json", Convert(), jobs=1)
    shards = [tmp_path / f"{k}of8.json" for k in range(1, 9)]
    for k, shard in enumerate(shards, 1):
        convert(annotations, shard, Convert(), jobs=1, shard=(k, 8))
        part = json.loads(shard.read_text())
        assert {one["image_id"] for one in part["annotations"]} <= {image["id"] for image in part["images"]}
    assert sum(len(json.loads(shard.read_text())["images"]) for shard in shards) == 50
    gather(annotations, shards[::-1], tmp_path / "gathered.json")
    for kind in ("json", "parquet"):
        assert (tmp_path / f"gathered.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()


@pytest.mark.parametrize("chosen", [[1, 2], [1, 2, 3, 3], [1, 1, 2], [4]])
def test_only_all_parts_once_are_put_together(annotations, tmp_path, chosen):
    for k in (1, 2, 3):
        convert(annotations, tmp_path / f"{k}.json", Convert(), jobs=1, shard=(k, 3))
    content = json.loads((tmp_path / "3.json").read_text())
    content["annotations"][0]["id"] = 5000
    (tmp_path / "4.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="expected each one once"):
        gather(annotations, [tmp_path / f"{k}.json" for k in chosen], tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda path: path.unlink(), "not a readable occlusion table"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "not a readable occlusion table"),
        (lambda path: pq.write_table(pq.read_table(path).select(["area"]), path), "not an occlusion table"),
        (lambda path: pq.write_table(pq.read_table(path).slice(1), path), "are not those of their annotations"),
    ],
)
def test_a_part_with_a_wrong_table_is_refused(annotations, tmp_path, spoil, line):
    parts = [tmp_path / f"{k}.json" for k in (1, 2)]
    for k, part in enumerate(parts, 1):
        convert(annotations, part, Convert(), jobs=1, shard=(k, 2))
    spoil(tmp_path / "2.parquet")
    with pytest.raises(InputError, match=line):
        gather(annotations, parts, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert not (tmp_path / "out.parquet").exists()


def test_annotations_with_amodal_masks_get_an_amodal_occluder(annotations, tmp_path):
    content = json.loads(annotations.read_text())
    for one in content["annotations"][::2]:  # the whole image, so all others occlude it and it all others
        one["amodal_segmentation"] = encode(np.ones((HEIGHT, WIDTH), bool))
        one["amodal_bbox"] = [0, 0, WIDTH, HEIGHT]
    annotations.write_text(json.dumps(content))
    convert(annotations, tmp_path / "out.json", Convert(min_box_iou=0), jobs=1)
    after = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert any(one["occluder"] != one.get("amodal_occluder") for one in after)
    for one in after:
        assert ("amodal_occluder" in one) == ("amodal_segmentation" in one)
        others = [o for o in after if o["image_id"] == one["image_id"] and o is not one and not o["iscrowd"]]
        if "amodal_segmentation" in one and not one["iscrowd"]:
            masks = [decode(o.get("amodal_segmentation", o["segmentation"]), HEIGHT, WIDTH) for o in others]
            expected = encode(np.any(masks, 0)) if masks else None
            assert one["amodal_occluder"] == expected


def test_in_front_needs_a_depth_somewhere(annotations, tmp_path):
    with pytest.raises(InputError, match=r"convert\.in_front: true needs annotations with 'depth'"):
        convert(annotations, tmp_path / "out.json", Convert(in_front=True), jobs=1)
    content = json.loads(annotations.read_text())
    content["annotations"][7]["depth"] = 0
    annotations.write_text(json.dumps(content))
    for k in (1, 2):  # whichever part of the images it is in
        convert(annotations, tmp_path / "out.json", Convert(in_front=True), jobs=1, shard=(k, 2))


@pytest.mark.parametrize("depth", ["far", None, -1, True, [0]])
def test_a_wrong_depth_is_an_error_only_where_it_counts(annotations, tmp_path, depth):
    content = json.loads(annotations.read_text())
    content["annotations"][3]["depth"] = depth
    annotations.write_text(json.dumps(content))
    convert(annotations, tmp_path / "out.json", Convert(), jobs=1)
    with pytest.raises(InputError, match=r"annotation 997: depth is .*expected a number from 0"):
        convert(annotations, tmp_path / "front.json", Convert(in_front=True), jobs=1)


def test_of_several_ids_that_are_there_twice_the_first_repetition_is_named(annotations, tmp_path):
    content = json.loads(annotations.read_text())
    ids = [one["id"] for one in content["annotations"]]
    content["annotations"][8]["id"], content["annotations"][9]["id"] = ids[5], ids[2]
    annotations.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"annotation {ids[5]}: this id occurs twice"):
        convert(annotations, tmp_path / "out.json", Convert(), jobs=1)


@pytest.mark.parametrize("place", ["head", "annotation"])
def test_what_cannot_be_written_is_an_error_in_one_line(annotations, tmp_path, place):
    content = json.loads(annotations.read_text())
    deep = json.loads("[" * 400 + "]" * 400)
    if place == "head":
        content["info"]["deep"] = deep
    else:
        content["annotations"][3]["deep"] = deep
    annotations.write_text(json.dumps(content))
    with pytest.raises(InputError, match="cannot be written as JSON"):
        convert(annotations, tmp_path / "out.json", Convert(), jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_an_empty_file_is_converted(tmp_path):
    (tmp_path / "in.json").write_text('{"images": [], "annotations": [], "categories": []}')
    convert(tmp_path / "in.json", tmp_path / "out.json", Convert(), jobs=2)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("out", "jobs", "shard", "expected"),
    [
        ("in.json", 1, (1, 1), "--out"),
        ("o", 1, (1, 1), "--out"),
        ("o.json", 0, (1, 1), "--jobs 0"),
        ("o.json", 1, (0, 8), "--shard 0/8"),
        ("o.json", 1, (9, 8), "--shard 9/8"),
    ],
)
def test_wrong_arguments_write_nothing(annotations, tmp_path, out, jobs, shard, expected):
    with pytest.raises(InputError, match=expected):
        convert(annotations, tmp_path / out, Convert(), jobs, shard=shard)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["annotations"][3].update(segmentation=[]),
        lambda content: content["annotations"][3].update(segmentation=[[float("nan")] * 6]),
        lambda content: content["annotations"][3].update(id=content["annotations"][2]["id"]),
        lambda content: content["annotations"][3].update(id="7"),
        lambda content: content["annotations"][3].update(id=True),
        lambda content: content["annotations"][3].update(id=2**70),
        lambda content: content["annotations"][3].pop("id"),
        lambda content: content["annotations"][3].update(image_id=77),
        lambda content: content["annotations"][3].update(image_id=1.0),
        lambda content: content["annotations"][3].update(category_id=3),
        lambda content: content["annotations"].insert(3, None),
        lambda content: content.update(annotations={}),
        lambda content: content.pop("annotations"),
        lambda content: content["images"][0].update(width=0),
        lambda content: content["categories"].append({"id": 2, "name": "again"}),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_wrong_annotations_write_nothing_and_are_named_as_by_coco_read(annotations, tmp_path, change, jobs):
    content = json.loads(annotations.read_text())
    change(content)
    annotations.write_text(json.dumps(content))
    with pytest.raises(InputError) as expected:
        annotation_file.read(annotations)
    with pytest.raises(InputError) as found:
        convert(annotations, tmp_path / "out.json", Convert(), jobs)
    assert str(found.value) == str(expected.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]
