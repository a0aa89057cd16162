"""Downloads go on where they broke off, whatever the server does, and end in the right bytes or in one clear line."""

import asyncio
import errno
import hashlib
import os
import re
import resource
import threading
import time
from email.utils import formatdate
from types import SimpleNamespace

import numpy as np
import pytest
from file_server import (
    FileServer,
    another_page,
    cut,
    gzipped,
    gzipped_cut,
    hang_up,
    ignore_range,
    meet,
    nobody,
    redirect,
    short_body,
    short_range,
    stall,
    status,
    unframed,
    wrong_bytes,
    wrong_range,
)

import bcnet.progress
from bcnet.data.sources import download as module
from bcnet.data.sources.download import RemoteFile, download, download_all
from bcnet.files import InputError

FILE = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
CHANGED = FILE[::-1]
MD5 = hashlib.md5(FILE).hexdigest()
HALF = 200_000
BLOCK = 10_000
NOW = 1_800_000_000.0  # the time of day where dates are compared


class Waits(threading.Event):
    """Takes the pauses down instead of waiting."""

    def __init__(self):
        super().__init__()
        self.pauses = []

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        return self.is_set()


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


def remote(server, *, md5=MD5, size=None, mirrors=()):
    return RemoteFile((f"{server.url}/file.zip", *(f"{server.url}/{mirror}" for mirror in mirrors)), md5, size)


def ranges(server):
    """First bytes that were asked for, None where no range was."""
    return [int(asked[6:-1]) if asked else None for _, asked, _ in server.asked]


def interrupted(server, path, have=HALF, **about):
    """A run that ends after `have` bytes."""
    server.faults["file.zip"] = [cut(have), *[status(403)]]
    with pytest.raises(InputError, match="403"):
        download(remote(server, **about), path)
    assert path.with_name("file.zip.part").read_bytes() == FILE[:have]
    server.faults["file.zip"] = []
    server.asked.clear()


def test_a_file_is_downloaded_once_and_nothing_else_stays(server, tmp_path):
    path = tmp_path / "downloads" / "file.zip"
    for _ in range(2):
        download(remote(server), path)
    assert path.read_bytes() == FILE
    assert ranges(server) == [None]
    assert sorted(p.name for p in path.parent.iterdir()) == ["file.zip", "file.zip.lock"]


def test_a_file_that_is_there_is_replaced_if_its_checksum_is_another(server, tmp_path):
    path = tmp_path / "file.zip"
    path.write_bytes(b"something else")
    download(remote(server), path)
    assert path.read_bytes() == FILE
    path.write_bytes(b"something else")
    download(remote(server, md5=None), path)
    assert path.read_bytes() == b"something else"


