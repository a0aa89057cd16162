"""Training of a variant: one process or many, resumable at any moment."""

import json
import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from bcnet import __version__
from bcnet.data.sources.image_folders import need_images
from bcnet.files import InputError, atomic_output, sha256
from bcnet.layout import DatasetFiles
from bcnet.methods import build
from bcnet.models.backbones import BACKBONES
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params import Params
from bcnet.params.methods import METHODS
from bcnet.params.models import Predict, Schedule
from bcnet.threads import processors
from bcnet.training.checkpoint import keep_results, newest_checkpoint, save_checkpoint, take_results
from bcnet.training.code import code_digest
from bcnet.training.curve import Validate, ValidationCurve, is_whole
from bcnet.training.initial import load_backbone, load_what_fits
from bcnet.training.loader import TrainingPictures
from bcnet.training.sampler import BatchKeys
from bcnet.training.schedule import learning_rate, make_optimizer, rate_of, set_rate
from bcnet.training.stopping import ToldToEndError, listening
from bcnet.training.together import join_processes
from bcnet.training.unfinished import begin, of_other_settings, packages
from bcnet.weights.model_file import save_model

LOG_EVERY = 20  # iterations


def train(
    params: Params, name: str, seed: int, data: Path, anyway: bool = False, validate: Validate | None = None
) -> Path | None:
    """Train a variant with one seed; go on from its newest checkpoint.

    What is random is a function of (seed, iteration), so a killed and resumed training ends with the weights of an
    undisturbed one: on a CPU with an equal number of threads, bit for bit. Another number of threads rounds otherwise,
    but is no other training: it goes on as well, and provenance names the numbers.

    Args:
        params: the run's parameters.
        name: of the variant.
        seed: of weights, order and augmentation.
        data: the folder of all datasets.
        anyway: where there is no checkpoint, go on from one of another number of processes, another device or other
            versions of packages; provenance records it.
        validate: measures AP on val as often as the schedule says, in the first process; it changes no weight.

    Returns:
        The model file, in the process that wrote it; None: it was trained already.

    Raises:
        InputError: an input is missing or wrong, the batch does not divide, or the loss is no longer finite.
        ToldToEndError: a signal told it to.
    """
    variant, schedule, files = params.variant(name), params.schedule_of(name), DatasetFiles(data / params.dataset)
    together = join_processes()
    rank, world, device = together.rank, together.world, together.device
    if schedule.processes not in (1, world):
        asked = f"params.yaml: schedule.processes: {schedule.processes}"
        raise InputError(f"{asked}: torchrun has started {world}; plain `bcnet train` starts them itself")
    if schedule.batch % world:
        raise InputError(f"params.yaml: schedule.batch: {schedule.batch}: expected a multiple of the {world} processes")
    annotations, weights, out = files.bilayer(params.train_on), files.weights(name), files.run(name, str(seed))
    hashes = files.image_hashes(params.train_on)
    determined_by = {
        "train_on": params.train_on,
        # without what is not said, so that reading it back checks it alike; a label changes nothing, and what it starts
        # from is in the weights
        "variant": variant.model_dump(mode="json", exclude_unset=True, exclude={"label", "init"}),
        "schedule": schedule.determining(),
        "model": params.model.model_dump(mode="json"),
        "seed": seed,
        "annotations_sha256": sha256(annotations),
        "images_sha256": sha256(hashes),
        "weights_sha256": sha256(weights),
        "versions": {"bcnet": __version__, "torch": torch.__version__},
    }
    starts_from = {} if variant.init is None else {"init": str(variant.init)}
    key = {**determined_by, "processes": world, "device": device.type}
    code = [__name__, METHODS[variant.method].module]
    together.check_same({**key, "packages": packages(), "code": code_digest(code)})
    checkpoints = begin(data, out.model, [annotations, hashes, weights], key, code, tell=rank == 0)
    curve = ValidationCurve(schedule, validate)
    results = [out.model, out.training_log, out.validation_curve]
    if validate or (checkpoints / out.best_model.name).exists():
        results.append(out.best_model)
    is_kept = validate is None or is_whole(checkpoints / out.validation_curve.name, schedule, validate)
    if is_kept and take_results(checkpoints, results):
        say(rank, f"{name}: already trained, {out.model} is unchanged")
        together.leave()
        return None
    need_images(files, params.train_on)
    order, images = BACKBONES[variant.backbone].channel_order, files.images(params.train_on)
    of_variant = variant.masks, variant.mask_targets, variant.has_occluder_layer
    pictures = TrainingPictures(annotations, images, schedule, seed, order, *of_variant)

    torch.manual_seed(seed)
    # test-time settings of the file alone: `predict` of params.yaml replaces them without a new training
    predict = Predict(short_side=max(schedule.short_side), max_side=schedule.max_side)
    model = build(Spec(variant, params.model, predict, len(pictures.categories))).to(device).train()
    if variant.init is None:
        load_backbone(model, weights)
    else:
        say(rank, f"{name}: starts from {variant.init}: {load_what_fits(model, weights)}")
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)  # a tenth faster there
    training = Training(name, schedule, model, rank)
    if state := newest_checkpoint(checkpoints, device):
        training.load_state_dict(state)
        curve.load_state_dict(state["validation"])
        say(rank, f"{name}: resuming at iteration {training.iteration}")
    elif anyway and (other := of_other_settings(checkpoints)) and (state := newest_checkpoint(other[0], device)):
        training.load_state_dict(state)
        curve.load_state_dict(state["validation"])
        before = ", ".join(f"{key} {value}" for key, value in other[1].items())
        say(rank, f"{name}: resuming at iteration {training.iteration}, until which it had {before}")
        training.log["resumed"].append({"until": training.iteration, **other[1]})
    training.log["threads"] = sorted({*training.log["threads"], torch.get_num_threads()})

    keys = BatchKeys(seed, training.iteration, schedule.iterations, schedule.batch, len(pictures), rank, world)
    workers = min(8, processors()) if device.type == "cuda" else 0  # a CPU's cores are busy with the model
    batches = DataLoader(pictures, batch_sampler=keys, num_workers=workers, collate_fn=list)
    runner = DistributedDataParallel(model) if world > 1 else model
    with listening() as told:
        for batch in batches:
            torch.manual_seed((seed << 40) + (training.iteration << 8) + rank)
            training.learn(runner, batch)
            if rank == 0 and curve.is_due(training.iteration):
                say(rank, f"{name}: {curve.measure(training.iteration, model)}")
            ends = together.any(told.signal is not None) and training.iteration < schedule.iterations
            if rank == 0 and (ends or training.is_to_be_kept()):
                state = {**training.state_dict(), "validation": curve.state_dict()}
                save_checkpoint(checkpoints, training.iteration, state)
            if ends:
                done = f"{training.iteration} of {schedule.iterations} iterations are kept"
                line = f"{name}: told to end: {done}, the same command resumes" if rank == 0 else ""
                raise ToldToEndError(line, told.signal or SIGTERM)

    if rank == 0:
        with atomic_output(out.training_log) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in training.log["lines"]))
        on = {"device": device.type, "processes": world, "threads": training.log["threads"]}
        if training.log["resumed"]:
            on["resumed"] = training.log["resumed"]
        provenance = {"name": name, "dataset": params.dataset, **starts_from, **determined_by, **on}
        description = {
            "variant": determined_by["variant"],
            "model": determined_by["model"],
            "predict": predict.model_dump(mode="json"),
            "categories": pictures.categories,
            "provenance": provenance,
        }
        save_model(out.model, model.state_dict(), description)
        curve.write(out.validation_curve)
        if curve.best_row:
            of_best = {**description, "provenance": {**provenance, "best": curve.best_row}}
            save_model(out.best_model, curve.best, of_best)
        else:
            out.best_model.unlink(missing_ok=True)  # of a training before
        keep_results(checkpoints, [path for path in results if path.exists()])
    together.leave()
    return out.model if rank == 0 else None


