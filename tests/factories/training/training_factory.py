"""Tiny projects to train in: made pictures of 64 pixels, converted, with weights; and what a training sees and does."""

import atexit
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pytest
import torch
from places import ROOT
from ruamel.yaml import YAML
from warm_process import ended
from warm_programs import programs

from bcnet import params
from bcnet.training import loop, resume


def make_project(folder: Path) -> None:
    """Write `params.yaml` and all that training reads: eight pictures of 64 pixels, twelve iterations."""
    shutil.copytree(_project(), folder, dirs_exist_ok=True, symlinks=True)


@cache
def _project() -> Path:
    """Made once per session, to be copied."""
    folder = Path(mkdtemp(prefix="bcnet-"))
    atexit.register(shutil.rmtree, folder)
    yaml = YAML()
    content = yaml.load(ROOT / "presets/demo.yaml")
    content["datasets"]["demo"] |= {"size": 64, "train": 8, "val": 3}
    content["schedule"] |= {"iterations": 12, "batch": 2, "warmup": 2, "checkpoint_every": 2}
    content["schedule"] |= {"short_side": [64], "max_side": 64}
    content["predict"] |= {"short_side": 64, "max_side": 64, "score_threshold": 0.0}  # hardly trained, it is never sure
    content["model"] |= {"rois": 16, "fpn_channels": 32, "box_channels": 32}
    sgd = {"optimizer": "sgd", "lr": 0.01, "decay": "steps", "steps": [4], "short_side": [48, 64]}
    content["variants"]["mask-rcnn"]["schedule"] = sgd
    yaml.dump(content, folder / "params.yaml")
    for command in (
        "fetch demo",
        "convert --annotations data/demo/annotations/instances_train.json --out data/demo/bilayer/train.json --jobs 1",
        "weights efficientnet_lite0 --out data/demo/weights/bcnet.safetensors",
        "weights efficientnet_lite0 --out data/demo/weights/mask-rcnn.safetensors",
    ):
        run(folder, command)
    return folder


def copy_with_pasted(project: Path, folder: Path) -> None:
    """A copy of a project that trains on four synthetic pictures, and on no other."""
    shutil.copytree(project, folder, dirs_exist_ok=True, symlinks=True)
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    content["synthetic"] = {"pasted": {"pictures": 4, "min_pixels": 20, "keep_real": False}}
    content["train_on"] = "pasted"
    yaml.dump(content, folder / "params.yaml")
    run(folder, "synthesize pasted --jobs 1")
    annotations, bilayer = "data/demo/annotations/instances_pasted.json", "data/demo/bilayer/pasted.json"
    run(folder, f"convert --annotations {annotations} --out {bilayer} --jobs 1")


def run(folder: Path, command: str, threads: int = 1) -> str:
    """What a verb says on stderr, in a process of its own, in that folder."""
    if threads == 1:
        result = ended(folder, "import sys; from bcnet import cli; sys.exit(cli.main(sys.argv[1:]))", *command.split())
    else:
        line = [sys.executable, "-m", "bcnet", *command.split()]
        result = subprocess.run(line, cwd=folder, env=environment(threads), stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stderr
    return result.stderr


def torchrun(folder: Path, *command: str | Path, nodes: int = 1) -> list[subprocess.CompletedProcess[str]]:
    """How torchrun ends that starts two processes of Python in that folder, and what is said on stderr.

    Args:
        command: what Python runs: a script or, after `-m`, a module, and its arguments.
        nodes: 1: both are of one torchrun; 2: each is of its own, as on two machines, and both ends come back.
    """
    with TemporaryDirectory() as temporary, ThreadPoolExecutor(nodes) as pool:
        python = programs(Path(temporary, "programs"), Path(temporary, "started")) / "python"
        start = "import sys; from torch.distributed.run import main; main(sys.argv[1:])"
        with socket.create_server(("127.0.0.1", 0)) as server:  # to learn of a port that nobody uses
            meeting = f"127.0.0.1:{server.getsockname()[1]}"
        many = ["--nnodes", str(nodes), "--nproc-per-node", str(2 // nodes)]
        where = ["--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", meeting, "--no-python", str(python)]
        run_one = partial(ended, folder, start, *many, *where, *map(str, command))
        return [started.result() for started in [pool.submit(run_one) for _ in range(nodes)]]


def environment(threads: int = 1) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


@dataclass
class Seen:
    """What a training gave to the model and to the optimizer, iteration by iteration."""

    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)
    rates: list[list[float]] = field(default_factory=list)  # of the optimizer's groups, as the update used them
    gradient_norms: list[float] = field(default_factory=list)  # likewise
    moves: list[float] = field(default_factory=list)  # how far the update moved all weights together
    draws: list[float] = field(default_factory=list)  # the first random number of the iteration
    start: dict[str, torch.Tensor] = field(default_factory=dict)  # the model's tensors before the first iteration
    end: dict[str, torch.Tensor] = field(default_factory=dict)
    deterministic: set[bool] = field(default_factory=set)


def total_norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm())


@contextmanager
def deterministic_afterwards() -> Iterator[None]:
    """What training switches on in its process is off again for other tests."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def watch(patch: pytest.MonkeyPatch, folder: Path, name: str, seed: int = 0, **changes: Any) -> Seen:
    """Train in this process, without going on from what was trained before, and write down what happens.

    Args:
        patch: undone after the test.
        folder: of `make_project`.
        name: of the variant.
        seed: of the training.
        changes: keys of the variant, and of its `schedule`.
    """
    yaml, seen = YAML(typ="safe"), Seen()
    content = yaml.load(folder / "params.yaml")
    variant = content["variants"][name]
    schedule = {**variant.get("schedule", {}), **changes.pop("schedule", {})}
    content["variants"][name] = {**variant, **changes, "schedule": schedule}
    settings = params.Params.model_validate(content)
    original = loop.step

    def step(model: Any, batch: Any, optimizer: Any, *rest: Any) -> Any:
        seen.start = seen.start or {key: tensor.clone() for key, tensor in model.state_dict().items()}
        seen.draws.append(float(torch.get_rng_state()[:64].double().sum()))
        update = optimizer.step

        def updates(*args: Any, **kwargs: Any) -> Any:
            weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            seen.gradient_norms.append(total_norm([p.grad for p in weights]))
            seen.rates.append([group["lr"] for group in optimizer.param_groups])
            before = [p.detach().clone() for p in weights]
            result = update(*args, **kwargs)
            seen.moves.append(total_norm([p.detach() - old for p, old in zip(weights, before, strict=True)]))
            return result

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(optimizer, "step", updates)
            losses = original(model, batch, optimizer, *rest)
        seen.deterministic.add(torch.are_deterministic_algorithms_enabled())
        seen.batches.append(batch)
        seen.losses.append({key: float(loss.detach()) for key, loss in losses.items()})
        seen.end = model.state_dict()
        return losses

    patch.chdir(folder)
    patch.setattr(loop, "step", step)
    patch.setattr(resume, "newest_checkpoint", lambda folder: None)
    patch.setattr(resume, "take_results", lambda folder, results: False)
    with deterministic_afterwards():
        loop.train(settings, name, seed, Path("data"))
    return seen
