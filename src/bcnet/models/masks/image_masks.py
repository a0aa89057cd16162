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
