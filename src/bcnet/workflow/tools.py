"""Snakemake and DVC go on after a kill: the locks that one of them left behind are removed if its process is gone."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bcnet.files import InputError, write_json
from bcnet.params import load
from bcnet.progress import note

TOOLS = {"snakemake": [], "dvc": ["repro"]}  # and what each is told first
RUNNING = Path(".snakemake/running")  # locked by every Snakemake here, from when it reads the Snakefile until it ends
SNAKEMAKE_LOCKS = Path(".snakemake/locks")
DVC_LOCKS = Path(".dvc/tmp/rwlock")  # who reads and writes what, JSON
DVC_GUARD = Path(".dvc/tmp/rwlock.lock")  # locked by a DVC that changes it
DVC_RECORD = Path("dvc.lock")
NOBODY: dict[str, dict[str, Any]] = {"write": {}, "read": {}}  # what it says when no DVC runs


def run(tool: str, arguments: list[str]) -> None:
    """Become Snakemake or `dvc repro`, after what a killed run has left behind is out of its way.

    Raises:
        InputError: params.yaml is wrong, or a DVC runs here already.
    """
    load()
    if tool == "dvc":
        unlock_dvc()
    os.execv(sys.executable, [sys.executable, "-m", tool, *TOOLS[tool], *arguments])


def unlock_snakemake() -> None:
    """Remove Snakemake's locks if its process is gone. The Snakefile calls this, before Snakemake looks at them.

    They do not say whose they are. So each Snakemake locks a file of ours as well, which ends with its process; where
    the disk has no such locks, Snakemake's stay.
    """
    try:
        RUNNING.parent.mkdir(exist_ok=True)
        descriptor = os.open(RUNNING, os.O_RDWR | os.O_CREAT, 0o666)  # never closed, but not inherited
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another one runs, or this one's own job or dry run
        pass
    except OSError:
        return
    else:
        if any(SNAKEMAKE_LOCKS.glob("*.lock")):
            shutil.rmtree(SNAKEMAKE_LOCKS, ignore_errors=True)
            note(f"{SNAKEMAKE_LOCKS}: a Snakemake that was killed has left its locks here: removed")
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def unlock_dvc() -> None:
    """Remove from DVC's locks those of processes that are gone, and what a kill has left half-written.

    Raises:
        InputError: a DVC runs here already.
    """
    if running := list(_dvc_here()):
        raise InputError(f"DVC runs here already (process {running[0]}): wait for it, or end it")
    if DVC_RECORD.exists() and not _is_yaml(DVC_RECORD):
        DVC_RECORD.replace(DVC_RECORD.with_suffix(".broken"))
        note(f"{DVC_RECORD}: half-written by a DVC that was killed: moved to {DVC_RECORD.with_suffix('.broken')}")
    if not DVC_LOCKS.exists():
        return
    with DVC_GUARD.open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if _dvc_locks(DVC_LOCKS) != NOBODY:
            write_json(DVC_LOCKS, NOBODY)
            note(f"{DVC_LOCKS}: a DVC that was killed has left its locks here: removed")


def _dvc_here() -> Iterator[int]:
    """Processes of DVC that run stages in this folder or below it, on this machine."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = (process / "cwd").readlink()
        except OSError:  # it has ended, or is another user's
            continue
        is_dvc = any(Path(part).name == "dvc" for part in command[:3]) and {"repro", "exp"} & set(command)
        if is_dvc and folder.is_relative_to(Path.cwd()) and process.name != str(os.getpid()):
            yield int(process.name)


def _dvc_locks(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:  # a kill has left it empty, or half of it
        return None


def _is_yaml(path: Path) -> bool:
    from ruamel.yaml import YAML, YAMLError

    try:
        return isinstance(YAML(typ="safe").load(path), dict)
    except (YAMLError, ValueError):
        return False
