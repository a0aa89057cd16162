"""What the cells of SOLO's grids learn (Wang, Zhang, Kong, Li, Shen, SOLOv2, NeurIPS 2020, as in its authors' code).

Each level of the pyramid has a grid of cells over the padded picture. Levels share objects by the size of their boxes,
with overlaps; an object is learnt by the cells around its mask's centre.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bcnet.models.detections import Size

REGION = 0.2  # of a box's sides: the part around the centre whose cells learn the object


class GridObjects(NamedTuple):
    """The G objects of a picture, in the order of their annotations; lengths in pixels."""

    boxes: Tensor  # (G, 4) float32: left, top, right, bottom
    classes: Tensor  # (G,) int64
    centres: Tensor  # (G, 2) float32: x and y of the masks' centres of mass
    visible: Tensor  # (G,) bool: whether the mask has a pixel


class Learned(NamedTuple):
    """What the K cells of all grids learn, level after level, row after row."""

    classes: Tensor  # (K,) int64: the category; -1: background
    cells: Tensor  # (n,) int64: cells that learn a mask, below K; a cell that several objects share is listed for each
    objects: Tensor  # (n,) int64: whose mask


def ranges_of(largest: Sequence[int]) -> list[tuple[float, float]]:
    """Smallest and largest root of a box's area of each level, both included, from the largest of each.

    The smallest is half of the largest of the level before, as 1, 48, 96, 192 and 384 of the authors' configuration
    are beside 96, 192, 384, 768 and 2048.
    """
    return list(zip((1.0, *(most / 2 for most in largest)), largest, strict=False))


def assign(objects: GridObjects, size: Size, grids: Sequence[int], ranges: Sequence[tuple[float, float]]) -> Learned:
    """Which cells learn which object.

    Those that touch the region around the object's centre, at most 3 x 3 of them around the centre's cell. The masks of
    all objects of a cell are learnt with its kernel, but only the category of the last one.

    Args:
        objects: of a picture.
        size: (height, width) after padding, in pixels.
        grids: cells of each level along x and y.
        ranges: roots of the areas of the boxes that each level learns, both ends included.
    """
    boxes, device = objects.boxes, objects.boxes.device
    sides = boxes[:, 2:] - boxes[:, :2]
    roots, half = sides.prod(1).sqrt(), 0.5 * sides * REGION
    extent = boxes.new_tensor([size[1], size[0]])
    owners, cells, learned = [], [], []
    for before, grid, (least, most) in zip(_sums(grids), grids, ranges, strict=True):
        centre = _cell(objects.centres, extent, grid)
        first = _cell(objects.centres - half, extent, grid).clamp(min=0)
        last = _cell(objects.centres + half, extent, grid).clamp(max=grid - 1)
        around = centre[:, None] + torch.arange(-1, 2, device=device)[:, None]  # (G, 3, 2), columns and rows
        inside = (around >= first[:, None]) & (around <= last[:, None])
        fits = objects.visible & (roots >= least) & (roots <= most)
        of_level = inside[:, :, None, 1] & inside[:, None, :, 0] & fits[:, None, None]  # (G, rows, columns)
        index, row, column = of_level.nonzero().unbind(1)
        place = around[index, row, 1] * grid + around[index, column, 0]
        owner = torch.full((grid * grid,), -1, device=device)
        owners.append(owner.scatter_reduce(0, place, index, "amax"))  # the last of those that share a cell
        cells.append(before + place)
        learned.append(index)
    background = objects.classes.new_full((1,), -1)  # which -1 takes
    classes = torch.cat([objects.classes, background])[torch.cat(owners)]
    return Learned(classes, torch.cat(cells), torch.cat(learned))


def _sums(grids: Sequence[int]) -> list[int]:
    """How many cells the levels before each level have."""
    counts = [grid * grid for grid in grids]
    return [sum(counts[:level]) for level in range(len(counts))]


def _cell(points: Tensor, extent: Tensor, grid: int) -> Tensor:
    """Column and row of points (G, 2) in a grid; a negative one lies before it.

    The authors' division, in single precision: on the border of two cells its rounding decides.
    """
    return torch.div(points / extent, 1 / grid, rounding_mode="floor").long()
