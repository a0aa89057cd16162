"""Fetch: made, downloaded and a user's own data end up in one layout, checked; brought predictions too."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from bcnet.data import coco
from bcnet.data import fetch as module
from bcnet.data.fetch import bring, fetch
from bcnet.files import InputError
from bcnet.params.data import Coco, Files, Part, Shapes
from bcnet.params.results import Brought

HEIGHT, WIDTH = 12, 16
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[2:8, 3:9] = True


def make_part(annotations, images, names):
    """Pictures, and an annotation file of them that has no iscrowd, area and bbox."""
    content = {"images": [], "annotations": [], "categories": [{"id": 4, "name": "thing"}]}
    for number, name in enumerate(names, 1):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(images / name)
        content["images"].append({"id": number, "height": HEIGHT, "width": WIDTH, "file_name": name})
        one = {"id": number, "image_id": number, "category_id": 4, "segmentation": coco.encode(MASK)}
        content["annotations"].append(one)
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(content))


@pytest.fixture
def user(tmp_path):
    """A user's own folder, in COCO's layout."""
    root = tmp_path / "user"
    make_part(root / "annotations/instances_train2017.json", root / "train2017", ["b.jpg", "a.png", "deep/c.png"])
    make_part(root / "annotations/instances_val2017.json", root / "val2017", ["v.png"])
    return root


def own_files(root):
    parts = {
        part: Part(annotations=root / f"annotations/instances_{part}2017.json", images=root / f"{part}2017")
        for part in ("train", "val")
    }
    return Files(source="files", **parts)


def snapshot(folder):
    """Every file below a folder with its bytes and times."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_fetched(folder, pictures):
    lines = ["file\tbytes\tsha256"]
    for name, path in sorted(pictures.items()):
        content = path.read_bytes()
        lines.append(f"{name}\t{len(content)}\t{hashlib.sha256(content).hexdigest()}")
    assert (folder / "images.tsv").read_text() == "\n".join(lines) + "\n"
    for part in ("train", "val"):
        coco.read(folder / f"annotations/instances_{part}.json")


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
        (annotation,) = coco.read(folder / "annotations/instances_val.json")["annotations"]
        assert annotation["amodal_bbox"] == annotation["bbox"] == [2, 2, 7, 6]
        assert (annotation["category_id"], annotation["area"]) == (4 if source == "kins" else 1, 42)


def test_pictures_that_no_annotation_names_do_not_matter(user, tmp_path):
    (user / "train2017/notes.txt").write_text("no picture")
    fetch(own_files(user), "mine", tmp_path / "mine")
    assert "notes" not in (tmp_path / "mine/images.tsv").read_text()


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
    with pytest.raises(InputError, match=r"images/train: a folder, where a link to .*train2017 belongs"):
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
        (truncated, "not a readable picture"),
        (of_another_size, "the picture is 5x7, its annotation says 16x12"),
        (missing, "No such file"),
    ],
)
def test_a_spoiled_picture_is_named(user, tmp_path, spoil, expected):
    spoil(user)
    with pytest.raises(InputError) as error:
        fetch(own_files(user), "mine", tmp_path / "mine")
    assert expected in str(error.value)
    assert str(error.value).startswith(str(user / "train2017/b.jpg"))
    assert not (tmp_path / "mine/images.tsv").exists()


def test_wrong_annotations_and_a_missing_folder_are_named(user, tmp_path):
    shutil.rmtree(user / "val2017")
    with pytest.raises(InputError, match="val2017: no such picture folder"):
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


