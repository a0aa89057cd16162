"""Convert: every annotation gets its occluder and measures, the same bytes however many processes work."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from bcnet.data import coco
from bcnet.data.convert import MEASURES, convert
from bcnet.data.occlusion import occlusions, paste
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
        shape = coco.encode(mask) if crowd else [[x, y, x + 15, y, x + 15, y + 10, x, y + 10]]
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
            mask = expected.occluder
            occluder = coco.encode(paste(mask, HEIGHT, WIDTH)) if mask else None
            measures = {name: getattr(expected, name) for name in MEASURES}
            assert one == source | {"occluder": occluder, "occlusion": measures}
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
            drawn, mask = coco.decode(polygons, HEIGHT, WIDTH), coco.decode(occluder, HEIGHT, WIDTH)
            assert (drawn != mask).sum() <= 0.02 * mask.sum()
        assert b.items() >= a.items()


def test_an_empty_file_is_converted(tmp_path):
    (tmp_path / "in.json").write_text('{"images": [], "annotations": [], "categories": []}')
    convert(tmp_path / "in.json", tmp_path / "out.json", Convert(), jobs=2)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("out", "jobs", "expected"), [("in.json", 1, "--out"), ("o", 1, "--out"), ("o.json", 0, "--jobs 0")]
)
def test_wrong_arguments_write_nothing(annotations, tmp_path, out, jobs, expected):
    with pytest.raises(InputError, match=expected):
        convert(annotations, tmp_path / out, Convert(), jobs)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_wrong_annotations_write_nothing(annotations, tmp_path):
    content = json.loads(annotations.read_text())
    content["annotations"][3]["segmentation"] = []
    annotations.write_text(json.dumps(content))
    with pytest.raises(InputError, match="annotation 997: segmentation"):
        convert(annotations, tmp_path / "out.json", Convert(), jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]
