"""A training that is told to end keeps a checkpoint; processes that train together start, agree and end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_factory import environment, make_project, run, torchrun
from warm_process import ended

from bcnet.cli import main
from bcnet.layout import lock
from bcnet.locks import alone
from bcnet.training import stopping, together
from bcnet.weights.model_file import load_model

# `bcnet train` in which something happens in the step of an iteration, in the process of a rank.
TRAIN = """
import os, signal, sys
from bcnet import cli
from bcnet.training import loop
step, rank = loop.step, int(os.environ.get("RANK", 0))
def steps(*arguments):
    if arguments[-1] == {iteration} and rank == {rank}:
        os.kill(os.getpid(), signal.{number})
    return step(*arguments)
loop.step = steps
sys.exit(cli.main(["train", "bcnet"]))
"""


# One that loads data in a process of its own, and in the fifth iteration the whole group of processes is told to end.
GROUP = """
import os, subprocess, sys, time
from bcnet import cli
from bcnet.training import loop
step = loop.step
def steps(*arguments):
    if arguments[-1] == 4:
        subprocess.run(["kill", "-TERM", "--", f"-{os.getpgrp()}"], start_new_session=True)
        time.sleep(1)  # until it is seen that a process has ended
    return step(*arguments)
loop.step, loop.loader_workers = steps, lambda together: 1
sys.exit(cli.main(["train", "bcnet"]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    run(folder, "train bcnet")
    shutil.move(folder / "data/demo/models", folder / "undisturbed")
    shutil.rmtree(folder / "data/checkpoints")
    return folder


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A copy in which nothing is trained yet."""
    shutil.copytree(project, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def script(folder: Path, iteration: int, number: str, rank: int = 0) -> Path:
    path = folder / "train.py"
    path.write_text(TRAIN.format(iteration=iteration, number=number, rank=rank))
    return path


def in_two_processes(folder: Path) -> None:
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(
        text.replace("schedule:\n  iterations", "schedule:\n  processes: 2\n  iterations")
    )
    assert "processes: 2" in (folder / "params.yaml").read_text()


def lines(result: subprocess.CompletedProcess) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("bcnet train: ")]


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("data/checkpoints/*/[0-9]*.pt"))


def test_a_training_that_is_told_to_end_keeps_what_it_has_done(folder: Path) -> None:
    """As a batch system tells it, which sends a signal to all processes of a job, those that load data among them.

    A checkpoint is due after every second iteration; this is one more.
    """
    stopped = ended(folder, GROUP)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert lines(stopped) == ["bcnet train: bcnet: told to end: 5 of 12 iterations are kept, the same command resumes"]
    assert "Traceback" not in stopped.stderr
    assert checkpoints(folder)[-1] == "00000005.pt"
    assert "bcnet: resuming at iteration 5" in run(folder, "train bcnet")
    for name in ("model.safetensors", "training.jsonl"):
        expected = (folder / "undisturbed/bcnet/0" / name).read_bytes()
        assert (folder / "data/demo/models/bcnet/0" / name).read_bytes() == expected


def test_a_training_that_is_done_by_another_process_is_not_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of its processes would wait for that one, and all others for the first."""
    in_two_processes(folder)
    monkeypatch.chdir(folder)
    started: list[int] = []
    monkeypatch.setattr(together, "start", lambda processes, arguments, lock: started.append(processes))
    with alone(lock("train", "demo", "bcnet", "0"), "bcnet train bcnet"):
        assert main(["train", "bcnet"]) == 2
    assert "`bcnet train bcnet`, process " in capsys.readouterr().err
    assert not started
    assert main(["train", "bcnet"]) == 0
    assert started == [2]


def test_signals_are_again_what_they_were() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        with stopping.listening() as told:
            assert told.signal is None
            os.kill(os.getpid(), number)
            assert told.signal == number
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_one_process_that_is_told_to_end_ends_all(folder: Path) -> None:
    """The second hears it, the first keeps the checkpoint: they agree on the iteration."""
    (stopped,) = torchrun(folder, script(folder, 4, "SIGTERM", rank=1))
    assert stopped.returncode != 0
    assert lines(stopped) == ["bcnet train: bcnet: told to end: 5 of 12 iterations are kept, the same command resumes"]
    assert checkpoints(folder)[-1] == "00000005.pt"


def test_processes_of_params_are_started_and_a_killed_one_ends_the_others(folder: Path) -> None:
    in_two_processes(folder)
    command = [sys.executable, "-m", "bcnet", "train", "bcnet"]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not checkpoints(folder) and process.poll() is None:
            time.sleep(0.02)
        first, second = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(second), signal.SIGKILL)
        start = time.monotonic()
        said = process.stderr.read().decode()
        assert process.wait() == 2, said
    assert time.monotonic() - start < 60
    last = said.splitlines()[-1]
    assert "process 1 of 2 was killed (SIGKILL), and so the others were ended: `bcnet train bcnet --seed 0`" in last
    assert not Path(f"/proc/{first}").exists()
    assert "bcnet: resuming at iteration" in run(folder, "train bcnet")
    provenance = load_model(folder / "data/demo/models/bcnet/0/model.safetensors").provenance
    assert provenance["processes"] == 2
    assert "processes" not in provenance["schedule"]


def test_processes_that_would_not_train_the_same_end_at_once(folder: Path) -> None:
    """As where a node has another params.yaml, data or code."""
    path = folder / "train.py"
    other = "import os; from bcnet.training import key; hashed = key.sha256\n"
    other += "key.sha256 = lambda path: hashed(path) + os.environ['RANK'] * ('bilayer' in str(path))\n"
    path.write_text(f"{other}import sys; from bcnet import cli; sys.exit(cli.main(['train', 'bcnet']))\n")
    (stopped,) = torchrun(folder, path)
    differ = "processes 0 and 1 would not train the same, they differ in annotations_sha256: "
    assert lines(stopped) == [f"bcnet train: {differ}is this folder the same on every node?"]
    assert not checkpoints(folder)


def test_torchrun_and_params_must_say_the_same(folder: Path) -> None:
    in_two_processes(folder)
    env = {"WORLD_SIZE": "1", "RANK": "0"}
    stopped = ended(
        folder, f"import os, sys; os.environ |= {env}; from bcnet import cli; sys.exit(cli.main(['train', 'bcnet']))"
    )
    assert stopped.returncode == 2
    assert stopped.stderr == (
        "bcnet train: params.yaml: schedule.processes: 2: torchrun has started 1; "
        "plain `bcnet train` starts them itself\n"
    )


def test_a_batch_is_a_multiple_of_the_processes(folder: Path) -> None:
    in_two_processes(folder)
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("  batch: 2\n", "  batch: 3\n"))
    stopped = ended(folder, "import sys; from bcnet import cli; sys.exit(cli.main(['params']))")
    assert stopped.returncode == 2
    assert "batch must be a multiple of processes (2)" in stopped.stderr
