"""What tests of datasets share."""

import pytest
from download_factory import BLOCK, FILE
from file_server import FileServer
from own_data_factory import make_part

from bcnet.data.sources import download as module


@pytest.fixture
def user(tmp_path):
    """A user's own folder, in COCO's layout."""
    root = tmp_path / "user"
    make_part(root / "annotations/instances_train2017.json", root / "train2017", ["b.jpg", "a.png", "deep/c.png"])
    make_part(root / "annotations/instances_val2017.json", root / "val2017", ["v.png"])
    return root


@pytest.fixture(scope="module")
def loopback(tmp_path_factory):
    server = FileServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def server(loopback, monkeypatch):
    """The server with FILE as file.zip, and as mirror/file.zip."""
    monkeypatch.setattr(module, "BLOCK", BLOCK)
    for name in ("file.zip", "mirror/file.zip"):
        (loopback.folder / name).parent.mkdir(exist_ok=True)
        (loopback.folder / name).write_bytes(FILE)
    loopback.faults, loopback.asked[:], loopback.alter = {"file.zip": []}, [], lambda headers: None
    return loopback
