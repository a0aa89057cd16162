"""Checkpoints: written atomically, the newest valid one used."""

import os
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from bcnet.files import atomic_output

KEPT = 2  # the newest, and one more in case the disk spoilt it


def save_checkpoint(folder: Path, iteration: int, state: dict[str, Any]) -> None:
    """Write the state after `iteration` iterations, and delete older ones than the newest `KEPT`."""
    with atomic_output(folder / f"{iteration:08d}.pt") as temporary, temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.unlink()


def newest_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state that can be read, or None. One that cannot is named on stderr and passed over."""
    for path in sorted(folder.glob("[0-9]*.pt"), reverse=True):
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
            print(f"{path}: unreadable, passed over: {str(error).splitlines()[0]}", file=sys.stderr)
    return None
