"""Whatever the server does, a download ends in the right bytes or in one clear line."""

import re
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from download_factory import BLOCK, FILE, HALF, MD5, Waits, ranges, remote
from file_server import (
    another_page,
    cut,
    gzipped,
    gzipped_cut,
    hang_up,
    ignore_range,
    nobody,
    redirect,
    short_body,
    short_range,
    stall,
    status,
    wrong_bytes,
    wrong_range,
)

from bcnet.data.sources import download as module
from bcnet.data.sources.download import RemoteFile, download
from bcnet.files import InputError

NOW = 1_800_000_000.0  # the time of day where dates are compared


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


def test_a_flood_ends_at_the_size_that_is_expected(server, tmp_path):
    server.faults["file.zip"] = [gzipped]
    with pytest.raises(InputError, match=r"more than 50000 bytes$"):
        download(remote(server, size=50_000), tmp_path / "file.zip", Waits())
    assert [p.name for p in tmp_path.iterdir()] == ["file.zip.lock"]
