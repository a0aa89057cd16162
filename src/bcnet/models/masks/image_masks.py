"""The masks of objects over the whole of what a model sees: what methods without RoIs learn."""

import torch
from detectron2.structures import BitMasks, PolygonMasks
from torch import Tensor
from torch.nn import functional as F

from bcnet.data.masks.segmentation import decode
from bcnet.models.detections import Size


def rasterised(masks: BitMasks | PolygonMasks, size: Size, device: torch.device) -> Tensor:
    """The masks of a picture's objects on the padded picture.

    Args:
        masks: bitmaps of the picture, (N, h, w), no larger than `size`; or polygons, which are drawn by COCO's rule.
        size: (height, width) after padding.
        device: of the result.

    Returns:
        (N, *size) bool.
    """
    if isinstance(masks, BitMasks):
        height, width = masks.tensor.shape[1:]
        return F.pad(masks.tensor.to(device), (0, size[1] - width, 0, size[0] - height))
    drawn = torch.zeros(len(masks), *size, dtype=torch.bool)
    for mask, polygons in zip(drawn, masks.polygons, strict=True):
        mask[:] = torch.from_numpy(decode([polygon.tolist() for polygon in polygons], *size))
    return drawn.to(device)


def sampled(masks: Tensor, stride: int) -> Tensor:
    """Of masks (N, H, W), one pixel of each `stride` x `stride`, the one at its centre (AdelaiDet)."""
    return masks[:, stride // 2 :: stride, stride // 2 :: stride]


def centres_of_mass(masks: Tensor) -> Tensor:
    """Mean column and row of the pixels of masks (N, H, W) bool: (N, 2) float; (0, 0) of an empty one."""
    height, width = masks.shape[1:]
    columns, rows = masks.sum(1).double(), masks.sum(2).double()  # double: exact, whatever the size
    pixels = columns.sum(1).clamp(min=1)
    x = columns @ torch.arange(width, device=masks.device).double() / pixels
    y = rows @ torch.arange(height, device=masks.device).double() / pixels
    return torch.stack([x, y], 1).float()


def resized_as_opencv(masks: Tensor, size: Size) -> Tensor:
    """Masks resized by OpenCV's `INTER_LINEAR` of 8-bit images, which computes with whole numbers.

    Weights are multiples of 1 / 2048, and rows are added in quarters that are rounded down. So the outcome is not that
    of rounding a bilinear value: from 0.5 to 0.75 a pixel belongs to the mask or not, as the quarters fall.

    Args:
        masks: (N, H, W) bool.
        size: (height, width) of the result, no larger than the masks'.

    Returns:
        (N, *size) bool.
    """
    rows, columns = (_neighbours(*pair, masks.device) for pair in zip(masks.shape[1:], size, strict=True))
    quarters = torch.zeros(len(masks), *size, dtype=torch.int32, device=masks.device)
    for row, weight in zip(*rows, strict=True):
        near = masks[:, row].int()
        across = sum(near[:, :, column] * share for column, share in zip(*columns, strict=True))
        quarters += ((across >> 4) * weight[:, None]) >> 16
    return (quarters + 2) >> 2 > 0


def _neighbours(length: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The two cells of `length` nearest to each of `count` cells, and their shares of 2048: (2, count) each."""
    place = ((torch.arange(count, dtype=torch.float64) + 0.5) * (length / count) - 0.5).float()
    low = place.floor()
    share = place - low
    low = low.long()
    shares = (torch.stack([1 - share, share]) * 2048).round().int()
    return torch.stack([low, (low + 1).clamp(max=length - 1)]).to(device), shares.to(device)
