"""Masks that are put together from the sub-regions of their boxes, each with coefficients of its own (SipMask)."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bcnet.models.conventions import Conventions
from bcnet.models.detections import Size

STRIDE = 2  # pixels between two cells of the bases
THRESHOLD = 0.4  # the probability above which a pixel belongs to a mask (authors' code)


class Cells(NamedTuple):
    """The cells of a map that lie in n boxes, sub-region after sub-region, row after row of these, box after box."""

    places: Tensor  # (P,) int64, row · width + column
    counts: list[int]  # (n · k²) of each sub-region


def cells_in(boxes: Tensor, size: Size, sub_regions: int) -> Cells:
    """What lies in which of the k x k sub-regions of each box (CropSplit of the authors' code).

    A cell is the point of its row and column. It is in a box from the left and upper side on, and before the right and
    lower one. Sub-regions are a little larger than the box divides into, so that none begins at its end.

    Args:
        boxes: (n, 4) left, top, right, bottom, in cells; they may leave the map, and sides may be in any order.
        size: (height, width) of the map.
        sub_regions: k.
    """
    height, width = size
    columns = _bounds(boxes[:, 0], boxes[:, 2], width, sub_regions)
    rows = _bounds(boxes[:, 1], boxes[:, 3], height, sub_regions)
    grid = torch.arange(height * width).view(height, width)  # on the host, where so many small pieces are quicker
    parts = [
        grid[top:bottom, left:right].flatten()
        for of_rows, of_columns in zip(rows, columns, strict=True)
        for top, bottom in pairwise(of_rows)
        for left, right in pairwise(of_columns)
    ]
    places = torch.cat([grid.new_zeros(0), *parts]).to(boxes.device)
    return Cells(places, [len(part) for part in parts])


def _bounds(start: Tensor, end: Tensor, count: int, sub_regions: int) -> list[list[int]]:
    """Along an axis: the first of the cells 0 to count - 1 in each sub-region, and the first behind the last."""
    at = torch.arange(count, device=start.device).to(start.dtype)
    start, end = start[:, None], end[:, None]
    side = (((end - start).double() + 0.1) / sub_regions).to(start.dtype)
    inside = (at >= start) & (at < end)
    index = ((at - start) / side).trunc()
    counts = [(inside & (index == part)).sum(1) for part in range(sub_regions)]
    first = (at < start).sum(1)
    bounds: list[list[int]] = torch.stack([first, *counts], 1).cumsum(1).tolist()
    return bounds


def logits_in(basis: Tensor, coefficients: Tensor, cells: Cells) -> Tensor:
    """Basis times coefficients of the sub-region that each cell lies in: what the sigmoid makes a mask of.

    Args:
        basis: (B, H, W) maps that all objects of an image share.
        coefficients: (n, k², B), in the order of the sub-regions.
        cells: those of the n boxes.

    Returns:
        (P,), of the cells in their order.
    """
    rows = basis.movedim(0, -1).flatten(0, 1).index_select(0, cells.places)
    if not cells.counts:  # several processes need a gradient
        return rows.sum(1) + coefficients.sum()
    parts = zip(rows.split(cells.counts), coefficients.flatten(0, 1), strict=True)
    return torch.cat([of_region @ weights for of_region, weights in parts])


def assembled(basis: Tensor, coefficients: Tensor, box: Tensor) -> Tensor:
    """One object's mask: probabilities within its box, zero outside.

    Args:
        basis: (B, h, w).
        coefficients: (k², B).
        box: (4,) in cells.

    Returns:
        (h, w).
    """
    height, width = basis.shape[-2:]
    cells = cells_in(box[None], (height, width), math.isqrt(len(coefficients)))
    mask = basis.new_zeros(height * width)
    mask[cells.places] = logits_in(basis, coefficients[None], cells).sigmoid()
    return mask.view(height, width)


@dataclass(frozen=True)
class SubRegionMasks:
    """Masks of N objects as what they are computed from: the maps of all would take gigabytes.

    Attributes:
        basis: (B, h, w) maps of the padded view, of stride 2.
        coefficients: (N, k², B).
        boxes: (N, 4) in pixels of the view, within it.
        view: (height, width) of the view.
        conventions: of the code base that trained the model.
    """

    basis: Tensor
    coefficients: Tensor
    boxes: Tensor
    view: Size
    conventions: Conventions

    def paste(self, size: Size) -> Tensor:
        """The masks in an image of that size: (N, *size) bool.

        As in the authors' code, boxes and maps go by the smaller of the two factors between view and image. A map is
        resized bilinearly, with the padding around the view and the zeros around the box; the image is its upper left
        corner. A probability over 0.4 is in.
        """
        down, across = (seen / whole for seen, whole in zip(self.view, size, strict=True))
        scale = min(down, across)
        boxes = self.conventions.to_code_base(self.boxes)
        boxes = boxes * boxes.new_tensor([scale / across, scale / down] * 2) / STRIDE
        resized = [math.floor(side * (STRIDE / scale)) for side in self.basis.shape[-2:]]
        masks = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
        for mask, box, coefficients in zip(masks, boxes, self.coefficients, strict=True):
            probabilities = assembled(self.basis, coefficients, box)[None, None]
            whole = F.interpolate(probabilities, resized, mode="bilinear", align_corners=False)[0, 0]
            shown = whole[: size[0], : size[1]] > THRESHOLD
            mask[: shown.shape[0], : shown.shape[1]] = shown
        return masks

    def of(self, chosen: Tensor, boxes: Tensor | None = None) -> "SubRegionMasks":
        """The masks of some of the objects, in the boxes of the view that they have."""
        return replace(self, coefficients=self.coefficients[chosen], boxes=self.boxes[chosen])
