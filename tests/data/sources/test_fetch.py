"""Fetch: made data and a user's own end up in one layout, checked; a user's files are never touched."""

import json
import shutil

import numpy as np
import pytest
from own_data_factory import HEIGHT, WIDTH, assert_fetched, make_part, own_files, snapshot
from PIL import Image

from bcnet.cli import main
from bcnet.data.coco import annotation_file
from bcnet.data.sources.fetch import fetch, fetch_test
from bcnet.files import InputError
from bcnet.params.data import Coco, Files, Part, Shapes


@pytest.mark.parametrize("source", ["files", "coco"])
def test_own_data_is_checked_and_linked_and_never_touched(user, tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths in params.yaml are relative to it
    root = user.relative_to(tmp_path)
    dataset = own_files(root) if source == "files" else Coco(source="coco", folder=root)
    folder = tmp_path / "data" / "mine"
    before = snapshot(user)
    fetch(dataset, "mine", folder)
    first = {path: content for path, (content, _) in snapshot(folder).items()}
    fetch(dataset, "mine", folder)
    assert {path: content for path, (content, _) in snapshot(folder).items()} == first
    assert snapshot(user) == before
    assert (folder / "images/train").readlink() == user / "train2017"
    names = {"train": ["a.png", "b.jpg", "deep/c.png"], "val": ["v.png"]}
    assert_fetched(folder, {f"{part}/{n}": user / f"{part}2017" / n for part in names for n in names[part]})
    (annotation,) = json.loads((folder / "annotations/instances_val.json").read_text())["annotations"]
    assert (annotation["bbox"], annotation["area"], annotation["iscrowd"]) == ([3, 2, 6, 6], 36, 0)


def test_amodal_datasets_arrive_in_the_projects_format(user, tmp_path):
    shape = [2, 2, 9, 2, 9, 8, 2, 8]
    for part, name in (("train", "a.png"), ("val", "v.png")):
        images = [{"id": 1, "height": HEIGHT, "width": WIDTH, "file_name": name}]
        kins = {"id": 5, "image_id": 1, "category_id": 4, "a_segm": [shape], "i_segm": [shape]}
        region = {"segmentation": shape, "order": 1, "isStuff": 0}
        cocoa = {"image_id": 1, "depth_constraint": "", "regions": [region]}
        for source, annotation in (("kins", kins), ("cocoa", cocoa)):
            content = {"images": images, "annotations": [annotation], "categories": [{"id": 4, "name": "car"}]}
            (tmp_path / f"{source}-{part}.json").write_text(json.dumps(content))
    for source in ("kins", "cocoa"):
        parts = {
            part: Part(annotations=tmp_path / f"{source}-{part}.json", images=user / f"{part}2017")
            for part in ("train", "val")
        }
        folder = tmp_path / "data" / source
        fetch(Files(source=source, **parts), source, folder)
        assert_fetched(folder, {"train/a.png": user / "train2017/a.png", "val/v.png": user / "val2017/v.png"})
        (annotation,) = annotation_file.read(folder / "annotations/instances_val.json")["annotations"]
        assert annotation["amodal_bbox"] == annotation["bbox"] == [2, 2, 7, 6]
        assert (annotation["category_id"], annotation["area"]) == (4 if source == "kins" else 1, 42)


def test_pictures_that_no_annotation_names_do_not_matter(user, tmp_path):
    (user / "train2017/notes.txt").write_text("no picture")
    fetch(own_files(user), "mine", tmp_path / "mine")
    assert "notes" not in (tmp_path / "mine/images_train.tsv").read_text()


def test_a_link_to_another_folder_is_replaced(user, tmp_path):
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    (folder / "images/train").symlink_to(user / "val2017")
    fetch(own_files(user), "mine", folder)
    assert (folder / "images/train").readlink() == user / "train2017"
    assert (user / "val2017/v.png").exists()


def test_a_folder_in_the_place_of_the_link_is_not_deleted(user, tmp_path):
    precious = tmp_path / "mine/images/train/precious.png"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"1")
    with pytest.raises(InputError, match=r"images/train: is a folder, expected a link to .*train2017"):
        fetch(own_files(user), "mine", tmp_path / "mine")
    assert precious.exists()


