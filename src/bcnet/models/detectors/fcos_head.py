"""FCOS's head: what it says of each location of a level."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.detectors.fcos_edition import RELEASED, FcosEdition
from bcnet.models.layers.convolutions import GroupNorm

PRIOR = 0.01  # the probability that a category's classifier starts with (focal loss)


class LevelOutput(NamedTuple):
    """The head's output on a level of stride s, for N pictures: H = height / s, W = width / s, rounded up."""

    logits: Tensor  # (N, categories, H, W)
    distances: Tensor  # (N, 4, H, W) to the left, top, right and lower side; ≥ 0 and in strides, if not by the edition
    centerness: Tensor  # (N, 1, H, W) logits
    box_features: Tensor  # (N, C, H, W), of the tower of boxes
    top: Tensor | None = None  # (N, T, H, W), what a method's own layer makes of either


class FCOSHead(nn.Module):
    """Two towers of four convolutions with GroupNorm(32), shared by all levels; centerness is on that of the boxes.

    Convolutions start with normal(0, 0.01); names are those of the released checkpoints, but for `scales`.

    Args:
        channels: of the features, and of all layers.
        classes: number of categories.
        levels: number of levels.
        top: a method's own layer on a tower, (N, C, H, W) to (N, T, H, W); it starts as it comes.
        edition: whose FCOS it is.
        align: a method's own layer in the place of the tower of categories' last; it starts as it comes. From features
            (N, C, H, W) and distances (N, 4, H, W), as in `LevelOutput`, to features (N, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        levels: int,
        top: nn.Module | None = None,
        edition: FcosEdition = RELEASED,
        align: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.edition = edition
        self.cls_tower = _tower(channels, 4 if align is None else 3, edition.tower_bias)
        self.bbox_tower = _tower(channels, 4, edition.tower_bias)
        self.cls_logits = nn.Conv2d(channels, classes, kernel_size=3, padding=1)
        self.bbox_pred = nn.Conv2d(channels, 4, kernel_size=3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, kernel_size=3, padding=1)
        self.scales = nn.ParameterList([torch.ones(1) for _ in range(levels)]) if edition.scales else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.constant_(self.cls_logits.get_parameter("bias"), -math.log((1 - PRIOR) / PRIOR))
        self.top, self.align = top, align

    def forward(self, features: list[Tensor]) -> list[LevelOutput]:
        """Features (N, C, H, W) of each level to its outputs."""
        outputs = []
        for level, scale in zip(features, self.scales or [None] * len(features), strict=True):
            classes, boxes = self.cls_tower(level), self.bbox_tower(level)
            distances = self.bbox_pred(boxes)
            distances = self._activated(distances if scale is None else scale * distances)
            if self.align is not None:
                classes = self.align(classes, distances)
            tower = boxes if self.edition.top_tower == "boxes" else classes
            top = None if self.top is None else self.top(tower)
            logits, centerness = self.cls_logits(classes), self.centerness(boxes)
            outputs.append(LevelOutput(logits, distances, centerness, boxes, top))
        return outputs

    def _activated(self, distances: Tensor) -> Tensor:
        match self.edition.activation:
            case "relu":
                return F.relu(distances)
            case "exp":
                return distances.exp()
            case "none":
                return distances


def _tower(channels: int, depth: int, bias: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=bias), GroupNorm(32, channels), nn.ReLU()]
    return nn.Sequential(*layers)


def by_location(levels: Sequence[Tensor]) -> Tensor:
    """Maps (…, C, H, W) of each level as rows (…, K, C), one for each of the K locations of all levels.

    In single precision at least: mixed precision has halves here.
    """
    return torch.cat([at_least_single(maps.movedim(-3, -1).flatten(-3, -2)) for maps in levels], -2)


def at_least_single(values: Tensor) -> Tensor:
    """Halves as single precision, anything else as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
