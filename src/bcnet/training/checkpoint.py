"""Checkpoints: written atomically, the newest valid one used."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from bcnet.files import atomic_output, read_json, sha256, write_json
from bcnet.unfinished.folder import RESULTS

KEPT = 2  # the newest, and one more in case the disk spoilt it


def keep_results(folder: Path, results: Sequence[Path]) -> None:
    """Keep a finished training's files in the folder in the place of its checkpoints, which are deleted.

    They are linked, so that they take no room as long as the files themselves are there.
    """
    for path in results:
        _link(path, folder / path.name)
    write_json(folder / RESULTS, {path.name: sha256(path) for path in results})
    for old in folder.glob("*.pt"):
        old.unlink()


def take_results(folder: Path, results: Sequence[Path]) -> bool:
    """Put the files that `keep_results` kept where they belong; false where they are not there.

    Neither where one is spoilt: a change of the file itself is one of what is linked to it.
    """
    kept = [folder / path.name for path in results]
    if not all(path.exists() for path in (folder / RESULTS, *kept)):
        return False
    known = read_json(folder / RESULTS)
    if any(known.get(path.name) != sha256(path) for path in kept):
        return False
    for path, result in zip(kept, results, strict=True):
        result.parent.mkdir(parents=True, exist_ok=True)
        _link(path, result)
    return True


def _link(source: Path, target: Path) -> None:
    with atomic_output(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or one without links
            shutil.copyfile(source, temporary)


def save_checkpoint(folder: Path, iteration: int, state: dict[str, Any]) -> None:
    """Write the state after `iteration` iterations, and delete older ones than the newest `KEPT`.

    Raises:
        InputError: the disk is full.
    """
    with atomic_output(folder / f"{iteration:08d}.pt") as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # what the disk said, of which torch made its own error
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.unlink()


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest file that can be read, with its state on the CPU, or None."""
    for path in sorted(folder.glob("[0-9]*.pt"), reverse=True):
        if state := load_checkpoint(path):
            return path, state
    return None


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state in a file, on the CPU; None, and a line on stderr, where it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
        print(f"{path}: unreadable, skipped: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