def test_pictures_and_annotations_that_lie_in_the_datasets_folder(user, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(user / "train2017", folder / "images/train")
    own = own_files(user)
    inside = own.model_copy(update={"train": own.train.model_copy(update={"images": folder / "images/train"})})
    fetch(inside, "mine", folder)
    assert not (folder / "images/train").is_symlink()
    assert (folder / "images/train/b.jpg").exists()
    annotations = folder / "annotations/instances_train.json"
    with pytest.raises(InputError, match="keep your own annotations outside"):
        fetch(own.model_copy(update={"train": Part(annotations=annotations, images=user)}), "mine", folder)


def test_a_rotated_picture_fits_annotations_of_either_way_it_can_be_seen(user, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = user / "train2017/b.jpg"
    for size in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)):  # stored as annotated; upright as annotated
        Image.new("L", size).save(path, exif=exif)
        fetch(own_files(user), "mine", tmp_path / "mine")


def truncated(user):
    path = user / "train2017/b.jpg"
    path.write_bytes(path.read_bytes()[:-300])


def of_another_size(user):
    Image.new("RGB", (5, 7)).save(user / "train2017/b.jpg")


def missing(user):
    (user / "train2017/b.jpg").unlink()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (truncated, "not a readable image"),
        (of_another_size, "the image is 5x7, its annotation says 16x12"),
        (missing, "No such file"),
    ],
)
def test_a_spoiled_picture_is_named(user, tmp_path, spoil, expected):
    spoil(user)
    with pytest.raises(InputError) as error:
        fetch(own_files(user), "mine", tmp_path / "mine")
    assert expected in str(error.value)
    assert str(error.value).startswith(str(user / "train2017/b.jpg"))
    assert not (tmp_path / "mine/images_train.tsv").exists()


def test_wrong_annotations_and_a_missing_folder_are_named(user, tmp_path):
    shutil.rmtree(user / "val2017")
    with pytest.raises(InputError, match="val2017: no such image folder"):
        fetch(own_files(user), "mine", tmp_path / "mine")
    (user / "annotations/instances_train2017.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"train2017\.json: not valid JSON"):
        fetch(own_files(user), "mine", tmp_path / "mine")


def test_made_pictures_never_go_into_a_users_folder(user, tmp_path):
    folder = tmp_path / "made"
    before = snapshot(user)
    fetch(own_files(user), "made", folder)
    fetch(Shapes(source="shapes", seed=3, size=64, train=2, val=1), "made", folder)
    assert snapshot(user) == before
    names = ["train/000001.png", "train/000002.png", "val/000001.png"]
    assert_fetched(folder, {name: folder / "images" / name for name in names})


def test_a_users_test_part_is_fetched_when_it_is_asked_for(user, tmp_path):
    make_part(user / "annotations/instances_test2017.json", user / "test2017", ["t.png", "s.png"])
    test = Part(annotations=user / "annotations/instances_test2017.json", images=user / "test2017")
    dataset, folder, before = own_files(user).model_copy(update={"test": test}), tmp_path / "mine", snapshot(user)
    fetch(dataset, "mine", folder)
    assert not list(folder.rglob("*test*"))
    own = snapshot(folder)
    fetch_test(dataset, "mine", folder)
    assert snapshot(user) == before
    assert {path: state for path, state in snapshot(folder).items() if path in own} == own
    assert (folder / "images/test").readlink() == user / "test2017"
    assert annotation_file.read(folder / "annotations/instances_test.json") == annotation_file.read(test.annotations)
    rows = (folder / "images_test.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["test/s.png", "test/t.png"]

    (user / "test2017/t.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"t\.png: not a readable image"):
        fetch_test(dataset, "mine", folder)


def test_a_dataset_without_a_test_part(user, tmp_path):
    line = r"^params\.yaml: datasets\.mine\.test: missing: expected annotations and images$"
    with pytest.raises(InputError, match=line):
        fetch_test(own_files(user), "mine", tmp_path / "mine")
    with pytest.raises(InputError, match=r"^params\.yaml: datasets\.demo\.source: 'shapes': has no test images$"):
        fetch_test(Shapes(source="shapes"), "demo", tmp_path / "demo")


def test_one_thing_at_a_time(capsys):
    with pytest.raises(SystemExit):
        main(["fetch", "coco", "--test", "--predictions", "theirs"])
    assert "--predictions or --test, not both" in capsys.readouterr().err


def test_a_changed_picture_of_val_leaves_all_of_train_as_it_was(user, tmp_path):
    folder = tmp_path / "mine"
    fetch(own_files(user), "mine", folder)
    before = snapshot(folder)
    picture = user / "val2017/v.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    fetch(own_files(user), "mine", folder)
    after = snapshot(folder)
    changed = {path.relative_to(folder).as_posix() for path in after if after[path] != before[path]}
    assert "images_val.tsv" in changed
    assert changed <= {"images_val.tsv", "images/val/v.png"}
