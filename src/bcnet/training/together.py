"""Processes that train one variant together: they are started, see that they do the same, and end together."""

import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bcnet.files import InputError
from bcnet.models.device import pick_device
from bcnet.threads import threads
from bcnet.training.stopping import ToldToEndError
from bcnet.unfinished.folder import differing_keys

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # until the slowest process has read its data
GRACE = 110  # seconds that a signal leaves the processes for a checkpoint; a job's time is up after 120
TOLD, OVER = 1, 2  # what processes tell each other while the first one works alone
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"  # passed on to the processes


class Together:
    """The processes of a training, as one of them sees them; usually it is the only one.

    Attributes:
        rank: of this process, from 0.
        world: how many there are.
        local_world: how many of them are on this machine.
        device: what this process computes with.
    """

    def __init__(self, rank: int, world: int, local_world: int, device: torch.device) -> None:
        self.rank, self.world, self.local_world, self.device = rank, world, local_world, device
        # beside NCCL a group of its own, for what the processors agree on: no GPU is waited for
        self._talk: Any = distributed.new_group(backend="gloo", timeout=PATIENCE) if world > 1 else None

    def check_same(self, key: dict[str, Any]) -> None:
        """See before the first iteration that all processes have the same parameters, inputs, versions and code.

        Args:
            key: all that determines the result.

        Raises:
            InputError: one has others; in the first process, the other ones end without a word.
        """
        if self._talk is None:
            return
        keys: list[Any] = [None] * self.world
        distributed.all_gather_object(keys, key, group=self._talk)
        for rank, other in enumerate(keys):
            if apart := ", ".join(differing_keys(keys[0], other)):
                if self.rank:
                    sys.exit(2)
                hosts = "is this folder the same on every node?"
                raise InputError(f"processes 0 and {rank} would not train the same, they differ in {apart}: {hosts}")

    def any(self, here: bool) -> bool:
        """Whether it holds in any process; every one must ask."""
        return bool(self._most(int(here)))

    def _most(self, here: int) -> int:
        """The largest value of all processes; every one must ask."""
        if self._talk is None:
            return here
        value = torch.tensor(here)
        distributed.all_reduce(value, distributed.ReduceOp.MAX, group=self._talk)
        return int(value)

    def first_alone(self, work: Callable[[Callable[[], bool]], None], is_told: Callable[[], bool]) -> None:
        """Let the first process do a piece of work, while the other ones wait, however long it takes.

        Args:
            work: is given a question, which it asks often: whether any process is told to end. A question is a sign of
                life, too: the other processes wait no longer than `PATIENCE` for the next one.
            is_told: whether this process is.
        """
        if self.rank == 0:
            work(lambda: self._most(TOLD * is_told()) == TOLD)
            self._most(OVER)
            return
        while self._most(TOLD * is_told()) != OVER:
            pass

    def of_first(self, value: T) -> T:
        """What the first process has; every one must ask."""
        if self._talk is None:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self._talk)
        return values[0]

    def leave(self) -> None:
        """The end of what `join_processes` began."""
        if self.world > 1:
            distributed.destroy_process_group()


def join_processes() -> Together:
    """This process among those that torchrun, or `start`, has started."""
    rank, local = (int(os.environ.get(key, "0")) for key in ("RANK", "LOCAL_RANK"))
    world = max(1, int(os.environ.get("WORLD_SIZE", "1")))
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    device = pick_device()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # a safety net that costs a tenth of the time; torch has no type information for it
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Together(rank, world, local_world, device)


def is_one_of_many() -> bool:
    """Whether torchrun, or `start`, has started this process."""
    return "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this process is the first of those that torchrun, or `start`, has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def start(processes: int, arguments: list[str], lock: Path) -> None:
    """Run `bcnet ARGUMENTS` in that many processes of this machine, each on a GPU of its own if it has GPUs.

    Args:
        processes: how many.
        arguments: of the verb.
        lock: that the first of them holds; it is left behind where that one is killed.

    Raises:
        InputError: there are fewer GPUs than processes; or a process has failed, and the others were ended.
        ToldToEndError: this process was; without a line, if the first of them has said it.
    """
    if 0 < (gpus := torch.cuda.device_count()) < processes:
        raise InputError(f"params.yaml: schedule.processes: {processes}: this machine, or this job, has {gpus} GPUs")
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads() // processes))
    again = f"`bcnet {' '.join(arguments)}` resumes"
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(GRACE))  # 30, and then SIGKILL, if nothing is said
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle=SIGNALS,
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the line below says it
    try:
        elastic_launch(config, sys.executable)("-m", "bcnet", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = f"was killed ({failure.signal_name()})" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        if failure.exitcode > 128:
            raise ToldToEndError("", failure.exitcode - 128) from error
        raise InputError(f"process {rank} of {processes} {how}, and so the others were ended: {again}") from error
    except SignalException as error:
        lost = "told to end: killed without a new checkpoint, so what was done since the last one is lost"
        raise ToldToEndError(f"{lost}: {again}" if lock.exists() else "", error.sigval) from error


@contextmanager
def while_peers_live(command: str) -> Iterator[None]:
    """Say in one line that another process of this training has ended, which is seen where they meet.

    Args:
        command: what the line calls the work.

    Raises:
        InputError: in place of what gloo and NCCL raise.
    """
    try:
        yield
    except RuntimeError as error:
        if not distributed.is_initialized() or not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        others = f"one of the {distributed.get_world_size()} processes of this training has ended"
        rank = os.environ.get("RANK", "0")
        raise InputError(f"process {rank}: {others}: see what it said; `{command}` again resumes") from error
