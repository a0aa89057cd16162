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
    """SGD or AdamW over the trainable parameters; those of norms are not decayed (detectron2's default)."""
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for module in model.modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        (undecayed if isinstance(module, norms) else decayed).extend(own)
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.lr, foreach=True)
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, foreach=True)