@pytest.fixture
def server(user, tmp_path, monkeypatch):
    """COCO's three archives, and instead of downloads a copy; the list of what was asked for."""
    store = tmp_path / "server"
    for file in module.MD5:
        (store / file).parent.mkdir(parents=True, exist_ok=True)
        inside = file.split("/")[-1].removesuffix(".zip").replace("annotations_trainval2017", "annotations")
        with zipfile.ZipFile(store / file, "w") as archive:
            for path in sorted((user / inside).rglob("*.*")):
                archive.write(path, path.relative_to(user))
    asked = []

    def download(url, path, md5):
        assert md5 == module.MD5[url.removeprefix("http://server/")]
        asked.append(path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(store / url.removeprefix("http://server/"), path)

    monkeypatch.setattr(module, "download", download)
    return asked


def test_coco_is_downloaded_and_pictures_that_are_there_are_not_downloaded_again(user, server, tmp_path):
    folder = tmp_path / "data/coco"
    dataset = Coco(source="coco", url="http://server")
    fetch(dataset, "coco", folder)
    assert server == ["annotations_trainval2017.zip", "train2017.zip", "val2017.zip"]
    assert (tmp_path / "data/downloads/val2017.zip").exists()
    names = {"train": ["a.png", "b.jpg", "deep/c.png"], "val": ["v.png"]}
    assert_fetched(folder, {f"{part}/{n}": folder / "images" / part / n for part in names for n in names[part]})
    source = user / "annotations/instances_val2017.json"
    assert (folder / "annotations/instances_val.json").read_bytes() == source.read_bytes()

    (folder / "images/val/v.png").unlink()
    before = snapshot(folder / "images/train")
    fetch(dataset, "coco", folder)
    assert server[3:] == ["annotations_trainval2017.zip", "val2017.zip"]
    assert snapshot(folder / "images/train") == before
    assert (folder / "images/val/v.png").exists()


SCORED = {"image_id": 1, "category_id": 4, "score": 0.5, "segmentation": coco.encode(MASK)}


def brought_from(tmp_path, user, predictions):
    folder = tmp_path / "data/mine"
    if not folder.exists():
        fetch(own_files(user), "mine", folder)
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(predictions))
    bring(Brought(file=file, label="Theirs"), "theirs", folder)
    return folder / "predictions/theirs/brought"


def test_brought_predictions_are_stored_as_ours_are(user, tmp_path, capsys):
    make_part(user / "annotations/instances_val2017.json", user / "val2017", ["v.png", "w.png"])
    square = [[3, 2, 9, 2, 9, 8, 3, 8]]
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    out = brought_from(
        tmp_path,
        user,
        [
            SCORED | {"image_id": 2, "bbox": [0, 0, 1, 1], "extra": 1},
            SCORED | {"score": 0.1, "segmentation": square},
            SCORED | {"score": 0.9, "segmentation": runs},
        ],
    )
    empty = coco.encode(np.zeros_like(MASK))
    assert json.loads((out / "val.json").read_text()) == [
        SCORED | {"score": 0.9, "segmentation": empty},
        SCORED | {"score": 0.1},
        SCORED | {"image_id": 2},
    ]
    assert json.loads((out / "val.provenance.json").read_text()) == {
        "origin": "brought",
        "name": "theirs",
        "label": "Theirs",
        "dataset": "mine",
        "file_sha256": hashlib.sha256((tmp_path / "theirs.json").read_bytes()).hexdigest(),
    }
    assert capsys.readouterr().err == ""


def test_the_100_best_predictions_of_an_image_are_kept_and_said_so(user, tmp_path, capsys):
    scores = np.random.default_rng(0).permutation(130) / 130
    out = brought_from(tmp_path, user, [SCORED | {"score": score} for score in scores.tolist()])
    assert [one["score"] for one in json.loads((out / "val.json").read_text())] == sorted(scores, reverse=True)[:100]
    assert "30 predictions beyond the 100 best" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"image_id": 2}, "image_id: 2: expected the id of one of the ground truth's 1 (image)"),
        ({"category_id": 1}, "category_id: 1: expected the id of one of the ground truth's 1 (category)"),
        ({"score": None}, "score: None: expected a finite number"),
        ({"segmentation": None}, "segmentation is None, expected polygons or RLE"),
        (
            {"segmentation": {"size": [WIDTH, HEIGHT], "counts": [192]}},
            "RLE size is [16, 12], expected the image's [12, 16]",
        ),
    ],
)
def test_a_wrong_prediction_is_named_and_nothing_is_written(user, tmp_path, wrong, expected):
    with pytest.raises(InputError) as error:
        brought_from(tmp_path, user, [SCORED, SCORED | wrong])
    assert f"theirs.json: prediction at place 1: {expected}" in str(error.value)
    assert not (tmp_path / "data/mine/predictions").exists()


def test_predictions_that_are_no_list(user, tmp_path):
    with pytest.raises(InputError, match="a list of predictions"):
        brought_from(tmp_path, user, {"annotations": []})
