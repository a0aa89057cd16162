"""A killed Snakemake or DVC: its locks go, those of one that lives stay, and the stage it left is waited for."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.locks import alone
from bcnet.workflow import tools

HOLD = "from bcnet.workflow.tools import unlock_snakemake; unlock_snakemake(); print(flush=True); input()"
NOBODY = {"write": {}, "read": {}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "presets/demo.yaml").read_text())
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


def snakemake_locks() -> list[Path]:
    tools.SNAKEMAKE_LOCKS.mkdir(parents=True)
    for name in ("0.input.lock", "0.output.lock"):
        (tools.SNAKEMAKE_LOCKS / name).write_text("data/demo/a.json\n")
    return sorted(tools.SNAKEMAKE_LOCKS.iterdir())


def unlocks() -> str:
    """What a process says that reads the Snakefile now."""
    ended = subprocess.run([sys.executable, "-c", HOLD], input="\n", capture_output=True, text=True, check=True)
    return ended.stderr


def test_snakemakes_locks_stay_while_one_lives_and_go_after_it(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        locks = snakemake_locks()
        assert unlocks() == ""
        assert sorted(tools.SNAKEMAKE_LOCKS.iterdir()) == locks
        running.kill()
    assert unlocks() == ".snakemake/locks: a Snakemake that was killed has left its locks here: removed\n"
    assert not tools.SNAKEMAKE_LOCKS.exists()
    assert unlocks() == ""


def test_a_child_of_a_killed_snakemake_is_no_snakemake(folder: Path) -> None:
    code = HOLD.replace(
        "print(flush=True)", "import subprocess; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.kill()
    try:
        snakemake_locks()
        assert "removed" in unlocks()
    finally:
        os.kill(child, 9)


def test_a_disk_without_locks_leaves_snakemakes_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks = snakemake_locks()

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(tools.fcntl, "flock", no_locks)
    tools.unlock_snakemake()
    assert sorted(tools.SNAKEMAKE_LOCKS.iterdir()) == locks


def test_the_snakefile_frees_before_snakemake_looks_and_leaves_that_of_jobs_alone() -> None:
    lines = (ROOT / "workflow/Snakefile").read_text().splitlines()
    place = lines.index("    unlock_snakemake()")
    assert lines[place - 1].startswith("if workflow.is_main_process:")
    assert not any(line.startswith(("include:", "rule ")) for line in lines[:place])


@pytest.mark.parametrize(
    "left", ["", '{"write": {"/a', json.dumps({"write": {"/a": {"pid": 1, "cmd": "x"}}, "read": {}})]
)
def test_what_a_killed_dvc_left_is_removed(left: str, capsys: pytest.CaptureFixture) -> None:
    tools.DVC_LOCKS.write_text(left)
    tools.unlock_dvc()
    assert json.loads(tools.DVC_LOCKS.read_text()) == NOBODY
    assert capsys.readouterr().err == ".dvc/tmp/rwlock: a DVC that was killed has left its locks here: removed\n"
    tools.unlock_dvc()
    assert not capsys.readouterr().err


def test_dvc_takes_what_is_left() -> None:
    """An empty file is what ends every later `dvc repro`."""
    from dvc.fs import localfs
    from dvc.rwlock import RWLockFileCorruptedError, rwlock

    tools.DVC_LOCKS.write_text("")
    with pytest.raises(RWLockFileCorruptedError), rwlock(".dvc/tmp", localfs, "x", [], ["/a"], False):
        pass
    tools.unlock_dvc()
    with rwlock(".dvc/tmp", localfs, "x", [], ["/a"], False):
        assert "/a" in tools.DVC_LOCKS.read_text()


def test_the_locks_of_a_dvc_that_lives_stay(folder: Path) -> None:
    (folder / "dvc").write_text("input()")
    with subprocess.Popen([sys.executable, "dvc", "repro"], stdin=subprocess.PIPE) as running:
        tools.DVC_LOCKS.write_text("")
        while Path(f"/proc/{running.pid}/cmdline").read_bytes().count(b"dvc") == 0:
            time.sleep(0.01)
        with pytest.raises(InputError, match=rf"DVC runs here already \(process {running.pid}\)"):
            tools.unlock_dvc()
        assert tools.DVC_LOCKS.read_text() == ""
        running.kill()
    tools.unlock_dvc()


@pytest.mark.parametrize(
    ("text", "kept"), [("schema: '2.0'\nstages: {}\n", True), ("", False), ("a: [", False), ("a", False)]
)
def test_half_a_record_of_dvcs_is_put_aside(text: str, kept: bool, capsys: pytest.CaptureFixture) -> None:
    tools.DVC_RECORD.write_text(text)
    tools.unlock_dvc()
    assert tools.DVC_RECORD.exists() == kept
    assert ("half-written" in capsys.readouterr().err) != kept


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("run snakemake", ["snakemake"]),
        ("run snakemake --cores 2 -n", ["snakemake", "--cores", "2", "-n"]),
        ("run dvc", ["dvc", "repro"]),
        ("run dvc compare", ["dvc", "repro", "compare"]),
    ],
)
def test_run_becomes_the_tool(line: str, started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append(arguments))
    assert main(line.split()) == 0
    assert calls == [[sys.executable, "-m", *started]]


def hold(path: Path, connection: multiprocessing.connection.Connection) -> None:
    with alone(path, "bcnet something"):
        connection.send("held")
        connection.recv()


@pytest.mark.parametrize("stage", ["SNAKEMAKE_STAGE", "DVC_STAGE"])
def test_a_stage_waits_for_what_a_killed_run_left(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "locks/work"
    context = multiprocessing.get_context("fork")
    ours, theirs = multiprocessing.Pipe()
    orphan = context.Process(target=hold, args=(path, theirs), daemon=True)
    orphan.start()
    ours.recv()
    monkeypatch.setattr("bcnet.locks.note", lambda line: (print(line, end=""), ours.send("end")))
    monkeypatch.setenv(stage, "1")
    with alone(path, "bcnet x"):
        assert "`bcnet x`" in path.read_text()
    orphan.join()
    assert f"`bcnet something`, process {orphan.pid} on " in (said := capsys.readouterr().out)
    assert said.endswith("perhaps left by a killed run: waiting until it ends")