def test_two_stages_that_want_one_file_at_once_download_it_once(server, tmp_path):
    path = tmp_path / "file.zip"
    threads = [threading.Thread(target=download, args=(remote(server, md5=None), path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == FILE
    assert ranges(server) == [None]


# what the server does, and the ranges that are asked for until the file is whole
SURVIVED = {
    "a cut connection": ([cut(HALF)], [None, HALF]),
    "a connection that is cut many times": ([cut(BLOCK)] * 39, [None, *range(BLOCK, 400_000, BLOCK)]),
    "a range that is answered in part": ([cut(HALF), short_range(BLOCK)], [None, HALF, HALF + BLOCK]),
    "no answer": ([hang_up], [None, None]),
    "500, 502, 504, 408": ([status(500), status(502), status(504), status(408)], [None] * 5),
    "busy in the middle": ([cut(HALF), status(503)], [None, HALF, HALF]),
    "a server without ranges": ([cut(HALF), ignore_range], [None, HALF]),
    "416 for a range that exists": ([cut(HALF), status(416)], [None, HALF, None]),
    "another range than asked for": ([cut(HALF), wrong_range], [None, HALF, None]),
    "a body that is not the range": ([cut(HALF), short_body], [None, HALF, None]),
    "206 without Content-Range": ([cut(HALF), status(206)], [None, HALF, None]),
    "gzip": ([gzipped], [None]),
    "gzip, cut": ([gzipped_cut(HALF), gzipped], [None, 190_000, None]),
    "gzip of a range": ([cut(HALF), gzipped], [None, HALF, None]),
    "a redirect": ([redirect("/mirror/file.zip")], [None, None]),
    "a redirect of a range": ([cut(HALF), redirect("/file.zip")], [None, HALF, HALF]),
}


@pytest.mark.parametrize(("faults", "asked"), SURVIVED.values(), ids=SURVIVED)
def test_trouble_that_ends_in_the_right_file(server, tmp_path, faults, asked):
    server.faults["file.zip"] = list(faults)
    download(remote(server, size=len(FILE)), tmp_path / "file.zip", Waits())
    assert (tmp_path / "file.zip").read_bytes() == FILE
    assert ranges(server)[: len(asked)] == asked
    assert server.faults["file.zip"] == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.zip", "file.zip.lock"]


def test_after_an_answer_that_stalls_it_goes_on_with_what_came(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (60, 0.5))
    server.faults["file.zip"] = [stall(HALF)]
    download(remote(server, size=len(FILE)), tmp_path / "file.zip", Waits())
    assert (tmp_path / "file.zip").read_bytes() == FILE
    first, second, *_ = ranges(server)
    assert first is None
    assert (second or 0) <= HALF  # on a busy machine less may have come in time than was sent


def test_only_attempts_in_a_row_that_bring_nothing_count(server, tmp_path):
    server.faults["file.zip"] = [*[status(500)] * 5, cut(BLOCK), *[status(500)] * 4, cut(BLOCK), *[status(500)] * 4]
    download(remote(server), tmp_path / "file.zip", waits := Waits())
    assert (tmp_path / "file.zip").read_bytes() == FILE
    growing = [0, 4, 8, 16, 32]
    assert waits.pauses == growing * 3


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7),
        (formatdate(NOW + 100, usegmt=True), 100),
        ("7200", 300),
        (formatdate(NOW + 7200, usegmt=True), 300),
        (formatdate(NOW - 100, usegmt=True), 0),
        ("soon", 0),
    ],
    ids=["seconds", "date", "too many seconds", "too late a date", "past date", "neither"],
)
@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_says_when_to_come_again(server, tmp_path, capsys, code, asked, pause, monkeypatch):
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(time=lambda: NOW))
    server.faults["file.zip"] = [status(code, Retry_After=asked)]
    download(remote(server), tmp_path / "file.zip", waits := Waits())
    assert (tmp_path / "file.zip").read_bytes() == FILE
    assert waits.pauses == [pause]
    if pause:
        assert re.search(rf"file\.zip: HTTP {code} .*; again in \d+ s\n", capsys.readouterr().err)


# what a server does for good, and how the line goes on
REFUSED = {
    "404": ([status(404)], "HTTP 404 Not Found"),
    "403": ([status(403)], "HTTP 403 Forbidden"),
    "204": ([status(204)], "HTTP 204 No Content"),
    "416 without a range": ([status(416)], "HTTP 416 (Requested )?Range Not Satisfiable"),
    "503 for ever": ([status(503)] * 6, r"HTTP 503 Service Unavailable \(6 attempts\)"),
    "no answer for ever": ([hang_up] * 6, r".* \(6 attempts\)"),
    "no byte for ever": ([cut(0)] * 6, r".* \(6 attempts\)"),
    "other bytes": ([wrong_bytes], f"md5 is [0-9a-f]{{32}}, expected {MD5}"),
    "a login page": ([another_page], "a file of 26 bytes, expected 400000"),
    "redirects in a circle": ([redirect("/file.zip")] * 31, r"Exceeded 30 redirects\."),
}


@pytest.mark.parametrize(("faults", "line"), REFUSED.values(), ids=REFUSED)
def test_trouble_that_ends_in_one_line_or_at_a_mirror(server, tmp_path, capsys, faults, line):
    path = tmp_path / "file.zip"
    server.faults["file.zip"] = list(faults)
    with pytest.raises(InputError) as error:
        download(remote(server, size=len(FILE)), path, Waits())
    assert re.fullmatch(f"{server.url}/file.zip: {line}", str(error.value))
    assert server.faults["file.zip"] == []
    assert not path.exists()

    capsys.readouterr()
    server.faults["file.zip"] = list(faults)
    download(remote(server, size=len(FILE), mirrors=["mirror/file.zip"]), path, Waits())
    assert path.read_bytes() == FILE
    assert re.fullmatch(f"{server.url}/file.zip: {line}; trying .*/mirror/file.zip", last_line(capsys))


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_a_server_that_is_not_there(server, tmp_path, capsys):
    with nobody() as address:
        url = f"{address}/file.zip"
        line = rf"{re.escape(url)}: \[Errno 111\] Connection refused \(6 attempts\)"
        with pytest.raises(InputError, match=f"^{line}$"):
            download(RemoteFile((url,), MD5), tmp_path / "file.zip", Waits())
        capsys.readouterr()
        download(RemoteFile((url, f"{server.url}/file.zip"), MD5), tmp_path / "file.zip", Waits())
    assert re.fullmatch(f"{line}; trying .*", last_line(capsys))


