"""The learning rate and the optimizer of a schedule."""

import math

import torch
from torch import nn

from bcnet.params.models import Schedule


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
    """SGD or AdamW over the trainable parameters; norms have a decay of their own.

    detectron2 and its configurations do not decay norms. The released code's exemption goes by names that its norms do
    not have, so that it decays all: `weight_decay_norm` equal to `weight_decay`.

    Args:
        model: its parameters that require a gradient are trained.
        schedule: optimizer, rate, momentum and the two decays.
    """
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    of_layers: list[nn.Parameter] = []
    of_norms: list[nn.Parameter] = []
    for module in model.modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        (of_norms if isinstance(module, norms) else of_layers).extend(own)
    groups = [
        {"params": of_layers, "weight_decay": schedule.weight_decay},
        {"params": of_norms, "weight_decay": schedule.weight_decay_norm},
    ]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.lr, foreach=True)
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, foreach=True)
