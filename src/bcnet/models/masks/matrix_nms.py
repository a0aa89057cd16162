"""Which of SOLOv2's cells and masks are detections: point NMS, and Matrix NMS, which lowers scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bcnet.params.models import SOLOv2Predict

TOGETHER = 2**16  # pixels of all masks that are compared at once


def peaks(probabilities: Tensor) -> Tensor:
    """Probabilities (N, C, H, W), zero where a neighbour above, to the left or both has a larger one (AdelaiDet)."""
    largest = F.max_pool2d(probabilities, kernel_size=2, stride=1, padding=1)[:, :, :-1, :-1]
    return torch.where(probabilities == largest, probabilities, 0)


def ious_above(masks: Tensor, classes: Tensor) -> Tensor:
    """IoU of each mask with those of its category that are ranked below it: (n, n), zero elsewhere.

    Args:
        masks: (n, P) bool, each with a pixel, best first.
        classes: (n,) their categories.
    """
    shared = torch.zeros(len(masks), len(masks), device=masks.device)
    for part in masks.split(TOGETHER, 1):
        pixels = part.float()
        shared += pixels @ pixels.T
    areas = masks.sum(1)
    ious = shared / (areas[:, None] + areas - shared)
    return ious.triu(1) * (classes[:, None] == classes)


def decays(ious: Tensor, settings: SOLOv2Predict) -> Tensor:
    """What Matrix NMS multiplies each score by (SOLOv2, Matrix NMS).

    The smallest decay by a mask that is ranked higher, relative to how sure it is that this one is not suppressed
    itself. As in the authors' code the minimum is over all masks, of which those that do not overlap give one or more.

    Args:
        ious: (n, n) of each mask with those below it, best first: `ious_above`.
        settings: gaussian or linear.

    Returns:
        (n,) 0 to 1.
    """
    if len(ious) == 0:
        return ious.new_zeros(0)
    suppressed = ious.amax(0)[:, None]  # of each mask, by those above it
    if settings.nms == "gaussian":
        return (settings.sigma * (suppressed.square() - ious.square())).exp().amin(0)
    least = torch.finfo(ious.dtype).tiny  # equal masks: 0 / 0
    return ((1 - ious) / (1 - suppressed).clamp(min=least)).amin(0)
