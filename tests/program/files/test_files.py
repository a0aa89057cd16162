"""Files are written whole or not at all, and errors name them."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bcnet.files import InputError, atomic_output, need_space, read_json, sha256, shown, some, write_json


def test_an_output_appears_whole_with_the_users_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/out.json"
    with atomic_output(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def stop_halfway() -> None:
        with atomic_output(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_of_the_output(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"out\.json: cannot be written: No space left"),
        atomic_output(tmp_path / "out.json"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_is_not_laid_to_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), atomic_output(tmp_path / "out.json"):
        (tmp_path / "other").read_bytes()


def test_json_round_trip_is_the_same_bytes(tmp_path: Path) -> None:
    content = {"b": [1, 2.5, None], "a": "ü"}
    for name in ("one.json", "two.json"):
        write_json(tmp_path / name, content, indent=True)
    assert read_json(tmp_path / "one.json") == content
    assert sha256(tmp_path / "one.json") == sha256(tmp_path / "two.json")


@pytest.mark.parametrize(("text", "line"), [('{"a": [1, 2', "not valid JSON"), (None, "cannot be read: No such file")])
def test_bad_json_is_named(text: str | None, line: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"in\.json: {line}"):
        read_json(path)


def test_what_json_cannot_hold_is_said_of_the_output(tmp_path: Path) -> None:
    nested: list = []
    for _ in range(300):
        nested = [nested]
    for content in (nested, 2**64, "\ud800"):
        with pytest.raises(InputError, match=r"out\.json: cannot be written as JSON: "):
            write_json(tmp_path / "out.json", content)
    assert not list(tmp_path.iterdir())


def test_wrong_values_are_shown_short_and_otherwise_as_they_are() -> None:
    for value in (None, "train/a b.jpg", [1, 2.5, -3, 4], {"a": True}):
        assert shown(value) == repr(value)
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    for value in (nested, "x" * 10_000, list(range(10_000))):
        assert len(shown(value)) <= 200


def test_what_goes_to_one_disk_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5_000_000_000))
    one, other = tmp_path / "not/there/yet", tmp_path / "neither"
    need_space({one: 2_000_000_000, other: 3_000_000_000})
    with pytest.raises(InputError, match=rf"^{tmp_path}: needs 5\.1 GB of free disk space, 5\.0 GB are free$"):
        need_space({one: 2_000_000_000, other: 3_100_000_000})


def test_a_single_one_more_is_named() -> None:
    assert some(["a", "b", "c"], 2) == "a, b, c"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert some([], 2) == ""
