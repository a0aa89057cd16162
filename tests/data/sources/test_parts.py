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


def smooth(size: tuple[int, int], turned: bool = False) -> Image.Image:
    """A picture that stays itself when it is resized."""
    column, row = np.mgrid[0 : size[1], 0 : size[0]] / [[[size[1]]], [[size[0]]]]
    grey = Image.fromarray((120 * column + 120 * row).astype(np.uint8))
    return grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turned else grey


@pytest.mark.parametrize(("scale", "turned", "same"), [(1, False, True), (2, False, True), (1, True, False)])
def test_pictures_of_one_name_are_the_same_if_they_look_so(
    scale: int, turned: bool, same: bool, dataset: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saved again, or at twice the size: other bytes, the same picture. Every video has a frame of the same name."""
    for own, size, turn in ((dataset.train, (64, 48), False), (dataset.val, (64 * scale, 48 * scale), turned)):
        smooth(size, turn).save(own.images / "a.png", compress_level=3 if own is dataset.val else 9)
        annotations = content(CATEGORIES)
        annotations["images"][0] |= {"width": size[0], "height": size[1]}
        own.annotations.write_text(json.dumps(annotations))
    fetch(dataset, "mine", tmp_path / "data/mine")
    said = capsys.readouterr().err
    line = (
        "1 images of val are in train too, saved again or resized, by their names and looks (val/a.png is train/a.png)"
    )
    assert (line in said) == same
    assert (said == "") == (not same)


def test_an_image_whose_size_is_not_its_pictures_ends_the_fetch(dataset: Files, tmp_path: Path) -> None:
    """One name, two sizes in the two parts: one of them isn't the picture's."""
    of_val = content(CATEGORIES)
    of_val["images"][0] |= {"width": 2 * WIDTH, "height": 2 * HEIGHT}
    dataset.val.annotations.write_text(json.dumps(of_val))
    same_folder = dataset.model_copy(update={"val": dataset.val.model_copy(update={"images": dataset.train.images})})
    with pytest.raises(InputError, match=r"train/a\.png: the image is 16x12, its annotation says 32x24"):
        fetch(same_folder, "mine", tmp_path / "data/mine")


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


def test_pictures_of_the_other_parts_in_test_are_counted(
    dataset: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_test = dataset.model_copy(update={"test": dataset.val})
    fetch_test(with_test, "mine", tmp_path / "data/mine")
    assert capsys.readouterr().err == "", "train and val are not there yet"
    fetch(with_test, "mine", tmp_path / "data/mine")
    fetch_test(with_test, "mine", tmp_path / "data/mine")
    line = "1 images of test are in val too (test/a.png is val/a.png): numbers on test come out too high"
    assert capsys.readouterr().err.splitlines() == [f"bcnet fetch: {tmp_path}/data/mine: {line}"]


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
