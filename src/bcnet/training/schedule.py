"""The learning rate and the optimizer of a schedule."""

import math

import torch
from torch import nn

from bcnet.params.models import Schedule


def learning_rate(schedule: Schedule, iteration: int) -> float:
    """The rate of an iteration (from 0): the warm-up's share, times the decay.

    The share rises linearly from `warmup_factor` to 1, or stays at it until the warm-up ends.

    The decay is a tenth after each of `steps`, or half a cosine down to zero at the last iteration.
    """
    if schedule.decay == "cosine":
        decay = 0.5 * (1 + math.cos(math.pi * iteration / schedule.iterations))
    else:
        decay = 0.1 ** sum(iteration >= step for step in schedule.steps)
    progress = min(1.0, iteration / schedule.warmup) if schedule.warmup else 1.0
    if schedule.warmup_method == "constant":
        progress = math.floor(progress)
    return schedule.lr * decay * (schedule.warmup_factor * (1 - progress) + progress)


def make_optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """SGD or AdamW over the trainable parameters; norms and biases have a decay of their own, and biases a rate.

    detectron2 and its configurations do not decay norms. The released code's exemption goes by names that its norms do
    not have, so that it decays all: `weight_decay_norm` equal to `weight_decay`. Code that descends from Detectron
    trains biases, those of norms too, at twice the rate and without decay.

    Args:
        model: its parameters that require a gradient are trained.
        schedule: optimizer, rates, momentum and decays.

    Returns:
        The optimizer. A group's `lr_factor` is its rate relative to the schedule's; `set_rate` keeps to it.
    """
    by_setting: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                by_setting.setdefault(_setting(module, name, schedule), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor, "lr": schedule.lr * factor}
        for (decay, factor), parameters in by_setting.items()
    ]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, foreach=True)
    return torch.optim.SGD(groups, momentum=schedule.momentum, foreach=True)


def _setting(module: nn.Module, name: str, schedule: Schedule) -> tuple[float, float]:
    """Decay and relative rate of a module's own parameter."""
    norm = isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm))
    decay = schedule.weight_decay_norm if norm else schedule.weight_decay
    if name != "bias":
        return decay, 1.0
    return decay if schedule.weight_decay_bias is None else schedule.weight_decay_bias, schedule.bias_lr_factor


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group of parameters the rate times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]


def rate_of(optimizer: torch.optim.Optimizer) -> float:
    """The rate of what has no factor of its own, as the optimizer has it."""
    return next(float(group["lr"]) for group in optimizer.param_groups if group["lr_factor"] == 1)