class Training:
    """A training of which some iterations are done.

    Args:
        name: of the variant, for messages.
        schedule: how it is trained.
        model: on its device, in training mode.
        rank: of this process.
    """

    def __init__(self, name: str, schedule: Schedule, model: Segmenter, rank: int) -> None:
        self.name, self.schedule, self.rank = name, schedule, rank
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

    def learn(self, runner: nn.Module, batch: list[dict[str, Any]]) -> None:
        """One iteration, and its line in the log where one is due.

        Args:
            runner: the model, or what averages its gradients over processes.
            batch: this process's part.

        Raises:
            InputError: the loss is no number any more.
        """
        self.begun = self.begun or (self.iteration, time.monotonic())
        losses = step(runner, batch, self.optimizer, self.scaler, self.schedule, self.iteration)
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
        start, since = self.begun
        pace = (time.monotonic() - since) / (self.iteration - start)
        left = tqdm.format_interval(pace * (end - self.iteration))
        say(self.rank, f"{self.name}: {pretty(line, end)}  {pace:.3f} s/iteration  {left} left")


def step(
    model: nn.Module,
    batch: list[dict[str, Any]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    schedule: Schedule,
    iteration: int,
) -> dict[str, Tensor]:
    """One iteration: losses, gradients, update. Returns the losses by name, of the whole batch in every process."""
    set_rate(optimizer, learning_rate(schedule, iteration))
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda") if scaler.is_enabled() else nullcontext():
        losses = model(batch)
        values = torch.stack(list(losses.values()))
        total = values.sum()
    scaler.scale(total).backward()
    if schedule.clip_gradients is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_gradients)
    scaler.step(optimizer)
    scaler.update()
    # the log is the whole batch's, and a loss that is no number ends every process
    return dict(zip(losses, mean_over_processes(values.detach()), strict=True))


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
