"""`bcnet clean` removes what nobody will go on with, and nothing else."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from bcnet import clean
from bcnet.cli import main
from bcnet.layout import DATA, DatasetFiles, checkpoints, downloads, lock
from bcnet.locks import alone
from bcnet.unfinished import folder as unfinished
from bcnet.unfinished.folder import begin

RUN = DatasetFiles(DATA / "demo").run("bcnet", "0")
LONG_AGO = time.time() - 3600


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Half a training, a model of another one, pictures of a user's, a whole download."""
    monkeypatch.chdir(tmp_path)
    put(RUN.dataset.bilayer("train"), "{}")
    half_trained("fits")
    put(RUN.dataset.run("mask-rcnn", "0").model, "tensors")
    (tmp_path / "own").mkdir()
    put(tmp_path / "own/.a.png.abcd_123.png", "a user's")
    RUN.dataset.images("val").parent.mkdir(parents=True)
    RUN.dataset.images("val").symlink_to(tmp_path / "own")
    put(downloads() / "val2017.zip", "whole")
    return tmp_path


def put(path: Path, text: str, changed: float = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (changed, changed))


def half_trained(name: str, changed: float = LONG_AGO, makes: Path = RUN.model) -> Path:
    begun = begin(DATA, makes, [RUN.dataset.bilayer("train")], {"name": name}, ["bcnet.training.sampler"])
    folder = checkpoints() / name
    shutil.rmtree(folder, ignore_errors=True)
    begun.rename(folder)
    os.utime(folder / unfinished.NAME, (changed, changed))
    put(folder / "00000050.pt", "state", changed)
    return folder


def everything() -> set[Path]:
    return {path for path in Path().rglob("*") if not path.is_dir()}


def test_nothing_is_left_over_of_what_may_go_on(project: Path, capsys: pytest.CaptureFixture) -> None:
    before = everything()
    assert main(["clean", "--yes"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert everything() == before


def finished() -> None:
    put(RUN.model, "tensors", LONG_AGO + 60)
    half_trained("fits")


def of_other_code() -> None:
    path = checkpoints() / "fits" / unfinished.NAME
    put(path, path.read_text().replace('"code":"', '"code":"0'))


def of_other_input() -> None:
    put(RUN.dataset.bilayer("train"), "[]")


def begun_anew() -> None:
    half_trained("later", LONG_AGO + 60)


def of_an_earlier_version() -> None:
    (checkpoints() / "fits" / unfinished.NAME).unlink()


@pytest.mark.parametrize("change", [finished, of_other_code, of_other_input, begun_anew, of_an_earlier_version])
def test_checkpoints_that_nothing_goes_on_from_are_removed(change: Callable[[], None], project: Path) -> None:
    change()
    before = everything()
    assert main(["clean", "--yes"]) == 0
    assert {path.parent for path in before - everything()} == {checkpoints() / "fits"}


def trained(change: Callable[[], None] = lambda: None) -> None:
    """A training that is finished, with its results kept."""
    finished()
    put(checkpoints() / "fits" / unfinished.RESULTS, "{}")
    change()


def test_what_a_finished_training_puts_back_is_kept(project: Path) -> None:
    trained()
    before = everything()
    assert main(["clean", "--yes"]) == 0
    assert everything() == before


@pytest.mark.parametrize("change", [of_other_code, of_other_input, begun_anew])
def test_unless_it_will_never_be_put_back(change: Callable[[], None], project: Path) -> None:
    trained(change)
    assert main(["clean", "--yes"]) == 0
    assert not (checkpoints() / "fits").exists()


def test_what_changed_a_moment_ago_may_be_running(project: Path) -> None:
    half_trained("fits", time.time() - 60)
    of_other_input()
    put(RUN.dataset.folder / ".val.json.abcd1234.json", "[", time.time() - 60)
    before = everything()
    assert main(["clean", "--yes"]) == 0
    assert everything() == before


def test_partial_downloads_and_temporary_files_are_removed(project: Path, capsys: pytest.CaptureFixture) -> None:
    gone = {downloads() / f"train2017.zip{ending}" for ending in (".part", ".part.from", ".lock")}
    gone |= {RUN.predictions().with_name(".val.json.abcd_123.json"), Path("reports/demo/.index.html.x1y2z3a4.html")}
    kept = {RUN.dataset.folder / name for name in (".gitignore", ".hidden.json", ".a.json.abcd1234.csv")}
    for path in gone | kept:
        put(path, "1" * 10**6)
    before = everything()
    assert main(["clean", "--yes"]) == 0
    assert before - everything() == gone
    said = capsys.readouterr().out
    assert "1.0 MB  data/downloads/train2017.zip.part: an incomplete download\n" in said
    assert said.endswith("3 left over, 3.0 MB: removed\n")


def test_a_download_that_runs_is_left_alone(project: Path) -> None:
    put(downloads() / "train2017.zip.part", "half")
    before = everything()
    with FileLock(downloads() / "train2017.zip.lock"):
        assert main(["clean", "--yes"]) == 0
    assert before <= everything()


def test_a_lock_goes_unless_it_is_held(project: Path, capsys: pytest.CaptureFixture) -> None:
    put(lock("train", "demo", "bcnet", "0"), "`bcnet train bcnet`, process 1")
    with alone(lock("train", "demo", "bcnet", "1"), "bcnet train bcnet"):
        before = everything()
        assert main(["clean", "--yes"]) == 0
        assert before - everything() == {lock("train", "demo", "bcnet", "0")}
    assert "train.demo.bcnet.0: a lock that no process holds\n" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("Yes", True), ("n", False), ("", False)])
def test_it_asks(answer: str, removed: bool, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_other_input()
    asked: list[str] = []
    monkeypatch.setattr(clean.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)
    assert main(["clean"]) == 0
    assert len(asked) == 1
    assert (checkpoints() / "fits").exists() != removed


def test_without_a_terminal_it_needs_to_be_told(project: Path, capsys: pytest.CaptureFixture) -> None:
    of_other_input()
    before = everything()
    assert main(["clean"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("bcnet clean: 1 left over, 0.0 MB: no terminal to ask on, use --yes")
    assert said.err.count("\n") == 1
    assert "data/checkpoints/fits" in said.out
    assert everything() == before


def test_an_empty_folder_has_nothing_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["clean"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_shards_go_when_the_whole_is_there(project: Path, capsys: pytest.CaptureFixture) -> None:
    files, before = RUN.dataset, {*project.rglob("*")}
    for part, changed in (("train", LONG_AGO - 1), ("val", LONG_AGO)):  # of val there is no whole
        put(files.shard(part, "1-of-2"), "part", changed)
    assert main(["clean", "--yes"]) == 0
    assert f"{files.shard('train', 'any').parent}: {files.bilayer('train')} is finished" in capsys.readouterr().out
    assert not files.shard("train", "1-of-2").exists()
    assert files.shard("val", "1-of-2").exists()
    put(files.bilayer("train"), "{}", LONG_AGO - 2)
    put(files.shard("train", "1-of-2"), "newer", LONG_AGO)
    assert main(["clean", "--yes"]) == 0
    assert files.shard("train", "1-of-2").exists()
    assert before <= {*project.rglob("*")}
