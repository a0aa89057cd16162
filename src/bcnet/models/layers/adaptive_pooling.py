"""Adaptive feature pooling: RoIs see all levels of a pyramid at once (PANet: Liu, Qi, Qin, Shi, Jia, CVPR 2018)."""

from collections.abc import Sequence
from functools import reduce
from itertools import islice

import torch
from detectron2.structures import Boxes
from torch import Tensor, nn

from bcnet.models.conventions import Conventions
from bcnet.models.layers.convolutions import normalised


class LevelPooler(nn.Module):
    """RoI features from several groups of levels; within a group from the level that fits a RoI's size (FPN's rule).

    Args:
        side: cells of a RoI, along x and y.
        groups: the strides of each group's levels, in pixels; all of them one after the other rise.
        conventions: how RoIs are sampled.
    """

    def __init__(self, side: int, groups: Sequence[list[int]], conventions: Conventions) -> None:
        super().__init__()
        self.counts = [len(group) for group in groups]
        self.poolers = nn.ModuleList(conventions.pooler(side, group) for group in groups)

    def forward(self, levels: list[Tensor], boxes: list[Boxes]) -> list[Tensor]:
        """Of each group (N, C, side, side), of the RoIs of all pictures one after the other.

        Args:
            levels: (B, C, H, W) each, in the order of the strides.
            boxes: of each picture.
        """
        rising = iter(levels)
        return [
            pooler(list(islice(rising, count)), boxes) for pooler, count in zip(self.poolers, self.counts, strict=True)
        ]


class FusedLevels(nn.ModuleList):
    """Features of several levels to one: after a convolution of each level's own, the largest value of any level.

    Args:
        levels: how many.
        channels: of the features, before and after.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__(normalised(channels, channels) for _ in range(levels))

    def forward(self, features: list[Tensor]) -> Tensor:
        """(N, C, S, S) of each level to (N, C, S, S)."""
        return reduce(torch.maximum, (layer(x) for layer, x in zip(self, features, strict=True)))
