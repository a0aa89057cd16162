"""Archives are unpacked safely: nothing outside the folder, nothing half-written, nothing beyond the declared size."""

import re
import shutil
import zipfile
from types import SimpleNamespace

import pytest

from bcnet.data.sources.archive import unzip, unzip_file
from bcnet.files import InputError


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
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
    before = (out / "1.jpg").stat()
    for wrong in ("tw", "tow", None):  # cut off, changed, lost
        (out / "deep/2.jpg").write_text(wrong) if wrong else (out / "deep/2.jpg").unlink()
        unzip(path, "val", out)
        assert (out / "deep/2.jpg").read_text() == "two"
    assert (out / "1.jpg").stat() == before


def test_one_file_is_unpacked(tmp_path):
    path = archive(tmp_path / "a.zip", {"deep/a.json": "{}"})
    unzip_file(path, "deep/a.json", tmp_path / "out/b.json")
    assert (tmp_path / "out/b.json").read_text() == "{}"
    before = (tmp_path / "out/b.json").stat()
    unzip_file(path, "deep/a.json", tmp_path / "out/b.json")
    assert (tmp_path / "out/b.json").stat() == before
    (tmp_path / "out/b.json").write_text("[]")
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
        with pytest.raises(InputError, match=r"a\.zip: not a valid zip archive"):
            unzip(path, "val", tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_member_that_is_larger_than_it_says_stops_at_what_it_says(tmp_path):
    path = archive(tmp_path / "a.zip", {"val/bomb": bytes(5_000_000)}, zipfile.ZIP_DEFLATED)
    size = (5_000_000).to_bytes(4, "little")
    lie = path.read_bytes().replace(size, (1000).to_bytes(4, "little"))
    assert lie != path.read_bytes()
    path.write_bytes(lie)
    with pytest.raises(InputError, match=r"a\.zip: not a valid zip archive: Bad CRC-32"):
        unzip(path, "val", tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_what_the_members_say_must_find_room_on_the_disk(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", {"val/1": bytes(2 * 10**6), "val/2": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_900_000))
    out = tmp_path / "out"
    for unpack in (lambda: unzip(path, "val", out), lambda: unzip_file(path, "val/1", out / "1")):
        with pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path))}: needs 0\.0 GB of free disk space"):
            unpack()
        assert not out.exists()
    out.mkdir()
    (out / "1").write_bytes(bytes(2 * 10**6))  # what is there needs no room
    unzip(path, "val", out)
    assert (out / "2").stat().st_size == 10**6


def test_what_cannot_be_unpacked_is_said(tmp_path):
    path = archive(tmp_path / "a.zip", {"val/1": "one"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # "encrypted"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: cannot be unpacked: .*password required"):
        unzip(path, "val", tmp_path / "out")
