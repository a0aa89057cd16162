"""How far a training is: its state, its log, and what it says."""

import json
import math
import sys
import time
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bcnet.files import InputError
from bcnet.models.segmenter import Segmenter
from bcnet.params.models import Schedule
from bcnet.training.schedule import make_optimizer, rate_of
from bcnet.training.stopping import ToldToEndError

LOG_EVERY = 20  # iterations


class Training:
    """A training of which some iterations are done.

    Args:
        name: of the variant, for messages.
        schedule: how it is trained.
        model: on its device, in training mode.
        rank: of this process.
    """

    def __init__(self, name: str, schedule: Schedule, model: Segmenter, rank: int) -> None:
        self.name, self.schedule, self.model, self.rank = name, schedule, model, rank
        self.optimizer = make_optimizer(model, schedule)
        on_gpu = next(model.parameters()).device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=on_gpu and schedule.amp)
        self.parts: dict[str, Any] = {"model": model, "optimizer": self.optimizer, "scaler": self.scaler}
        # window: sums of the losses since the last line; threads: numbers of them that any part of it was done with;
        # resumed: parts of it that were done with other settings
        self.log: dict[str, Any] = {"iteration": 0, "lines": [], "window": {}, "threads": [], "resumed": []}
        self.begun: tuple[int, float] | None = None  # iteration and time of this process's first one

    @property
    def iteration(self) -> int:
        """How many are done."""
        return self.log["iteration"]

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {"log": self.log, **{name: part.state_dict() for name, part in self.parts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for name, part in self.parts.items():
            if state[name]:  # a CPU's scaler has no state
                part.load_state_dict(state[name])
        self.log = state["log"]

    def is_to_be_kept(self) -> bool:
        """Whether a checkpoint is due."""
        return self.iteration % self.schedule.checkpoint_every == 0 or self.iteration == self.schedule.iterations

    def start_clock(self) -> None:
        """An iteration begins: the pace counts from this process's first one."""
        self.begun = self.begun or (self.iteration, time.monotonic())

    def told_to_end(self, number: int) -> ToldToEndError:
        """What ends it after this iteration.

        Args:
            number: of the signal.
        """
        done = f"{self.iteration} of {self.schedule.iterations} iterations are kept"
        line = f"{self.name}: told to end: {done}, the same command resumes" if self.rank == 0 else ""
        return ToldToEndError(line, number)

    def add(self, losses: dict[str, Tensor]) -> None:
        """One more iteration is done; its line goes to the log where one is due.

        Args:
            losses: by name, what `step` has returned.

        Raises:
            InputError: the loss is no number any more.
        """
        window, end = self.log["window"], self.schedule.iterations
        self.log["window"] = {key: window.get(key, 0.0) + loss.detach() for key, loss in losses.items()}
        self.log["iteration"] += 1
        if self.iteration % LOG_EVERY and self.iteration != end:
            return
        line = log_line(self.log, self.optimizer)
        if not math.isfinite(line["loss"]):
            raise InputError(f"{self.name}: loss is {line['loss']} at iteration {self.iteration}: try a lower lr")
        self.log["lines"].append(json.dumps(line))
        self.log["window"] = {}
        assert self.begun is not None
        start, since = self.begun
        pace = (time.monotonic() - since) / (self.iteration - start)
        left = tqdm.format_interval(pace * (end - self.iteration))
        say(self.rank, f"{self.name}: {pretty(line, end)}  {pace:.3f} s/iteration  {left} left")


def log_line(log: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """A line of the training log: the last rate, the mean of each loss since the line before, and of their sum."""
    done = log["iteration"]
    count = (done - 1) % LOG_EVERY + 1
    losses = {key: round(float(value) / count, 6) for key, value in log["window"].items()}
    return {
        "iteration": done,
        "lr": rate_of(optimizer),
        "loss": round(sum(losses.values()), 6),
        **losses,
    }


def pretty(line: dict[str, float], end: int) -> str:
    """The line's main numbers, for people."""
    return f"iteration {line['iteration']}/{end}  loss {line['loss']:.3f}  lr {line['lr']:.2e}"


def say(rank: int, text: str) -> None:
    """Progress, on stderr, of the first process only."""
    if rank == 0:
        print(text, file=sys.stderr, flush=True)