def test_when_all_fail_the_line_names_them_all(server, tmp_path):
    server.faults["file.zip"] = [cut(HALF), status(404), status(403)]
    with pytest.raises(InputError) as error:
        download(remote(server, mirrors=["mirror/file.zip", "lost.zip"]), tmp_path / "file.zip", Waits())
    assert str(error.value) == (
        f"{server.url}/file.zip: HTTP 404 Not Found; {server.url}/mirror/file.zip: HTTP 403 Forbidden; "
        f"{server.url}/lost.zip: HTTP 404 Not Found (run the command again to resume from {tmp_path / 'file.zip.part'})"
    )


def test_a_later_run_goes_on_and_so_does_a_mirror(server, tmp_path):
    path = tmp_path / "file.zip"
    interrupted(server, path)
    server.faults["file.zip"] = [cut(BLOCK), status(404)]
    download(remote(server, mirrors=["mirror/file.zip"]), path, Waits())
    assert path.read_bytes() == FILE
    assert ranges(server) == [HALF, HALF + BLOCK, HALF + BLOCK]
    here, _, elsewhere = [version for _, _, version in server.asked]
    assert here
    assert elsewhere is None  # a mirror's word for this version may be another


def changed(server):
    """The file on the server becomes another one, of the same size and a later date."""
    path = server.folder / "file.zip"
    path.write_bytes(CHANGED)
    os.utime(path, (time.time() + 100,) * 2)


def without(*names):
    def alter(headers):
        for name in names:
            headers.pop(name, None)

    return alter


def weak_etag(headers):
    if "ETag" in headers:
        headers["ETag"] = "W/" + headers["ETag"].removeprefix("W/")


@pytest.mark.parametrize(
    ("alter", "version"),
    [(without(), '"'), (without("Last-Modified"), '"'), (without("ETag"), "..., "), (weak_etag, "..., ")],
    ids=["ETag and Last-Modified", "ETag", "Last-Modified", "weak ETag and Last-Modified"],
)
def test_a_file_that_changed_on_the_server_is_not_glued_to_the_old_part(server, tmp_path, alter, version):
    path, server.alter = tmp_path / "file.zip", alter
    interrupted(server, path, md5=None)
    changed(server)
    download(remote(server, md5=None), path, Waits())
    assert path.read_bytes() == CHANGED
    assert re.match(version, server.asked[0][2])


def test_a_server_may_name_the_version_only_once(server, tmp_path):
    path = tmp_path / "file.zip"
    interrupted(server, path, md5=None)
    server.alter = without("ETag", "Last-Modified")
    server.faults["file.zip"] = [cut(BLOCK)]
    download(remote(server, md5=None), path, Waits())
    assert path.read_bytes() == FILE
    assert ranges(server) == [HALF, HALF + BLOCK]


def test_without_version_and_checksum_a_download_begins_anew(server, tmp_path):
    path, server.alter = tmp_path / "file.zip", without("ETag", "Last-Modified")
    server.faults["file.zip"] = [cut(HALF)]
    download(remote(server, md5=None), path, Waits())
    assert path.read_bytes() == FILE
    assert ranges(server) == [None, None]


def test_without_version_the_checksum_decides_whether_the_pieces_fit(server, tmp_path):
    path, server.alter = tmp_path / "file.zip", without("ETag", "Last-Modified")
    interrupted(server, path)
    download(remote(server), path, Waits())
    assert ranges(server) == [HALF]

    path.unlink()
    interrupted(server, path)
    changed(server)
    download(remote(server, md5=hashlib.md5(CHANGED).hexdigest()), path, Waits())
    assert path.read_bytes() == CHANGED
    assert ranges(server) == [HALF, None]


