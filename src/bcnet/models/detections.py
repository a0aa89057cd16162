"""What a model finds in a picture: boxes and scores, and masks that know how they are pasted into the picture."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self

import torch
from detectron2.layers import paste_masks_in_image
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # height and width, in pixels
MAPS = ("occluder_contour", "occluder_mask", "target_contour", "target_mask")  # in the order of the paper's figures
THRESHOLD = 0.5  # the probability from which on a pixel belongs to a mask


class View(NamedTuple):
    """A picture in the size that a model sees, and perhaps mirrored left to right."""

    image: Tensor  # (3, h, w) uint8
    flipped: bool


class Masks(Protocol):
    """The masks of N objects in any form."""

    def paste(self, size: Size) -> Tensor:
        """The masks in a picture of that size: (N, *size) bool."""
        ...

    def of(self, chosen: Tensor, boxes: Tensor | None = None) -> "Masks":
        """The masks of some of the objects.

        Args:
            chosen: (N,) bool, of which; or their places, (n,) int64.
            boxes: (n, 4) that they have from now on, in pixels of the picture; None: as they are.
        """
        ...


@dataclass(frozen=True)
class RoIMaps:
    """Masks as maps of RoIs.

    Attributes:
        maps: (N, 1, S, S) probabilities.
        boxes: (N, 4) the RoIs, left, top, right, bottom, in pixels of the picture.
    """

    maps: Tensor
    boxes: Tensor

    def paste(self, size: Size) -> Tensor:
        """Each map stretched over its box, bilinearly; a pixel is in the mask from a probability of 0.5 on."""
        return paste_masks_in_image(self.maps[:, 0], self.boxes, size, THRESHOLD).bool()  # without any they are uint8

    def of(self, chosen: Tensor, boxes: Tensor | None = None) -> Self:
        """The maps of some of the objects, stretched over these boxes, or over their own."""
        return replace(self, maps=self.maps[chosen], boxes=self.boxes[chosen] if boxes is None else boxes)


class WholePixelMaps(RoIMaps):
    """Maps of RoIs, pasted as code bases do whose boxes end at their last pixel (maskrcnn-benchmark's Masker)."""

    def paste(self, size: Size) -> Tensor:
        """Each map, with a border of zeros, resized to the pixels that its box spans; a probability over 0.5 is in."""
        height, width = size
        masks = torch.zeros(len(self.maps), height, width, dtype=torch.bool, device=self.maps.device)
        side = self.maps.shape[-1]
        first, last = self.boxes[:, :2], self.boxes[:, 2:] - 1
        centre, half = (first + last) / 2, (last - first) / 2 * ((side + 2) / side)
        corners = torch.cat([centre - half, centre + half], dim=1).int().tolist()
        for mask, probabilities, (left, top, right, bottom) in zip(
            masks, F.pad(self.maps, (1, 1, 1, 1)), corners, strict=True
        ):
            spanned = max(bottom - top + 1, 1), max(right - left + 1, 1)
            whole = F.interpolate(probabilities[None], spanned, mode="bilinear", align_corners=False)[0, 0] > THRESHOLD
            y, x = max(top, 0), max(left, 0)
            inside = mask[y : max(bottom + 1, 0), x : max(right + 1, 0)]
            inside.copy_(whole[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]])
        return masks


@dataclass(frozen=True)
class ImageMaps:
    """Masks as maps of the whole view, which lies in the upper left of what a model has padded.

    Attributes:
        maps: (N, h, w) probabilities.
        stride: pixels of the view between two cells.
        view: (height, width) of the view.
        corner: whether a cell stands for the pixel at its upper left corner (AdelaiDet's `aligned_bilinear`), not for
            its centre.
    """

    maps: Tensor
    stride: int
    view: Size
    corner: bool = False

    def paste(self, size: Size) -> Tensor:
        """The maps enlarged to the view and resized to the picture, both bilinearly; a probability over 0.5 is in."""
        height, width = self.view
        masks = torch.zeros(len(self.maps), *size, dtype=torch.bool, device=self.maps.device)
        for index, probabilities in enumerate(self.maps):  # one by one: all together would take gigabytes
            whole = enlarged(probabilities[None, None], self.stride, self.corner)[:, :, :height, :width]
            masks[index] = F.interpolate(whole, size, mode="bilinear", align_corners=False)[0, 0] > THRESHOLD
        return masks

    def of(self, chosen: Tensor, boxes: Tensor | None = None) -> "ImageMaps":
        """The maps of some of the objects, whatever their boxes are."""
        return replace(self, maps=self.maps[chosen])


def enlarged(maps: Tensor, factor: int, corner: bool) -> Tensor:
    """Maps of `factor` times the size, bilinearly.

    Args:
        maps: (N, C, h, w).
        factor: whole, 1 or more.
        corner: cells stand for the pixel at their upper left corner: the lowest row and the last column are repeated
            (AdelaiDet, `aligned_bilinear`). Otherwise for their centre.

    Returns:
        (N, C, h · factor, w · factor).
    """
    if factor == 1:
        return maps
    if not corner:
        return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (0, 1, 0, 1), mode="replicate")
    wide = F.interpolate(padded, (factor * height + 1, factor * width + 1), mode="bilinear", align_corners=True)
    return F.pad(wide, (factor // 2, 0, factor // 2, 0), mode="replicate")[..., : factor * height, : factor * width]


@dataclass(frozen=True)
class Detected:
    """The N detections of one picture, best first, in its pixels.

    Attributes:
        classes: (N,) int64, indices into the model's categories.
        scores: (N,) float, what they are ranked by.
        boxes: (N, 4) float: left, top, right, bottom; None: the model has none but those around its masks.
        masks: the final masks.
        maps: (N, 1, S, S) probabilities in the boxes each, by names of `MAPS`; none for a method without such maps.
        box_scores: (N,) float, what the boxes are ranked by, if a method scores its masks otherwise.
    """

    classes: Tensor
    scores: Tensor
    boxes: Tensor | None
    masks: Masks
    maps: dict[str, Tensor] = field(default_factory=dict)
    box_scores: Tensor | None = None
