"""Fetch: made, downloaded and a user's own data end up in one layout, checked; brought predictions too."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from copies import copy_of
from file_server import FileServer, meet, stall
from PIL import Image
from places import ROOT

from bcnet.cli import main
from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.data.sources import coco2017
from bcnet.data.sources.fetch import bring, fetch, fetch_test
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
        pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(images / name)
        content["images"].append({"id": number, "height": HEIGHT, "width": WIDTH, "file_name": name})
        one = {"id": number, "image_id": number, "category_id": 4, "segmentation": encode(MASK)}
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
    for part in ("train", "val"):
        lines = ["file\tbytes\tsha256"]
        for name, path in sorted(pictures.items()):
            if name.startswith(f"{part}/"):
                content = path.read_bytes()
                lines.append(f"{name}\t{len(content)}\t{hashlib.sha256(content).hexdigest()}")
        assert (folder / f"images_{part}.tsv").read_text() == "\n".join(lines) + "\n"
        annotation_file.read(folder / f"annotations/instances_{part}.json")


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


@pytest.fixture
def test_part(user):
    """A user's test pictures, of which test-dev is a part."""
    make_part(user / "annotations/image_info_test2017.json", user / "test2017", ["t.png", "u.png"])
    listed = json.loads((user / "annotations/image_info_test2017.json").read_text())
    del listed["annotations"]
    (user / "annotations/image_info_test2017.json").write_text(json.dumps(listed))
    listed["images"] = listed["images"][:1]
    (user / "annotations/image_info_test-dev2017.json").write_text(json.dumps(listed))
    return user


@pytest.fixture
def server(test_part, tmp_path, monkeypatch):
    """A small COCO on a server, its archives in the place of the real ones."""
    root, files = tmp_path / "server", {}
    for file in coco2017.FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        name = file.split("/")[-1].removesuffix(".zip")
        pattern = {"annotations_trainval2017": "annotations/inst*", "image_info_test2017": "annotations/image*"}
        with zipfile.ZipFile(root / file, "w") as archive:
            for path in sorted(test_part.glob(pattern.get(name, f"{name}/**/*.*"))):
                archive.write(path, path.relative_to(test_part))
        content = (root / file).read_bytes()
        files[file] = (hashlib.md5(content).hexdigest(), len(content))
    monkeypatch.setattr(coco2017, "FILES", files)
    server = FileServer(root)
    yield server
    server.close()


TRAINVAL = ["/annotations/annotations_trainval2017.zip", "/zips/train2017.zip", "/zips/val2017.zip"]


def asked(server):
    return sorted(path for path, *_ in server.asked)


def contents(folder):
    return {path: content for path, (content, _) in snapshot(folder).items()}


def assert_coco(folder):
    names = {"train": ["a.png", "b.jpg", "deep/c.png"], "val": ["v.png"]}
    assert_fetched(folder, {f"{part}/{n}": folder / "images" / part / n for part in names for n in names[part]})


def test_coco_is_downloaded_at_once_and_what_is_there_is_not_downloaded_again(user, server, tmp_path):
    folder = tmp_path / "data/coco"
    dataset = Coco(source="coco", url=server.url + "/")
    server.faults = {".zip": meet(3)}
    fetch(dataset, "coco", folder)
    assert asked(server) == TRAINVAL
    assert_coco(folder)
    for part in ("train", "val"):
        source = user / f"annotations/instances_{part}2017.json"
        assert (folder / f"annotations/instances_{part}.json").read_bytes() == source.read_bytes()

    before = contents(folder)
    (folder / "images_val.tsv").unlink()  # a tool deletes what is to be made again
    (folder / "annotations/instances_train.json").unlink()
    (tmp_path / "data/downloads/train2017.zip").unlink()  # a user needs room: the pictures are there
    fetch(dataset, "coco", folder)
    assert contents(folder) == before
    assert asked(server) == TRAINVAL


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")], ids=["lost", "empty"])
def test_pictures_that_lack_are_downloaded_and_the_others_left_alone(server, tmp_path, spoil):
    folder = tmp_path / "data/coco"
    dataset = Coco(source="coco", url=server.url)
    fetch(dataset, "coco", folder)
    shutil.rmtree(tmp_path / "data/downloads")
    before = snapshot(folder / "images")
    server.asked.clear()
    spoil(folder / "images/train/b.jpg")
    fetch(dataset, "coco", folder)
    assert asked(server) == TRAINVAL[:2]
    after = snapshot(folder / "images")
    assert [path.name for path in before if after[path][1] != before[path][1]] == ["b.jpg"]
    assert_coco(folder)