@pytest.mark.parametrize(
    ("part", "size", "asked"),
    [
        (FILE, len(FILE), []),
        (FILE, None, [400_000]),
        (FILE + b"more", len(FILE), [None]),
        (FILE + b"more", None, [400_004, None]),
        (bytes(400_000), len(FILE), [None]),
        (bytes(HALF), len(FILE), [HALF, None]),
    ],
    ids=["whole", "whole, size unknown", "too long", "too long, size unknown", "wrong", "half of it, wrong"],
)
def test_what_an_earlier_run_left(server, tmp_path, part, size, asked):
    (tmp_path / "file.zip.part").write_bytes(part)
    download(remote(server, size=size), tmp_path / "file.zip", Waits())
    assert (tmp_path / "file.zip").read_bytes() == FILE
    assert ranges(server) == asked


def test_a_body_without_length(server, tmp_path):
    """Its end may be the end or a cut: the known size, or else the checksum, tells."""
    path = tmp_path / "file.zip"
    server.faults["file.zip"] = [unframed(HALF), unframed(HALF)]
    download(remote(server, size=len(FILE)), path, Waits())
    assert path.read_bytes() == FILE
    assert ranges(server) == [None, HALF]
    server.faults["file.zip"] = [unframed(HALF)]
    with pytest.raises(InputError, match=f"md5 is .*, expected {MD5}$"):
        download(remote(server), tmp_path / "other.zip", Waits())


def test_a_flood_ends_at_the_size_that_is_expected(server, tmp_path):
    server.faults["file.zip"] = [gzipped]
    with pytest.raises(InputError, match=r"more than 50000 bytes$"):
        download(remote(server, size=50_000), tmp_path / "file.zip", Waits())
    assert [p.name for p in tmp_path.iterdir()] == ["file.zip.lock"]


def test_a_full_disk_is_one_line_and_not_the_servers_fault(server, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(InputError, match=rf"file\.zip: {os.strerror(errno.EFBIG)}$"):
            download(remote(server, mirrors=["mirror/file.zip"]), tmp_path / "file.zip", Waits())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(server.asked) == 1


def test_several_files_come_at_once(server, tmp_path):
    server.faults = {"file.zip": meet(3)}
    files = {tmp_path / name: remote(server) for name in "abc"}
    download_all(files)
    assert [path.read_bytes() for path in files] == [FILE] * 3
    download_all(files)
    assert len(server.asked) == 3


def test_the_first_failure_stops_the_others_and_a_later_run_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (60, 0.5))

    async def when_the_other_has_begun(server, request, handler):
        while not (part := tmp_path / "a.zip.part").exists() or not part.stat().st_size:
            await asyncio.sleep(0.01)
        return await handler(request)

    server.faults = {"file.zip": [stall(BLOCK)] * 100, "lost.zip": [when_the_other_has_begun]}
    good, bad = remote(server), RemoteFile((f"{server.url}/lost.zip",), MD5)
    with pytest.raises(InputError, match=r"lost\.zip: HTTP 404"):
        download_all({tmp_path / "a.zip": good, tmp_path / "b.zip": bad})
    have = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < have < len(FILE)
    server.faults, server.asked[:] = {}, []
    download_all({tmp_path / "a.zip": good})
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert ranges(server) == [have]


def test_progress_lines_of_several_downloads_do_not_garble_each_other(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bcnet.progress, "DELAY", 1e-9)
    monkeypatch.setattr(bcnet.progress, "LOG_EVERY", 0)
    server.faults = {"file.zip": [*meet(3), status(503, Retry_After="1")]}
    download_all({tmp_path / name: remote(server) for name in "abc"})
    download(remote(server), tmp_path / "d", Waits())
    lines = [line.strip("\r ") for line in capsys.readouterr().err.split("\n")]
    shown = re.compile(r"(download|check) [abcd]: \S+/(391k|\?) \[\d\d:\d\d<\S+, \s*\S+\]|http://.*; again in 1 s|")
    assert [line for line in lines if not shown.fullmatch(line)] == []
    assert {line[:10] for line in lines} >= {"download a", "download b", "download c"}
