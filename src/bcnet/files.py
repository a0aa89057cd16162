"""Reading and writing files: clear errors for bad input, and outputs that are never half-written."""

import codecs
import filecmp
import hashlib
import json
import os
import reprlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how such a text begins


class InputError(Exception):
    """Wrong input. Its one line names file, key, value and what was expected; the program ends with exit code 2.

    Text of several lines, as other programs' errors have, becomes one. Of what PyTorch makes of one that was raised in
    a process of its loader, with a traceback before it, the line itself is left.
    """

    def __init__(self, line: str) -> None:
        own = line.rpartition("bcnet.files.InputError: ")[2]
        super().__init__(" ".join(part.strip() for part in own.splitlines() if part.strip()))


def shown(value: Any) -> str:
    """A wrong value as the line of an error shows it: like `repr`, but short, also of what is nested without end."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 200
    return short.repr(value)


def as_in_file(value: Any, longest: int = 60) -> str:
    """A wrong value of a JSON file as it stands there, cut after `longest` characters; `shown` where it is no JSON."""
    text = ""
    try:
        for part in json.JSONEncoder().iterencode(value):  # part by part: it may be large, or nested without end
            text += part
            if len(text) > longest:
                return f"{text[:longest]}…"
    except (TypeError, ValueError):
        return shown(value)
    return text


def at_place(what: str, place: int) -> str:
    """What lines call an entry of a list that has no id: "image at place 2 (from 0)"."""
    return f"{what} at place {place} (from 0)"


def some(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are; a single one more is named."""
    shorter = len(names) > most + 1
    return ", ".join(names[:most] if shorter else names) + (f" and {len(names) - most} more" if shorter else "")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be read.

    Raises:
        InputError: in place of an `OSError` of what is done inside.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of these folders that are empty; inner ones stand before outer ones."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def atomic_output(path: Path, keep_equal: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` at the end, delete it after an exception.

    Folders that were made for it are deleted then, too.

    Args:
        keep_equal: a file of the same bytes that is already there stays, with its time, so that nothing runs again.

    Raises:
        InputError: `path` is a folder, its folder cannot be created or written, or the disk is full.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    new = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        if not (keep_equal and path.exists() and filecmp.cmp(temporary, path, shallow=False)):
            temporary.replace(path)
    except OSError as error:
        if error.filename is not None:  # of another file, which the error names
            raise
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error  # a full disk
    finally:
        temporary.unlink(missing_ok=True)
        remove_empty(new)


def check_out(out: Path, **inputs: Path | None) -> None:
    """See that what `--out` names is a JSON file, and none of the inputs.

    Args:
        inputs: the other files of the command, by their flags; None: not given.

    Raises:
        InputError: it is not.
    """
    given = {f"--{flag}": path.resolve() for flag, path in inputs.items() if path}
    if out.suffix != ".json" or out.resolve() in given.values():
        other = f" other than {' and '.join(given)}" if given else ""
        raise InputError(f"--out {out}: expected a .json file{other}")


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        InputError: the file is missing, unreadable, or not JSON (the line says where it breaks off).
    """
    with readable(path):
        content = path.read_bytes()
    return from_json(path, content)


def from_json(path: Path, content: bytes) -> Any:
    """Parse the content of a JSON file.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        why = f"not valid JSON (truncated?): {error}"
        if content.startswith(codecs.BOM_UTF8):
            why = "not valid JSON: it begins with a byte order mark (PowerShell writes one), expected UTF-8 without it"
        elif content.startswith(UTF16):
            why = "not valid JSON: UTF-16 text, expected UTF-8 (in PowerShell: Out-File -Encoding utf8)"
        raise InputError(f"{path}: {why}") from error


def write_json(path: Path, content: Any, indent: bool = False, keep_equal: bool = False) -> None:
    """Write JSON atomically. Key order is the content's own, so equal content gives equal bytes.

    Args:
        keep_equal: as of `atomic_output`.

    Raises:
        InputError: it cannot be written, or holds what JSON cannot: more than 254 levels, integers above 64 bits.
    """
    options = orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if indent else 0)
    with atomic_output(path, keep_equal) as temporary:
        try:
            temporary.write_bytes(orjson.dumps(content, option=options))
        except orjson.JSONEncodeError as error:  # by a user's content only: lists in lists in lists, half characters
            raise InputError(f"{path}: cannot be written as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        InputError: the file is missing or unreadable.
    """
    with readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def need_space(needed: Mapping[Path, int]) -> None:
    """See that the disks have room for what is to be written.

    Args:
        needed: bytes to be written below each folder; the folders need not exist. Those on one disk are added up.

    Raises:
        InputError: a disk has less free space.
    """
    disks: dict[int, tuple[Path, int]] = {}
    for folder, size in needed.items():
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        _, before = disks.get(existing.stat().st_dev, (existing, 0))
        disks[existing.stat().st_dev] = (existing, before + size)
    for folder, size in disks.values():
        if (free := shutil.disk_usage(folder).free) < size:
            raise InputError(f"{folder}: needs {size / 1e9:.1f} GB of free disk space, {free / 1e9:.1f} GB are free")
