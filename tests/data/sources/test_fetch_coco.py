"""Fetch of COCO: downloaded once, gone on with after a kill, linked where a user has it."""

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

import pytest
from copies import copy_of
from file_server import FileServer, meet, stall
from own_data_factory import assert_fetched, make_part, snapshot
from PIL import Image
from places import ROOT

from bcnet.data.sources import coco2017
from bcnet.data.sources.fetch import fetch, fetch_test
from bcnet.files import InputError
from bcnet.params.data import Coco


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
