"""A file is downloaded once, several come at once, and the first failure stops the others."""

import asyncio
import errno
import os
import re
import resource
import threading

import pytest
from download_factory import BLOCK, FILE, HALF, MD5, Waits, ranges, remote
from file_server import meet, stall, status

import bcnet.progress
from bcnet.data.sources import download as module
from bcnet.data.sources.download import RemoteFile, download, download_all
from bcnet.files import InputError


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
