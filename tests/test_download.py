"""Downloads go on where they broke off and are checked; archives are unpacked safely."""

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bcnet.data import download as module
from bcnet.data.download import download, unzip, unzip_file
from bcnet.files import InputError

FILE = bytes(range(256)) * 5000
MD5 = hashlib.md5(FILE).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves FILE, tells what was `asked`. `breaks`: how often it hangs up halfway; `resumes`: does it know Range."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.breaks, self.resumes, self.status = [], 0, True, None
        self.url = f"http://127.0.0.1:{self.server_port}/file.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.resumes else 0
        body = FILE[start:]
        status = self.server.status or (416 if start >= len(FILE) else 206 if start else 200)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(module, "MIB", 10_000)  # a file of many blocks
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_once(server, tmp_path):
    path = tmp_path / "downloads" / "file.zip"
    for _ in range(2):
        download(server.url, path, MD5)
    assert path.read_bytes() == FILE
    assert server.asked == [None]
    assert sorted(p.name for p in path.parent.iterdir()) == ["file.zip", "file.zip.lock"]


def test_two_stages_that_want_one_file_at_once(server, tmp_path):
    path = tmp_path / "file.zip"
    threads = [threading.Thread(target=download, args=(server.url, path, None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == FILE
    assert server.asked == [None]


def test_a_wrong_file_is_replaced(server, tmp_path):
    path = tmp_path / "file.zip"
    path.write_bytes(b"something else")
    download(server.url, path, MD5)
    assert path.read_bytes() == FILE


def test_a_broken_download_goes_on_where_it_broke_off(server, tmp_path):
    server.breaks = 2
    download(server.url, tmp_path / "file.zip", MD5)
    assert (tmp_path / "file.zip").read_bytes() == FILE
    assert server.asked[0] is None
    assert len(server.asked) == 3
    assert all(int(asked[6:-1]) > 0 for asked in server.asked[1:])


def test_a_later_run_goes_on_too(server, tmp_path):
    server.breaks = 1
    with pytest.raises(InputError, match=r"run it again to go on from .*file\.zip\.part"):
        download(server.url, tmp_path / "file.zip", MD5, attempts=1)
    have = (tmp_path / "file.zip.part").stat().st_size
    assert have > 0
    assert not (tmp_path / "file.zip").exists()
    download(server.url, tmp_path / "file.zip", MD5)
    assert server.asked[-1] == f"bytes={have}-"
    assert (tmp_path / "file.zip").read_bytes() == FILE


def test_a_server_that_cannot_resume_starts_again(server, tmp_path):
    server.resumes = False
    (tmp_path / "file.zip.part").write_bytes(FILE[:1000])
    download(server.url, tmp_path / "file.zip", MD5)
    assert (tmp_path / "file.zip").read_bytes() == FILE


def test_a_part_that_is_complete_is_only_checked(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(FILE)
    download(server.url, tmp_path / "file.zip", MD5)
    assert (tmp_path / "file.zip").read_bytes() == FILE


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match=f"md5 is {MD5}, expected 123"):
        download(server.url, tmp_path / "file.zip", "123")
    assert [p.name for p in tmp_path.iterdir()] == ["file.zip.lock"]


def test_what_the_server_refuses_is_not_tried_again(server, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match="404"):
        download(server.url, tmp_path / "file.zip", MD5)
    assert len(server.asked) == 1


def test_no_server_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/x: "):
        download("http://127.0.0.1:9/x", tmp_path / "x", MD5, attempts=1)


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def test_the_files_of_one_folder_are_unpacked_and_right_ones_left_alone(tmp_path):
    path = archive(
        tmp_path / "a.zip", {"val/1.jpg": "one", "val/deep/2.jpg": "two", "val2/3.jpg": "three", "4": "four"}
    )
    out = tmp_path / "out"
    unzip(path, "val", out)
    assert {p.relative_to(out).as_posix(): p.read_text() for p in out.rglob("*.jpg")} == {
        "1.jpg": "one",
        "deep/2.jpg": "two",
    }
    (out / "deep/2.jpg").write_text("tw")
    before = (out / "1.jpg").stat()
    unzip(path, "val", out)
    assert (out / "deep/2.jpg").read_text() == "two"
    assert (out / "1.jpg").stat() == before


def test_one_file_is_unpacked(tmp_path):
    path = archive(tmp_path / "a.zip", {"deep/a.json": "{}"})
    unzip_file(path, "deep/a.json", tmp_path / "out/b.json")
    assert (tmp_path / "out/b.json").read_text() == "{}"
    with pytest.raises(InputError, match=r"a\.zip: holds no file 'c\.json'"):
        unzip_file(path, "c.json", tmp_path / "c.json")


def test_members_that_lead_out_are_refused(tmp_path):
    link = zipfile.ZipInfo("val/link")
    link.external_attr = 0o120777 << 16
    for name, member in (("val/../../evil", "val/../../evil"), ("val/link", link)):
        path = archive(tmp_path / "a.zip", {member: "/etc/passwd"})
        with pytest.raises(InputError, match=f"member '{name}' leads out"):
            unzip(path, "val", tmp_path / "deep" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_broken_archives_are_refused(tmp_path):
    path = archive(tmp_path / "a.zip", {"val/1.jpg": "one" * 100})
    with pytest.raises(InputError, match=r"a\.zip: holds no folder 'train'"):
        unzip(path, "train", tmp_path / "out")
    whole = path.read_bytes()
    for broken in (whole[:-30], whole.replace(b"oneone", b"onetwo", 1)):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"a\.zip: not a sound zip archive"):
            unzip(path, "val", tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
