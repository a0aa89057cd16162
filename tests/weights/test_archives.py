"""Files of torch.save are zip archives: none is inflated, whatever it says it holds."""

import copy
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from bcnet.files import InputError
from bcnet.weights import foreign_file
from bcnet.weights.foreign_file import read_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3)}


def saved(path: Path, **options: Any) -> Path:
    torch.save(TENSORS, path, **options)
    return path


def compressed(path: Path) -> Path:
    """What torch reads as happily: the same members, deflated, one of them large and empty."""
    with (
        zipfile.ZipFile(saved(path.with_suffix(".own"))) as own,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for name in own.namelist():
            content = own.read(name)
            file.writestr(name, content + bytes(50_000_000) if name.endswith("/0") else content)
    return path


def overlapping(path: Path) -> Path:
    """A thousand members of the same bytes."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data/0", bytes(100_000))
        for index in range(1, 1000):
            other = copy.copy(file.filelist[0])
            other.filename = f"archive/data/{index}"
            file.filelist.append(other)
    return path


def cut(path: Path) -> Path:
    saved(path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (compressed, r"m\.pth: own/\S+ is compressed, 50 MB in all: torch\.save compresses nothing"),
        (overlapping, r"m\.pth: its members share bytes, 100 MB in all"),
        (cut, r"m\.pth: not a file of torch\.save: File is not a zip file"),
    ],
)
def test_archives_that_are_larger_inside_are_refused_unread(
    make: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "m.pth")
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(foreign_file.torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(InputError, match=line.replace("own/", r"\w+/")):
        read_tensors(path)


@pytest.mark.parametrize("new", [True, False])
def test_what_torch_writes_is_read(new: bool, tmp_path: Path) -> None:
    read = read_tensors(saved(tmp_path / "m.pth", _use_new_zipfile_serialization=new))
    assert torch.equal(read["weight"], TENSORS["weight"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.pth: cannot be read: No such file"):
        read_tensors(tmp_path / "m.pth")
