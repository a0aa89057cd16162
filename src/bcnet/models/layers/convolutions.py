"""Convolutions with ReLU, and with GroupNorm."""

import math
from collections.abc import Callable

import fvcore.nn.weight_init as weight_init
import torch
from torch import Tensor, nn

GROUPS = 32


class GroupNorm(nn.GroupNorm):
    """PyTorch's, which also takes groups of one value: what 32 channels are on a level of 1x1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def group_norm(channels: int) -> GroupNorm:
    """Of 32 groups; of fewer where these would not have two channels, since of a single number nothing remains."""
    return GroupNorm(math.gcd(GROUPS, channels // 2), channels)


def four(channels: int) -> nn.Sequential:
    """The trunk of Mask R-CNN's mask head: four 3x3 convolutions with ReLU, (N, channels, H, W) to the same shape."""
    convolutions = [nn.Conv2d(channels, channels, kernel_size=3, padding=1) for _ in range(4)]
    for convolution in convolutions:
        weight_init.c2_msra_fill(convolution)
    return nn.Sequential(*(layer for each in convolutions for layer in (each, nn.ReLU(inplace=True))))


def normalised(
    inputs: int,
    outputs: int,
    *,
    stride: int = 1,
    bias: bool = False,
    fill: Callable[[nn.Module], None] = weight_init.c2_msra_fill,
) -> nn.Sequential:
    """A 3x3 convolution that keeps the size but for its stride, GroupNorm and ReLU.

    Args:
        inputs, outputs: channels.
        stride: of the convolution.
        bias: whether the convolution has one.
        fill: initialises the convolution.
    """
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=bias)
    fill(convolution)
    return nn.Sequential(convolution, group_norm(outputs), nn.ReLU(inplace=True))
