"""A picture as models take it."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def resized(height: int, width: int, short_side: int, max_side: float) -> tuple[int, int]:
    """The size with that short side, or less where the long side would exceed `max_side` (detectron2's rule).

    A side of a very long picture would round to nothing there; it is one pixel here.
    """
    scale = min(short_side / min(height, width), max_side / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def picture_tensor(picture: np.ndarray, size: tuple[int, int], channel_order: str) -> Tensor:
    """A picture as detectron2's models take it.

    Args:
        picture: (H, W, 3) uint8, RGB.
        size: (height, width) to resize to, bilinear with antialiasing.
        channel_order: `RGB` or `BGR`.

    Returns:
        (3, height, width) uint8 in that order.
    """
    if picture.shape[:2] != size:
        picture = np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    channels = picture if channel_order == "RGB" else picture[:, :, ::-1]
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))
