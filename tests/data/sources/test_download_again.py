"""A download goes on where it broke off if what came before is of the same file, else it begins anew."""

import hashlib
import os
import re
import time

import pytest
from download_factory import BLOCK, FILE, HALF, MD5, Waits, ranges, remote
from file_server import cut, status, unframed

from bcnet.data.sources.download import download
from bcnet.files import InputError

CHANGED = FILE[::-1]


def interrupted(server, path, have=HALF, **about):
    """A run that ends after `have` bytes."""
    server.faults["file.zip"] = [cut(have), *[status(403)]]
    with pytest.raises(InputError, match="403"):
        download(remote(server, **about), path)
    assert path.with_name("file.zip.part").read_bytes() == FILE[:have]
    server.faults["file.zip"] = []
    server.asked.clear()


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
