"""The verb `clean`: what killed and finished work has left behind, shown and, when told to, removed."""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bcnet.files import InputError, sha256
from bcnet.layout import DatasetFiles, checkpoints, downloads, lock
from bcnet.locks import is_held
from bcnet.unfinished.code import code_digest
from bcnet.unfinished.folder import RESULTS, About, about

RECENT = 600  # seconds: what has changed since may be in use
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<suffix>\.[^.]+)?")  # as `files.atomic_output` calls them


@dataclass(frozen=True)
class Leftover:
    """Something to be removed: its files or folders, why it is of no more use, and its bytes."""

    paths: tuple[Path, ...]
    why: str
    size: int


def clean(data: Path, reports: Path, yes: bool) -> None:
    """List what is left over, and remove it after asking.

    Args:
        data, reports: the folders of all datasets.
        yes: remove without asking.

    Raises:
        InputError: nobody can be asked.
    """
    leftovers = [*old_checkpoints(data), *partial_downloads(data), *stale_locks(data), *old_shards(data)]
    leftovers += [*temporary_files(data), *temporary_files(reports)]
    if not leftovers:
        print("nothing to remove")
        return
    for leftover in leftovers:
        print(f"{_megabytes(leftover.size)}  {leftover.paths[0]}: {leftover.why}")
    total = f"{len(leftovers)} left over, {_megabytes(sum(leftover.size for leftover in leftovers))}"
    if not yes and not sys.stdin.isatty():
        raise InputError(f"{total}: no terminal to ask on, use --yes to remove them without asking")
    if not yes and input(f"{total}. Remove them? [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing removed")
        return
    for path in (path for leftover in leftovers for path in leftover.paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    print(f"{total}: removed")


def old_checkpoints(data: Path) -> Iterator[Leftover]:
    """Checkpoints and stored predictions that no training or prediction will go on from.

    Their work is finished, or the code or an input is another one by now, or later work makes the same file. What may
    still go on stays, as does what changed so recently that it may be running, and the results of a finished training,
    which are links and take no room: its stage puts them back if it runs again, such as for a new label.
    """
    folders = sorted(folder for folder in checkpoints(data).glob("*") if folder.is_dir())
    times = {folder: max((path.stat().st_mtime for path in _files(folder)), default=0.0) for folder in folders}
    known = {folder: about(folder) for folder in folders}
    newest: dict[str, float] = {}
    for folder, told in known.items():
        if told:
            newest[told.makes] = max(newest.get(told.makes, 0.0), times[folder])
    for folder, told in known.items():
        why = None if (folder / RESULTS).exists() else _finished(told, times[folder])
        if not why and time.time() - times[folder] > RECENT:
            why = _useless(told, times[folder], newest)
        if why:
            yield Leftover((folder,), why, _size(folder))


def _finished(told: About | None, changed: float) -> str | None:
    if told and Path(told.makes).exists() and Path(told.makes).stat().st_mtime >= changed:
        return f"{told.makes} is finished"
    return None


def _useless(told: About | None, changed: float, newest: dict[str, float]) -> str | None:
    if told is None:
        return "of an earlier version, which did not note what it makes"
    if told.key.get("code") != code_digest(told.modules):
        return f"{told.makes}: the code has changed"
    for path, digest in told.inputs.items():
        if Path(path).exists() and sha256(Path(path)) != digest:
            return f"{told.makes}: {path} has changed"
    if changed < newest[told.makes]:
        return f"{told.makes}: was started again with other settings"
    return None


def partial_downloads(data: Path) -> Iterator[Leftover]:
    """Downloads that are not whole, which a later run would go on with; not those that a process is loading."""
    for part in sorted(downloads(data).glob("*.part")):
        whole = part.with_suffix("")
        beside = [whole.with_name(whole.name + ending) for ending in (".part.from", ".lock")]
        if _is_locked(beside[1]):
            continue
        yield Leftover((part, *beside), "an incomplete download", part.stat().st_size)


def _is_locked(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def stale_locks(data: Path) -> Iterator[Leftover]:
    """Locks of killed processes; their own work would take them again."""
    for path in sorted(lock("x", data=data).parent.glob("*")):
        if not is_held(path):
            yield Leftover((path,), "a lock that no process holds", path.stat().st_size)


def old_shards(data: Path) -> Iterator[Leftover]:
    """Converted shards that a killed run left when the whole was there; others may still be put together."""
    of_any_part = DatasetFiles(Path("*")).shard("*", "any").parent
    for folder in sorted(data.glob(str(of_any_part))):
        whole = DatasetFiles(folder.parents[2]).bilayer(folder.name)
        changed = max((path.stat().st_mtime for path in _files(folder)), default=time.time())
        if whole.exists() and whole.stat().st_mtime >= changed:
            yield Leftover((folder,), f"{whole} is finished", _size(folder))


def temporary_files(folder: Path) -> Iterator[Leftover]:
    """Files that a killed process was writing. Linked folders, which are the user's, are not looked into."""
    for path in _files(folder):
        match = TEMPORARY.fullmatch(path.name)
        if match and match["name"].endswith(match["suffix"] or "") and time.time() - path.stat().st_mtime > RECENT:
            yield Leftover((path,), f"{match['name']} was not finished", path.stat().st_size)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
