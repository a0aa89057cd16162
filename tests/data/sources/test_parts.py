"""Parts of one dataset are compared before anything is trained, and amodal masks are not taken for visible ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from part_factory import CATEGORIES, HEIGHT, WIDTH, content
from PIL import Image

from bcnet.cli import main
from bcnet.data.masks.segmentation import encode
from bcnet.data.sources.fetch import fetch, fetch_test
from bcnet.data.sources.image_folders import need_images
from bcnet.files import InputError
from bcnet.layout import DatasetFiles
from bcnet.params.data import Files, Part


@pytest.fixture
def dataset(tmp_path: Path) -> Files:
    """Train and val with one picture each, of different pixels."""
    parts = {}
    for number, part in enumerate(("train", "val")):
        parts[part] = Part(annotations=tmp_path / f"{part}.json", images=tmp_path / part)
        parts[part].images.mkdir()
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(parts[part].images / "a.png")
        parts[part].annotations.write_text(json.dumps(content(CATEGORIES)))
    return Files(source="files", **parts)


def test_equal_categories_in_any_order_are_right(
    dataset: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.val.annotations.write_text(json.dumps(content(CATEGORIES[::-1])))
    fetch(dataset, "mine", tmp_path / "data/mine")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("of_val", "line"),
    [
        (
            [{"id": 1, "name": "plate"}, {"id": 2, "name": "cup"}],
            "val.json: category 1 is 'plate', which has id 2 in {train}",
        ),
        (
            [{"id": 0, "name": "cup"}, {"id": 1, "name": "plate"}],
            "val.json: category 0 is 'cup', which has id 1 in {train}",
        ),
        ([{"id": 1, "name": "cup"}], "val.json: no category 2, which is 'plate' in {train}"),
        ([*CATEGORIES, {"id": 3, "name": "fork"}], "val.json: category 3 is 'fork', not in {train}"),
        ([{"id": 1, "name": "Cup"}, CATEGORIES[1]], "val.json: category 1 is 'Cup', 'cup' in {train}"),
    ],
)
def test_other_categories_end_before_anything_of_val_is_written(
    of_val: list[dict[str, Any]], line: str, dataset: Files, tmp_path: Path
) -> None:
    dataset.val.annotations.write_text(json.dumps(content(of_val)))
    with pytest.raises(InputError) as error:
        fetch(dataset, "mine", tmp_path / "data/mine")
    expected = line.format(train=dataset.train.annotations)
    assert str(error.value) == f"{tmp_path}/{expected}: expected the same ids and names in all parts"
    assert not (tmp_path / "data/mine/annotations/instances_val.json").exists()
    assert not (tmp_path / "data/mine/images_train.tsv").exists()


def test_pictures_of_train_in_val_are_counted(
    dataset: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset.val.images / "a.png").write_bytes((dataset.train.images / "a.png").read_bytes())
    fetch(dataset, "mine", tmp_path / "data/mine")
    said = capsys.readouterr().err
    assert "1 images of val are in train too (val/a.png is train/a.png): numbers on val come out too high" in said


@pytest.mark.parametrize(("key", "source"), [("visible_mask", "cocoa_cls"), ("inmodal_seg", "kins")])
def test_amodal_masks_are_not_taken_for_visible_ones(
    key: str, source: str, dataset: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_val = content(CATEGORIES, **{key: encode(np.zeros((HEIGHT, WIDTH), bool))})
    dataset.val.annotations.write_text(json.dumps(of_val))
    with pytest.raises(InputError, match=f"annotation 1 has '{key}': its segmentation is amodal: use source: {source}"):
        fetch(dataset, "mine", tmp_path / "data/mine")
    assert main(["check", str(dataset.val.annotations)]) == 0
    assert f"note: file: 1 annotations have {key}: their segmentation is amodal" in capsys.readouterr().out


def test_the_test_part_has_the_categories_of_train(dataset: Files, tmp_path: Path) -> None:
    with_test = dataset.model_copy(update={"test": dataset.val})
    fetch(with_test, "mine", tmp_path / "data/mine")
    exchanged = [{"id": 1, "name": "plate"}, {"id": 2, "name": "cup"}]
    dataset.val.annotations.write_text(json.dumps(content(exchanged)))
    with pytest.raises(InputError, match=r"val\.json: category 1 is 'plate', which has id 2 in .*train\.json"):
        fetch_test(with_test, "mine", tmp_path / "data/mine")
    assert not (tmp_path / "data/mine/annotations/instances_test.json").exists()


@pytest.mark.parametrize(
    ("part", "command"),
    [
        ("train", "bcnet fetch d"),
        ("val", "bcnet fetch d"),
        ("test", "bcnet fetch d --test"),
        ("few", "bcnet synthesize few"),
    ],
)
def test_images_that_are_not_here_are_named_with_what_makes_them(part: str, command: str, tmp_path: Path) -> None:
    files = DatasetFiles(tmp_path / "d")
    with pytest.raises(InputError, match=rf"images/{part}: no such image folder: `{command}` makes it"):
        need_images(files, part)
    files.images(part).mkdir(parents=True)
    need_images(files, part)
