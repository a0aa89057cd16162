"""Training of a variant: one process or many, resumable at any moment."""

import json
import math
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from bcnet import __version__
from bcnet.data.loader import TrainingPictures
from bcnet.files import InputError, atomic_output, sha256
from bcnet.models.backbones import BACKBONES
from bcnet.models.build import build, losses_of, save_model
from bcnet.params import Params, Schedule
from bcnet.training.checkpoint import checkpoint_folder, newest_checkpoint, save_checkpoint
from bcnet.training.sampler import BatchKeys

LOG_EVERY = 20  # iterations


def learning_rate(schedule: Schedule, iteration: int) -> float:
    """The rate of an iteration (from 0): linear warm-up from `warmup_factor`, times the decay.

    The decay is a tenth after each of `steps`, or half a cosine down to zero at the last iteration.
    """
    if schedule.decay == "cosine":
        decay = 0.5 * (1 + math.cos(math.pi * iteration / schedule.iterations))
    else:
        decay = 0.1 ** sum(iteration >= step for step in schedule.steps)
    progress = min(1.0, iteration / schedule.warmup) if schedule.warmup else 1.0
    return schedule.lr * decay * (schedule.warmup_factor * (1 - progress) + progress)


def make_optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """SGD or AdamW over the trainable parameters; those of norms are not decayed (detectron2's default)."""
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    trainable = {p: isinstance(m, norms) for m in model.modules() for p in m.parameters(recurse=False) if p.requires_grad}
    groups = [
        {"params": [p for p, is_norm in trainable.items() if not is_norm], "weight_decay": schedule.weight_decay},
        {"params": [p for p, is_norm in trainable.items() if is_norm], "weight_decay": 0.0},
    ]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.lr, foreach=True)
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, foreach=True)


def join_processes() -> tuple[int, int, torch.device]:
    """This process's rank, their number, and its device. More than one only under torchrun."""
    rank, world, local = (int(os.environ.get(key, default)) for key, default in ENVIRONMENT)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    else:
        torch.use_deterministic_algorithms(True)
    if world > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    return rank, world, device


ENVIRONMENT = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))  # what torchrun sets


