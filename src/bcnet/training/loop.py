"""Training of a variant: one process or many, resumable at any moment."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from bcnet.data.sources.image_folders import need_images
from bcnet.files import InputError
from bcnet.layout import DatasetFiles
from bcnet.methods import build
from bcnet.models.backbones import BACKBONES
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params import Params
from bcnet.params.methods import METHODS
from bcnet.params.models import Schedule
from bcnet.threads import processors
from bcnet.training.checkpoint import keep_results, save_checkpoint
from bcnet.training.curve import Validate, ValidationCurve, due
from bcnet.training.initial import load_backbone, load_what_fits
from bcnet.training.key import at_test_time, describe, determining
from bcnet.training.loader import TrainingPictures
from bcnet.training.progress import Training, say
from bcnet.training.results import write_results
from bcnet.training.resume import is_finished, resume
from bcnet.training.sampler import BatchKeys
from bcnet.training.schedule import learning_rate, set_rate
from bcnet.training.stopping import Told, leave_to_parent, listening
from bcnet.training.together import Together, join_processes
from bcnet.unfinished.code import code_digest
from bcnet.unfinished.folder import begin, packages


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
    out = files.run(name, str(seed))
    inputs = files.bilayer(params.train_on), files.image_hashes(params.train_on), files.weights(name)
    together = join_processes()
    check_processes(schedule, together.world)
    key = determining(params, name, seed, *inputs)
    key |= {"processes": together.world, "device": together.device.type}
    code = [__name__, METHODS[variant.method].module]
    validated = {"schedule.validate_every": schedule.validate_every}  # or they would wait for each other
    together.check_same({**key, **validated, "packages": packages(), "code": code_digest(code)})
    checkpoints = begin(data, out.model, inputs, key, code, tell=together.rank == 0)
    curve = ValidationCurve(schedule, validate if together.rank == 0 else None)
    if is_finished(name, checkpoints, out, curve, together):
        together.leave()
        return None
    need_images(files, params.train_on)
    if curve.validate is not None:
        need_images(files, "val")
    pictures = pictures_of(params, name, seed, files)
    model = initial_model(params, name, seed, files, pictures, together)
    training = Training(name, schedule, model, together.rank)
    resume(training, curve, together, checkpoints, anyway)
    training.log["threads"] = sorted({*training.log["threads"], torch.get_num_threads()})
    learn(training, curve, together, checkpoints, pictures)
    if together.rank == 0:
        written = write_results(out, training, curve, describe(params, training, key, pictures.categories))
        keep_results(checkpoints, written)
    together.leave()
    return out.model if together.rank == 0 else None


def check_processes(schedule: Schedule, world: int) -> None:
    """See that so many processes can train by a schedule.

    Raises:
        InputError: they cannot.
    """
    if schedule.processes not in (1, world):
        asked = f"params.yaml: schedule.processes: {schedule.processes}"
        raise InputError(f"{asked}: torchrun has started {world}; plain `bcnet train` starts them itself")
    if schedule.batch % world:
        raise InputError(f"params.yaml: schedule.batch: {schedule.batch}: expected a multiple of the {world} processes")


def pictures_of(params: Params, name: str, seed: int, files: DatasetFiles) -> TrainingPictures:
    """The pictures that a variant is trained on with a seed, as it sees them."""
    variant, schedule = params.variant(name), params.schedule_of(name)
    annotations, part = files.bilayer(params.train_on), params.train_on
    order, images = BACKBONES[variant.backbone].channel_order, files.images(part)
    of_variant = variant.masks, variant.mask_targets, variant.has_occluder_layer
    return TrainingPictures(annotations, images, schedule, seed, order, *of_variant)


def initial_model(
    params: Params, name: str, seed: int, files: DatasetFiles, pictures: TrainingPictures, together: Together
) -> Segmenter:
    """The model of a variant before the first iteration, on its device, in training mode."""
    variant, weights = params.variant(name), files.weights(name)
    torch.manual_seed(seed)
    model = build(Spec(variant, params.model, at_test_time(params, name), len(pictures.categories)))
    model.to(together.device).train()
    if variant.init is None:
        load_backbone(model, weights)
    else:
        say(together.rank, f"{name}: starts from {variant.init}: {load_what_fits(model, weights)}")
    if together.device.type == "cpu":
        model.to(memory_format=torch.channels_last)  # a tenth faster there
    return model


def learn(
    training: Training, curve: ValidationCurve, together: Together, checkpoints: Path, pictures: TrainingPictures
) -> None:
    """Do all iterations that are left, keep checkpoints, and measure what is due on val.

    Raises:
        InputError: the loss is no number any more.
        ToldToEndError: one of the processes was told to end; what is done is kept.
    """
    schedule, model, rank, world = training.schedule, training.model, together.rank, together.world
    seed, size = pictures.seed, len(pictures)
    keys = BatchKeys(seed, training.iteration, schedule.iterations, schedule.batch, size, rank, world)
    workers = loader_workers(together)
    batches = DataLoader(
        pictures, batch_sampler=keys, num_workers=workers, collate_fn=list, worker_init_fn=leave_to_parent
    )
    runner = DistributedDataParallel(model) if world > 1 else model
    with listening() as told:
        measure(training, curve, together, told)  # a row that was missing when it ended
        for batch in batches:
            training.start_clock()
            torch.manual_seed((seed << 40) + (training.iteration << 8) + rank)
            training.add(step(runner, batch, training.optimizer, training.scaler, schedule, training.iteration))
            ends = together.any(told.signal is not None) and training.iteration < schedule.iterations
            # before measuring, which takes longer than a batch system waits
            if rank == 0 and (ends or training.is_to_be_kept() or curve.is_due(training.iteration)):
                state = {**training.state_dict(), "validation": curve.state_dict()}
                save_checkpoint(checkpoints, training.iteration, state)
            if ends:
                raise training.told_to_end(told.signal or SIGTERM)
            measure(training, curve, together, told)


def loader_workers(together: Together) -> int:
    """How many processes prepare pictures for this one; 0: itself."""
    if together.device.type == "cpu":  # whose cores are busy with the model
        return 0
    return max(1, min(8, processors() // together.local_world))


def measure(training: Training, curve: ValidationCurve, together: Together, told: Told) -> None:
    """The row of the validation curve that is due now, if it is missing; the first process measures it.

    Raises:
        ToldToEndError: one of the processes was told to end before the row was measured; all but the row is kept.
    """
    if training.iteration not in due(training.schedule):
        return

    def add_row(stop: Callable[[], bool]) -> None:
        if curve.is_due(training.iteration) and (row := curve.measure(training.iteration, training.model, stop)):
            say(together.rank, f"{training.name}: {row}")

    together.first_alone(add_row, told.is_told)
    if together.any(curve.is_due(training.iteration)):
        raise training.told_to_end(told.signal or SIGTERM)


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
