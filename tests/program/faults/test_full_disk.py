"""Disks that are full, cannot be written, or know no locks; files that vanish; clocks that jump."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from evaluation_factory import made

from bcnet import locks
from bcnet.cli import main
from bcnet.files import write_json
from bcnet.locks import alone, is_held

FULL = """
import resource, sys
from bcnet import cli
assert cli.main([*sys.argv[1:], "--out", "first.json"]) == 0  # what is compiled is kept, too
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))  # bytes of a file
sys.exit(cli.main([*sys.argv[1:], "--out", "out.json"]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ground truth, converted ground truth, predictions."""
    monkeypatch.chdir(tmp_path)
    truth, predictions = made(0)
    write_json(tmp_path / "bilayer.json", truth)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    write_json(tmp_path / "truth.json", truth)
    write_json(tmp_path / "predictions.json", predictions)
    return tmp_path


VERBS = [
    "convert --annotations truth.json --jobs 1",
    "split --annotations bilayer.json --rule all",
    "evaluate --annotations bilayer.json --predictions predictions.json",
]


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line_and_leaves_nothing(verb: str, folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    ended = subprocess.run([sys.executable, "-c", FULL, *verb.split()], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"bcnet {verb.split()[0]}: out.")
    assert "cannot be written: " in line
    assert {path.name for path in folder.iterdir() if not path.name.startswith("first.")} == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_cannot_be_written_is_one_line(verb: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*verb.split(), "--out", "truth.json/out.json"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("cannot be written: File exists")


@contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """The folder as someone sees it who may read it, and write nothing."""
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:  # who may write everything
        os.seteuid(65534)
    yield
    os.seteuid(user)
    folder.chmod(0o755)


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_another_user_is_one_line(verb: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*verb.split(), "--out", "theirs.json"]) == 0
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    capsys.readouterr()
    with as_another_user(folder):
        codes = [main([*verb.split(), "--out", out]) for out in ("theirs.json", "ours.json")]
    assert codes == [2, 2]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bcnet ")]
    assert len(said) == 2
    assert all("cannot be written: Permission denied" in line for line in said)
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


def test_a_lock_of_another_user_is_refused_by_the_disk(folder: Path) -> None:
    """An `OSError`, which the program says in a line."""
    (folder / "locks").mkdir()
    theirs = alone(Path("locks/work"), "bcnet x")
    refused = pytest.raises(PermissionError)
    with theirs, as_another_user(folder), refused, alone(Path("locks/work"), "bcnet x"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_named_and_used(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    done = False
    with alone(tmp_path / "locks/work", "bcnet x"):
        done = True
        assert is_held(tmp_path / "locks/work")  # so that nobody removes it
    assert done
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/locks/work: this disk has no locks ({os.strerror(code)})")
    assert said.count("\n") == 1


def test_a_file_that_vanishes_is_one_line(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "predictions.json").unlink()
    assert main([*VERBS[2].split(), "--out", "out.json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("jump", [-(10**8), 10**8])
def test_files_of_the_past_and_of_the_future_are_read_alike(jump: int, folder: Path) -> None:
    assert main([*VERBS[0].split(), "--out", "first.json"]) == 0
    os.utime("truth.json", (time.time() + jump, time.time() + jump))
    assert main([*VERBS[0].split(), "--out", "second.json"]) == 0
    assert Path("first.json").read_bytes() == Path("second.json").read_bytes()