def test_a_mirror_gives_what_the_server_does_not(server, tmp_path, capsys):
    dataset = Coco(source="coco", url=f"{server.url}/lost", mirrors=(f"{server.url}/gone/", server.url))
    fetch(dataset, "coco", tmp_path / "data/coco")
    assert_coco(tmp_path / "data/coco")
    said = capsys.readouterr().err
    for file in TRAINVAL:
        assert f"{server.url}/lost{file}: HTTP 404 Not Found; trying {server.url}/gone{file}\n" in said
        assert f"{server.url}/gone{file}: HTTP 404 Not Found; trying {server.url}{file}\n" in said


def test_the_disk_must_have_room_for_archives_and_pictures(server, tmp_path, monkeypatch):
    sizes = {file: size for file, (_, size) in coco2017.FILES.items() if "test" not in file}
    needed = sum(sizes.values()) + sizes["zips/train2017.zip"] + sizes["zips/val2017.zip"]
    dataset, folder = Coco(source="coco", url=server.url), tmp_path / "data/coco"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(InputError, match=rf"^{tmp_path}\S*: needs 0\.0 GB of free disk space, 0\.0 GB are free$"):
        fetch(dataset, "coco", folder)
    assert server.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed))
    fetch(dataset, "coco", folder)


def test_the_test_pictures_are_downloaded(test_part, server, tmp_path):
    folder, listed = tmp_path / "data/coco", "annotations/image_info_test-dev2017.json"
    dataset = Coco(source="coco", url=server.url)
    for _ in range(2):
        fetch_test(dataset, "coco", folder)
        assert asked(server) == ["/annotations/image_info_test2017.zip", "/zips/test2017.zip"]
    files = ["images/test/t.png", "images/test/u.png"]
    assert sorted(p.relative_to(folder).as_posix() for p in snapshot(folder)) == [listed, *files]
    assert (folder / listed).read_bytes() == (test_part / listed).read_bytes()
    assert (folder / files[0]).read_bytes() == (test_part / "test2017/t.png").read_bytes()


def test_the_test_pictures_of_a_users_coco_folder_are_linked(test_part, tmp_path):
    folder, listed = tmp_path / "data/coco", "annotations/image_info_test-dev2017.json"
    dataset = Coco(source="coco", folder=test_part)
    before = snapshot(test_part)
    for _ in range(2):
        fetch_test(dataset, "coco", folder)
    assert snapshot(test_part) == before
    assert (folder / "images/test").readlink() == test_part / "test2017"
    assert (folder / listed).read_bytes() == (test_part / listed).read_bytes()

    Image.new("RGB", (5, 7)).save(test_part / "test2017/t.png")
    with pytest.raises(InputError, match=r"t\.png: the image is 5x7, its annotation says 16x12"):
        fetch_test(dataset, "coco", folder)
    (test_part / listed).write_text('{"images": [{"id": 1, "height": 2, "width": 0, "file_name": "t.png"}]}')
    with pytest.raises(InputError, match=r"test-dev2017\.json: image 1: width is 0"):
        fetch_test(dataset, "coco", folder)
    (test_part / listed).write_text("[]")
    with pytest.raises(InputError, match=r"test-dev2017\.json: no list 'images'"):
        fetch_test(dataset, "coco", folder)


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


PROGRAM = """
import json, shutil, signal, sys
from types import SimpleNamespace
from bcnet.cli import main
from bcnet.data.sources import archive, coco2017

def waits_in_its_middle(source, sink, length, pictures=[]):
    pictures += ["images/train" in sink.name]
    if sum(pictures) == int(sys.argv[2]):
        sink.write(source.read(5000))
        sink.flush()
        signal.pause()
    shutil.copyfileobj(source, sink, length)

coco2017.FILES = json.loads(sys.argv[1])
archive.shutil = SimpleNamespace(copyfileobj=waits_in_its_middle)
sys.exit(main(["fetch", "coco"]))
"""


