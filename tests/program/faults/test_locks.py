"""The same work by two processes at once: the second one ends at its start, with a line that says who holds it."""

import multiprocessing
import multiprocessing.connection
import os
from pathlib import Path

import pytest
from places import ROOT

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.layout import lock
from bcnet.locks import alone

WORK = {
    "fetch demo": lock("fetch", "demo", "parts"),
    "train bcnet --seed 0": lock("train", "demo", "bcnet", "0"),
    "predict bcnet": lock("predict", "demo", "bcnet", "0", "val"),
    "synthesize pasted": lock("synthesize", "demo", "pasted"),
}


def hold(path: Path, connection: multiprocessing.connection.Connection) -> None:
    with alone(path, "bcnet something"):
        connection.send("held")
        connection.recv()


@pytest.mark.parametrize("command", WORK)
def test_the_second_one_says_who_holds_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "presets/demo.yaml").read_text().replace("synthetic: {}", "synthetic: {pasted: {pictures: 1}}")
    Path("params.yaml").write_text(text)
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("fork").Process(target=hold, args=(WORK[command], theirs), daemon=True)
    holder.start()
    assert ours.recv() == "held"
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{WORK[command]}: `bcnet something`, process {holder.pid} on " in said
    assert said.endswith("does this already: wait for it, or end it\n")
    ours.send("end")
    holder.join()
    assert not list(tmp_path.rglob("locks"))


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "locks/work"
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("fork").Process(target=hold, args=(path, theirs), daemon=True)
    holder.start()
    ours.recv()
    with pytest.raises(InputError, match="does this already"), alone(path, "x"):
        pass
    holder.kill()
    holder.join()
    assert path.exists()
    with alone(path, "bcnet x"):
        assert f"`bcnet x`, process {os.getpid()}" in path.read_text()
    assert not path.parent.exists()


def test_of_several_processes_of_one_training_the_first_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with alone(tmp_path / "locks/work", "first"):
        monkeypatch.setenv("RANK", "1")
        with alone(tmp_path / "locks/work", "second"):
            pass
        assert "first" in (tmp_path / "locks/work").read_text()


def test_different_work_goes_on_side_by_side(tmp_path: Path) -> None:
    with (
        alone(lock("predict", "demo", "a", data=tmp_path), "a"),
        alone(lock("predict", "demo", "b", data=tmp_path), "b"),
    ):
        assert len(list((tmp_path / "locks").iterdir())) == 2


def test_work_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "locks/work", "x"):
        raise ZeroDivisionError
    assert not (tmp_path / "locks").exists()
