"""What masks made of sub-regions learn: SipMask's loss, and how it weighs masks by their boxes."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bcnet.models.masks.sub_regions import cells_in, logits_in


def halved(masks: Tensor) -> Tensor:
    """Masks (G, H, W) bool at half the size: cells of which three or four pixels are in."""
    return F.avg_pool2d(masks.float()[:, None], kernel_size=2)[:, 0] > 0.5


def alignment_weights(probabilities: Tensor, boxes: Tensor, true_boxes: Tensor, epsilon: float) -> Tensor:
    """Weights of masks: how sure the category is, times how well the box fits, their mean brought to 1.

    Args:
        probabilities: (n,) of the objects' categories.
        boxes, true_boxes: (n, 4) in cells; 1 is added to their widths and heights, as in the authors' code.
        epsilon: added to the sum that they are divided by.

    Returns:
        (n,).
    """
    start = torch.maximum(boxes[:, :2], true_boxes[:, :2])
    end = torch.minimum(boxes[:, 2:], true_boxes[:, 2:])
    common = (end - start + 1).clamp(min=0).prod(1)
    area, true_area = ((sides[:, 2:] - sides[:, :2] + 1).prod(1) for sides in (boxes, true_boxes))
    weights = probabilities * common / (area + true_area - common)
    return weights / (weights.sum() + epsilon) * len(weights)


def cross_entropy(
    basis: Tensor, coefficients: Tensor, boxes: Tensor, masks: Tensor, objects: Tensor, weights: Tensor
) -> Tensor:
    """Weighted mean over instances of their masks' cross-entropy, summed in the box, over the box's area.

    Logarithms of probabilities are -100 at least: where single precision rounds a probability to 1 there is no
    gradient, as in the authors' code.

    Args:
        basis: (B, H, W).
        coefficients: (n, k², B) of the instances.
        boxes: (n, 4) in cells.
        masks: (G, H, W) bool of the objects.
        objects: (n,) int64, the object of each instance.
        weights: (n,).
    """
    cells = cells_in(boxes, (basis.shape[-2], basis.shape[-1]), math.isqrt(coefficients.shape[1]))
    counts = objects.new_tensor(cells.counts).view(len(boxes), coefficients.shape[1]).sum(1)
    instance = torch.arange(len(boxes), device=boxes.device).repeat_interleave(counts)
    truth = masks.flatten(1)[objects[instance], cells.places]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    with torch.autocast(basis.device.type, enabled=False):  # half precision rounds too many probabilities to 1
        probabilities = logits_in(basis, coefficients, cells).sigmoid()
        each = F.binary_cross_entropy(probabilities, truth.to(probabilities.dtype), reduction="none")
    return (each * (weights / areas)[instance]).sum() / max(len(boxes), 1)
