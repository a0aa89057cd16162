"""A path from a pyramid's finest level up to its coarsest (PANet: Liu, Qi, Qin, Shi, Jia, CVPR 2018)."""

from collections.abc import Callable, Sequence
from typing import Any

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, Backbone
from torch import Tensor, nn

from bcnet.models.layers.convolutions import normalised


class PathAggregation(FPN):
    """FPN whose levels but the finest are made again, from the finest up (authors' code).

    The finest level N stays as it is. Each coarser one is N' = f(g(N) + P'): g halves the size, P' is FPN's level, f
    keeps the size. g and f are 3x3 convolutions with bias, GroupNorm and ReLU. Further levels are made of the last N'.
    Levels keep FPN's names. The path draws its weights apart, so that with one seed all others start as without it.

    Args:
        bottom_up: the backbone.
        in_features: its levels that FPN takes, from fine to coarse.
        out_channels: of every level.
        norm: of FPN's own convolutions, in the place of their bias; "": none.
        top_block: makes the further levels.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        norm: str | Callable[[int], nn.Module],
        top_block: nn.Module,
    ) -> None:
        super().__init__(bottom_up, in_features, out_channels, norm=norm)
        self.further: Any = top_block
        with torch.random.fork_rng(devices=[]):
            self.path = nn.ModuleList(_Step(out_channels) for _ in in_features[1:])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) to the levels by name, (N, out_channels, H / stride, W / stride) each."""
        finest, *coarser = super().forward(x).values()
        levels = [finest]
        for step, level in zip(self.path, coarser, strict=True):
            levels.append(step(levels[-1], level))
        return dict(zip(self.output_shape(), [*levels, *self.further(levels[-1])], strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        shapes: dict[str, ShapeSpec] = super().output_shape()
        last = max(int(name[1:]) for name in shapes)
        channels = shapes[f"p{last}"].channels
        further = range(last + 1, last + 1 + self.further.num_levels)
        return shapes | {f"p{level}": ShapeSpec(channels=channels, stride=2**level) for level in further}


class _Step(nn.Module):
    """From a level to the next coarser one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.halved, self.fused = (
            normalised(channels, channels, stride=stride, bias=True, fill=weight_init.c2_xavier_fill)
            for stride in (2, 1)
        )

    def forward(self, finer: Tensor, level: Tensor) -> Tensor:
        """(N, C, 2H, 2W) of the path and FPN's (N, C, H, W) to the path's (N, C, H, W)."""
        fused: Tensor = self.fused(self.halved(finer) + level)
        return fused