def train(params: Params, name: str, seed: int, data: Path) -> None:
    """Train a variant with one seed; go on from its newest checkpoint.

    What is random is a function of (seed, iteration), so a killed and resumed training ends with the weights of an
    undisturbed one: on a CPU with an equal number of threads, bit for bit.

    Args:
        params: the run's parameters.
        name: of the variant.
        seed: of weights, order and augmentation.
        data: the folder with `DATASET/bilayer`, `DATASET/images`, `DATASET/weights`; the model goes to `DATASET/models`.

    Raises:
        InputError: an input is missing or wrong, the batch does not divide, or the loss is no longer finite.
    """
    variant, schedule, folder = params.variant(name), params.schedule_of(name), data / params.dataset
    rank, world, device = join_processes()
    if schedule.batch % world:
        raise InputError(f"params.yaml: schedule.batch: {schedule.batch}: expected a multiple of the {world} processes")
    spec = BACKBONES[variant.backbone]
    annotations, weights = folder / "bilayer/train.json", folder / "weights" / f"{name}.safetensors"
    determined_by = {
        "variant": variant.model_dump(mode="json"),
        "schedule": schedule.model_dump(mode="json"),
        "model": params.model.model_dump(mode="json"),
        "seed": seed,
        "annotations_sha256": sha256(annotations),
        "images_sha256": sha256(folder / "images.tsv"),
        "weights_sha256": sha256(weights),
        "versions": {"bcnet": __version__, "torch": torch.__version__},
    }
    machine = {"processes": world, "threads": torch.get_num_threads(), "device": device.type}
    checkpoints = checkpoint_folder(data, {**determined_by, **machine})
    pictures = TrainingPictures(annotations, folder / "images/train", schedule, seed, spec.channel_order)

    torch.manual_seed(seed)
    model = build(variant, params.model, params.predict, len(pictures.categories)).to(device).train()
    optimizer = make_optimizer(model, schedule)
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda" and schedule.amp)
    state = newest_checkpoint(checkpoints, device)
    if state is None:
        load_backbone(model, weights)
        start, lines, window = 0, [], {}
    else:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        start, lines, window = state["iteration"], state["lines"], state["window"]
        say(rank, f"{name}: going on from iteration {start}")
    runner = DistributedDataParallel(model) if world > 1 else model

    keys = BatchKeys(seed, start, schedule.iterations, schedule.batch, len(pictures), rank, world)
    workers = min(8, os.cpu_count() or 1) if device.type == "cuda" else 0  # on a CPU the cores are busy with the model
    loader = DataLoader(pictures, batch_sampler=keys, num_workers=workers, collate_fn=list)
    since, done = time.monotonic(), 0
    for iteration, batch in enumerate(loader, start):
        torch.manual_seed((seed << 40) + (iteration << 8) + rank)
        rate = learning_rate(schedule, iteration)
        losses = step(runner, batch, optimizer, scaler, rate, schedule, device)
        for key, loss in losses.items():
            window[key] = window.get(key, 0.0) + loss.detach()
        done += 1
        if (iteration + 1) % LOG_EVERY == 0 or iteration + 1 == schedule.iterations:
            line = log_line(iteration, rate, window)
            lines.append(json.dumps(line))
            window = {}
            pace = (time.monotonic() - since) / done
            left = pace * (schedule.iterations - iteration - 1) / 60
            say(
                rank,
                f"{name}: iteration {iteration + 1}/{schedule.iterations}  loss {line['loss']:.3f}  lr {rate:.2e}"
                f"  {pace:.3f} s/iteration  {left:.1f} min left",
            )
            if not math.isfinite(line["loss"]):
                raise InputError(
                    f"{name}: loss is {line['loss']} at iteration {iteration + 1}: expected a finite one, try a lower lr"
                )
        if rank == 0 and ((iteration + 1) % schedule.checkpoint_every == 0 or iteration + 1 == schedule.iterations):
            state = {"iteration": iteration + 1, "lines": lines, "window": window, "model": model.state_dict()}
            state |= {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
            save_checkpoint(checkpoints, iteration + 1, state)

    if rank == 0:
        out = folder / "models" / name / str(seed)
        with atomic_output(out / "training.jsonl") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))
        description: dict[str, Any] = {key: determined_by[key] for key in ("variant", "model")}
        description |= {"predict": params.predict.model_dump(mode="json"), "categories": pictures.categories}
        description["provenance"] = {"name": name, "dataset": params.dataset, **determined_by}
        save_model(out / "model.safetensors", model.state_dict(), description)
    if world > 1:
        torch.distributed.destroy_process_group()


def step(
    model: nn.Module,
    batch: list[dict[str, Any]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    rate: float,
    schedule: Schedule,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """One iteration: losses, gradients, update. Returns the losses by name."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda") if scaler.is_enabled() else nullcontext():
        losses = losses_of(model, batch)
        total = torch.stack(list(losses.values())).sum()
    scaler.scale(total).backward()
    if schedule.clip_gradients is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_gradients)
    scaler.step(optimizer)
    scaler.update()
    return losses


def load_backbone(model: nn.Module, weights: Path) -> None:
    """Load ImageNet weights, as `bcnet weights` writes them, into the backbone below the pyramid.

    Raises:
        InputError: a tensor is missing, left over, or of another shape.
    """
    try:
        model.backbone.bottom_up.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from error


def log_line(iteration: int, rate: float, window: dict[str, torch.Tensor]) -> dict[str, float]:
    """A line of training.jsonl, after `iteration` (from 0): the mean of each loss since the line before, and of their sum."""
    count = iteration % LOG_EVERY + 1
    losses = {key: round(float(value) / count, 6) for key, value in window.items()}
    return {"iteration": iteration + 1, "lr": rate, "loss": round(sum(losses.values()), 6), **losses}


def say(rank: int, text: str) -> None:
    """Progress, on stderr, of the first process only."""
    if rank == 0:
        print(text, file=sys.stderr, flush=True)