def test_a_fetch_that_is_killed_goes_on(server, tmp_path):
    """kill -9 while pictures come in, and while they are unpacked; only what was lacking is asked for again."""
    copy_of(ROOT / "reference", tmp_path / "project/reference")
    params = (ROOT / "presets/coco.yaml").read_text()
    address = 'url: "http://images.cocodataset.org"'
    assert address in params
    (tmp_path / "project/params.yaml").write_text(params.replace(address, f'url: "{server.url}"'))
    large = server.folder / "zips/train2017.zip"
    with zipfile.ZipFile(large, "w") as archive:
        for number in range(300):
            archive.writestr(f"train2017/{number}.more", bytes(10_000))
        for path in sorted((tmp_path / "user").glob("train2017/**/*.*")):
            archive.write(path, path.relative_to(tmp_path / "user"))
    md5 = hashlib.md5(large.read_bytes()).hexdigest()
    files = coco2017.FILES | {"zips/train2017.zip": (md5, large.stat().st_size)}
    have = 2_000_000
    server.faults = {"train2017.zip": [stall(have)]}

    def start(waits_at=0):
        command = [sys.executable, "-c", PROGRAM, json.dumps(files), str(waits_at)]
        return subprocess.Popen(command, cwd=tmp_path / "project", stderr=subprocess.PIPE)

    def kill_when(process, ready):
        limit = time.monotonic() + 300
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    part = tmp_path / "project/data/downloads/train2017.zip.part"
    others = [part.parent / name for name in ("annotations_trainval2017.zip", "val2017.zip")]
    kill_when(start(), lambda: all(p.exists() for p in (part, *others)) and part.stat().st_size > have - (1 << 17))
    came_in = part.stat().st_size
    server.asked.clear()

    pictures = tmp_path / "project/data/coco/images/train"
    kill_when(start(waits_at=60), lambda: pictures.exists() and len(os.listdir(pictures)) == 60)
    assert len(list(pictures.glob("[0-9]*.more"))) == 59
    assert [asked[:2] for asked in server.asked] == [("/zips/train2017.zip", f"bytes={came_in}-")]
    assert not (pictures / "b.jpg").exists()
    assert not (tmp_path / "project/data/coco/images_train.tsv").exists()
    server.asked.clear()

    process = start()
    _, said = process.communicate()
    assert (process.returncode, server.asked) == (0, []), said
    assert len(list(pictures.glob("[0-9]*.more"))) == 300
    assert_coco(tmp_path / "project/data/coco")


SCORED = {"image_id": 1, "category_id": 4, "score": 0.5, "segmentation": encode(MASK)}


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
    empty = encode(np.zeros_like(MASK))
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


def test_every_prediction_is_kept(user, tmp_path):
    """COCO's evaluation takes 100 of a category in an image: what of more counts, `evaluate` decides and says."""
    scores = np.random.default_rng(0).permutation(130) / 130
    out = brought_from(tmp_path, user, [SCORED | {"score": score} for score in scores.tolist()])
    assert [one["score"] for one in json.loads((out / "val.json").read_text())] == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"image_id": 2}, "image_id: 2: no image has this id, there are 1, with ids from "),
        ({"category_id": 1}, "category_id: 1: no category has this id, there are 1, with ids from "),
        ({"score": None}, "score: null: expected a finite number"),
        ({"segmentation": None}, "segmentation is null, expected polygons"),
        (
            {"segmentation": {"size": [WIDTH, HEIGHT], "counts": [192]}},
            "RLE size is [16, 12], expected the image's [12, 16]",
        ),
    ],
)
def test_a_wrong_prediction_is_named_and_nothing_is_written(user, tmp_path, wrong, expected):
    with pytest.raises(InputError) as error:
        brought_from(tmp_path, user, [SCORED, SCORED | wrong])
    assert f"theirs.json: prediction at place 1 (from 0): {expected}" in str(error.value)
    assert not (tmp_path / "data/mine/predictions").exists()


def test_predictions_that_are_no_list(user, tmp_path):
    with pytest.raises(InputError, match="a list of predictions"):
        brought_from(tmp_path, user, {"annotations": []})


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
