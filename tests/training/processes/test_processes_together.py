"""What the processes of a training tell each other: where it resumes, and whether it ends while the first one works."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from warm_process import SERVER

from bcnet.files import InputError
from bcnet.training import loop, resume, together
from bcnet.training.checkpoint import save_checkpoint
from bcnet.training.stopping import ToldToEndError
from bcnet.training.together import GRACE, Together, start


class Fake:
    """In the place of a training and its curve: keeps what it is given."""

    name = "x"

    def __init__(self) -> None:
        self.log: dict[str, Any] = {"iteration": 0, "resumed": []}

    @property
    def iteration(self) -> int:
        return self.log["iteration"]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log = state.get("log", self.log)


def resumed(peers: Together, folder: Path) -> str:
    training = Fake()
    try:
        resume.resume(training, Fake(), peers, folder, anyway=False)
    except InputError as error:
        return str(error)
    except SystemExit as end:
        return f"ends with {end.code}"
    return f"at {training.iteration}"


def meet(folder: Path, rank: int, connection: Any) -> None:
    """What one of two processes sees; the second sees another folder of checkpoints at first."""
    together.PATIENCE = timedelta(seconds=3)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    peers = Together(rank, 2, 2, torch.device("cpu"))
    asked: list[bool] = []
    told_after = iter([False] * 4 + [rank == 1] * 100)

    def work(stop: Any) -> None:
        """Four seconds, more than the other one waits for a sign of life."""
        while len(asked) < 8 and not (asked and asked[-1]):
            time.sleep(0.8)
            asked.append(stop())

    peers.first_alone(work, lambda: next(told_after))
    said = [asked, peers.of_first(f"of {rank}")]
    os.chdir(folder / "shared")
    said.append(resumed(peers, Path("checkpoints")))
    os.chdir(folder / "shared" if rank == 0 else folder)
    said.append(resumed(peers, Path("checkpoints")))
    connection.send((rank, said))


def test_the_first_process_decides_and_the_others_wait_as_long_as_it_works(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "shared/checkpoints", 7, {"log": {"iteration": 7, "resumed": []}, "validation": {}})
    ours, theirs = SERVER.Pipe()
    processes = [SERVER.Process(target=meet, args=(tmp_path, rank, theirs), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    said = dict(ours.recv() for _ in range(2) if ours.poll(300))
    for process in processes:
        process.join()
    differ = "processes 0 and 1 would not train the same, they differ in the checkpoint to resume from: "
    assert said == {
        0: [[False] * 4 + [True], "of 0", "at 7", f"{differ}is this folder the same on every node?"],
        1: [[], "of 0", "at 7", "ends with 2"],
    }


BROKEN = """
from torch.utils.data import DataLoader
from bcnet.training.stopping import leave_to_parent
class Broken:
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return 1 // (4 - index)
for _ in DataLoader(Broken(), num_workers=1, worker_init_fn=leave_to_parent):
    pass
"""


def test_an_error_ends_what_loads_data() -> None:
    """Although that outlives signals of other processes."""
    ended = subprocess.run([sys.executable, "-c", BROKEN], stderr=subprocess.PIPE, text=True, timeout=100)
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr


def test_alone_a_process_asks_itself() -> None:
    asked = []
    Together(0, 1, 1, torch.device("cpu")).first_alone(lambda stop: asked.append(stop()), lambda: True)
    assert asked == [True]


@pytest.mark.parametrize(
    ("device", "cores", "local_world", "count"),
    [
        ("cpu", 64, 1, 0),
        ("cuda", 64, 1, 8),
        ("cuda", 64, 8, 8),
        ("cuda", 16, 8, 2),
        ("cuda", 4, 8, 1),
        ("cuda", 6, 1, 6),
    ],
)
def test_processes_share_the_processors_to_load_data(
    device: str, cores: int, local_world: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "processors", lambda: cores)
    peers = Together(0, 1, local_world, torch.device(device))
    assert loop.loader_workers(peers) == count


def test_how_many_processes_are_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun says it, on the first of two machines."""
    monkeypatch.setattr(together.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr(together.distributed, "new_group", lambda **how: None)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda on: None)
    for key, value in {"RANK": "1", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(key, value)
    peers = together.join_processes()
    assert (peers.rank, peers.world, peers.local_world) == (1, 8, 4)


@pytest.mark.parametrize("killed", [False, True])
def test_processes_have_time_for_a_checkpoint_and_a_loss_is_said(
    killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first process that is killed leaves its lock behind."""
    lock = tmp_path / "lock"
    configs = []

    def launch(config: Any, entrypoint: str) -> Any:
        def run(*arguments: str) -> None:
            configs.append(config)
            if killed:
                lock.touch()
            raise SignalException("told", signal.SIGTERM)

        return run

    monkeypatch.setattr(together, "elastic_launch", launch)
    monkeypatch.setenv("OMP_NUM_THREADS", "6,2")
    monkeypatch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", raising=False)
    with pytest.raises(ToldToEndError) as end:
        start(2, ["train", "x"], lock)
    assert configs[0].shutdown_timeout == GRACE < 120
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert end.value.exit_code == 128 + signal.SIGTERM
    lost = "told to end: killed without a new checkpoint, so what was done since the last one is lost: "
    assert str(end.value) == (f"{lost}`bcnet train x` resumes" if killed else "")
