"""Processes of the program that have imported at their start what a training imports.

More than half of what a training of a test takes are imports. Here a server imports once for all tests of a pytest
process and computes nothing. Each process is forked from it, and is a process of its own: it can be killed, and what it
changes in modules is gone with it. It has one thread, as the server has.
"""

import multiprocessing
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

IMPORTED = ["bcnet.training.loop", "bcnet.inference.validation", "bcnet.inference.predict", "bcnet.weights.imagenet"]
IMPORTED += ["bcnet.cli", "bcnet.data.sources.fetch", "bcnet.data.occlusion.convert", "numba.np.arraymath"]
IMPORTED += ["dvc.cli.parser", "dvc.repo", "snakemake.cli", "bcnet.workflow.sync"]  # what the workflow tools import
PATIENCE = 600  # seconds, on a busy machine
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(IMPORTED)


def ended(folder: Path, code: str, *arguments: str) -> CompletedProcess[str]:
    """How `python -c code argument…` in that folder ends, and what it says on stderr.

    It leads a session of its own, so that a signal to its group reaches no other process.
    """
    with TemporaryDirectory() as notes:
        said = Path(notes, "stderr")
        process = SERVER.Process(target=_run, args=(folder, code, arguments, said))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{code} still runs after {PATIENCE} s: {said.read_text()}")
        return CompletedProcess(arguments, process.exitcode, stderr=said.read_text())


def _run(folder: Path, code: str, arguments: tuple[str, ...], said: Path) -> None:
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process that nobody forked
    os.chdir(folder)
    with said.open("wb") as file:
        os.dup2(file.fileno(), 2)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
