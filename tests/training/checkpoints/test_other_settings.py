"""Checkpoints of other settings of the machine, full disks, and processes whose peers are killed."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_factory import make_project, run
from warm_process import SERVER, ended

from bcnet.files import InputError
from bcnet.training import checkpoint
from bcnet.training.checkpoint import newest_checkpoint, save_checkpoint
from bcnet.training.together import while_peers_live
from bcnet.unfinished.folder import NAME, begin, of_other_settings
from bcnet.weights.model_file import load_model

INTERRUPTED = """
from bcnet import cli
from bcnet.training import loop
save = loop.save_checkpoint
def saves(*arguments):
    save(*arguments)
    raise KeyboardInterrupt
loop.save_checkpoint = saves
cli.main(["train", "bcnet"])
"""


def test_a_checkpoint_of_other_settings_is_named_and_taken_when_asked(tmp_path: Path) -> None:
    make_project(tmp_path)
    assert ended(tmp_path, INTERRUPTED).returncode == 0
    (begun,) = (tmp_path / "data/checkpoints").iterdir()
    other = begun.rename(begun.with_name("other"))
    note = json.loads((other / NAME).read_text())
    note["key"]["processes"] = 2
    (other / NAME).write_text(json.dumps(note))

    said = run(tmp_path, "train bcnet --resume-anyway")
    line = "cannot resume from data/checkpoints/other: processes changed; --resume-anyway goes on from it\n"
    assert line in said
    assert "bcnet: resuming at iteration 2, until which it had processes 2\n" in said
    model = tmp_path / "data/demo/models/bcnet/0/model.safetensors"
    assert load_model(model).provenance["resumed"] == [{"until": 2, "processes": 2}]
    assert load_model(model).provenance["processes"] == 1
    shutil.rmtree(tmp_path / "data/demo/models")
    assert "bcnet: already trained" in run(tmp_path, "train bcnet")  # both tools take it as the result

    shutil.rmtree(begun)
    said = run(tmp_path, "train bcnet")
    assert line in said
    assert "resuming at" not in said
    assert "resumed" not in load_model(model).provenance


def work(data: Path, processes: int, checkpoint: int | None, **other: Any) -> Path:
    folder = begin(data, Path("model"), [], {"processes": processes, **other}, [], tell=False)
    if checkpoint is not None:
        save_checkpoint(folder, checkpoint, {"iteration": checkpoint})
    return folder


def test_the_newest_checkpoint_of_the_same_training_is_taken(tmp_path: Path) -> None:
    work(tmp_path, 2, 10)
    newest = work(tmp_path, 4, 20)
    work(tmp_path, 8, None)
    work(tmp_path, 1, 30, seed=1)  # another training
    assert of_other_settings(work(tmp_path, 1, None)) == (newest, {"processes": 4})


def test_what_is_another_training_is_not_offered(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = work(tmp_path, 2, 10, schedule={"lr": 1})
    folder = begin(tmp_path, Path("model"), [], {"processes": 1, "schedule": {"lr": 2}}, [])
    assert capsys.readouterr().err == f"model: cannot resume from {other}: processes, schedule.lr changed\n"
    assert of_other_settings(folder) is None


def test_it_is_said_until_there_is_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    work(tmp_path, 2, 10)
    for said in (1, 1):  # the second time the folder is there, without a checkpoint
        folder = begin(tmp_path, Path("model"), [], {"processes": 1}, [])
        assert capsys.readouterr().err.count("cannot resume") == said
    save_checkpoint(folder, 1, {"iteration": 1})
    begin(tmp_path, Path("model"), [], {"processes": 1}, [])
    assert not capsys.readouterr().err


class Full:
    """A file on a disk that takes no more than a number of bytes."""

    def __init__(self, file: Any, left: int) -> None:
        self.file, self.left = file, left

    def write(self, content: bytes) -> int:
        self.left -= len(content)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_full_disk_under_a_checkpoint_is_one_line(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"tensor": torch.ones(5000)}
    save_checkpoint(tmp_path, 1, state)
    save = torch.save
    monkeypatch.setattr(checkpoint.torch, "save", lambda state, file: save(state, Full(file, left)))
    with pytest.raises(InputError, match=r"00000002\.pt: cannot be written: No space left on device"):
        save_checkpoint(tmp_path, 2, state)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.pt"]
    assert newest_checkpoint(tmp_path) is not None


def meet(folder: Path, rank: int, connection: Any) -> None:
    os.environ["RANK"] = str(rank)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        with while_peers_live("bcnet train x"):
            for _ in range(100):
                torch.distributed.all_reduce(torch.ones(1))
                if rank:
                    os.kill(os.getpid(), signal.SIGKILL)
    except InputError as error:
        connection.send(str(error))


def test_a_killed_process_ends_the_other_in_one_line(tmp_path: Path) -> None:
    """As under srun, where nothing like torchrun ends them."""
    ours, theirs = SERVER.Pipe()
    processes = [SERVER.Process(target=meet, args=(tmp_path, rank, theirs), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    assert ours.poll(300)
    said = ours.recv()
    for process in processes:
        process.join()
    assert said.startswith("process 0: one of the 2 processes of this training has ended: see what it said; `bcnet")
    assert said.count("\n") == 0


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), while_peers_live("bcnet train x"):
        raise RuntimeError("shape")
