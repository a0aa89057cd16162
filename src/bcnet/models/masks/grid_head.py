"""SOLOv2's networks: what the cells of its grids say, and the features that their masks are drawn from (AdelaiDet)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.detections import Size, enlarged
from bcnet.models.detectors.fcos_head import PRIOR, at_least_single
from bcnet.models.layers.convolutions import GroupNorm

LEVELS = ("p2", "p3", "p4", "p5", "p6")
CONVOLUTIONS = 4  # of each tower


class GridHead(nn.Module):
    """Two towers on the levels as they look from the cells of their grids, shared by all levels.

    Args:
        channels: of the levels, and of a kernel; the towers have twice as many.
        classes: number of categories.
        grids: cells of each level along x and y.
    """

    def __init__(self, channels: int, classes: int, grids: Sequence[int]) -> None:
        super().__init__()
        self.grids = grids
        self.cate_tower, self.kernel_tower = tower(channels, 2 * channels), tower(channels + 2, 2 * channels)
        self.cate_pred = nn.Conv2d(2 * channels, classes, kernel_size=3, padding=1)
        self.kernel_pred = nn.Conv2d(2 * channels, channels, kernel_size=3, padding=1)
        initialise(self)
        nn.init.constant_(self.cate_pred.get_parameter("bias"), -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(N, C, H / s, W / s) of the levels to logits (N, classes, S, S) and kernels (N, C, S, S) of each grid."""
        levels = [features[name] for name in LEVELS]
        levels[0] = resized(levels[0], (levels[0].shape[-2] // 2, levels[0].shape[-1] // 2))
        levels[-1] = resized(levels[-1], (levels[-2].shape[-2], levels[-2].shape[-1]))
        logits, kernels = [], []
        for level, grid in zip(levels, self.grids, strict=True):
            seen = resized(with_coordinates(level), (grid, grid))
            logits.append(self.cate_pred(self.cate_tower(seen[:, :-2])))
            kernels.append(self.kernel_pred(self.kernel_tower(seen)))
        return logits, kernels


class MaskFeatures(nn.Module):
    """The features that the kernels of all objects read, from P2 to P5.

    Args:
        channels: of the levels, and of the result; half as many are within.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        within = channels // 2
        levels: list[nn.Module] = [nn.Sequential(block(channels, within))]
        for level, into in enumerate((channels, channels, channels + 2)):  # P5 with coordinates
            levels.append(Doubling(block(into, within), *(block(within, within) for _ in range(level))))
        self.levels = nn.ModuleList(levels)
        self.merge = block(within, channels, kernel_size=1)
        initialise(self)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """(N, C, H / s, W / s) of the levels to (N, C, H / 4, W / 4), in single precision at least."""
        p2, p3, p4, p5 = (features[name] for name in LEVELS[:-1])
        total, *coarser = (
            blocks(level) for blocks, level in zip(self.levels, (p2, p3, p4, with_coordinates(p5)), strict=True)
        )
        for level in coarser:
            total = total + level
        return at_least_single(self.merge(total))


class Doubling(nn.Sequential):
    """Layers, each of which is followed by maps of twice the size, bilinearly."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, 2ⁿ H, 2ⁿ W) by n layers."""
        for layer in self:
            x = enlarged(layer(x), 2, corner=False)
        return x


def block(channels: int, out: int, kernel_size: int = 3) -> nn.Sequential:
    """Convolution without bias, GroupNorm of 32 groups or as many as fit, ReLU."""
    layer = nn.Conv2d(channels, out, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(layer, GroupNorm(math.gcd(32, out), out), nn.ReLU())


def tower(channels: int, out: int) -> nn.Sequential:
    """Four blocks, one layer after the other."""
    blocks = [block(channels, out), *(block(out, out) for _ in range(CONVOLUTIONS - 1))]
    return nn.Sequential(*(layer for part in blocks for layer in part))


def initialise(module: nn.Module) -> None:
    """Convolutions start with normal(0, 0.01), and without bias (AdelaiDet)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def resized(maps: Tensor, size: Size) -> Tensor:
    """(N, C, H, W) to (N, C, *size), bilinearly; a cell stands for its centre."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def with_coordinates(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W), and x and y from -1 at the first to 1 at the last cell: (N, C + 2, H, W)."""
    count, _, height, width = maps.shape
    x = torch.linspace(-1, 1, width, dtype=maps.dtype, device=maps.device).expand(count, 1, height, width)
    y = torch.linspace(-1, 1, height, dtype=maps.dtype, device=maps.device)[:, None].expand(count, 1, height, width)
    return torch.cat([maps, x, y], 1)
