"""Locks: the same work by two processes at once, which would write the same files.

By hand the second one ends in a line at its start. As a stage of Snakemake or DVC it waits: the first one is probably a
stage of a run that was killed, and its result is the stage's own.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bcnet.files import InputError, remove_empty
from bcnet.progress import note

STAGES = ("SNAKEMAKE_STAGE", "DVC_STAGE")  # of the environment: one is there in a stage of that tool


@contextmanager
def alone(path: Path, command: str) -> Iterator[None]:
    """Do a piece of work while no other process does it, also on another machine that shares the folder.

    A lock ends with its process, however that ends. Of a training by several processes the first one holds it.

    Args:
        path: of the lock, which is there as long as the work; it holds a line about its process.
        command: what the line calls the work.

    Raises:
        InputError: another process holds the lock, and this is no stage; the line says which.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    new = [folder for folder in path.parents if not folder.exists()]
    descriptor = _acquire(path)
    os.ftruncate(descriptor, 0)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(descriptor, f"`{command}`, process {os.getpid()} on {socket.gethostname()} since {now}".encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        remove_empty([path.parent, *new[1:]])  # other locks may be there


def _acquire(path: Path) -> int:
    """The open lock file of a lock that is ours now."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the last one has just taken the folder away
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
            if not any(map(os.environ.get, STAGES)):
                os.close(descriptor)
                raise InputError(f"{path}: {holder} does this already: wait for it, or end it") from None
            note(f"{path}: {holder} does this already, perhaps left by a killed run: waiting until it ends")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            note(f"{path}: this disk has no locks ({error.strerror}): see that no other process does the same")
            return descriptor
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:  # not one that was taken away in between
                return descriptor
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock; true where the disk cannot tell."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
