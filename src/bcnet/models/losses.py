"""Targets and losses of mask heads, as pure functions on tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contour(masks: Tensor) -> Tensor:
    """Contours of masks: where 3x3-cross dilation and erosion differ, one pixel outside and one inside.

    Beyond the border, pixels count as background for the dilation and as foreground for the erosion, so that a mask
    that touches the border has no contour there (scikit-image's `find_boundaries(mode="thick")`, as released).

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, W) bool.
    """
    return _any_of_cross(masks) & _any_of_cross(~masks)


def _any_of_cross(masks: Tensor) -> Tensor:
    """3x3-cross dilation; outside the erosion of a mask is what the dilation of its complement covers."""
    padded = F.pad(masks, (1, 1, 1, 1))
    up, down, left, right = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    return masks | up | down | left | right


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy; zero, with a gradient of zero, when there is nothing to average.

    Args:
        logits: (N, 1, H, W) float.
        targets: (N, H, W) bool.
    """
    if logits.numel() == 0:
        return logits.sum()
    return F.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype))


def occluder_rois(occluder_masks: Tensor) -> Tensor:
    """The RoIs that train the occluder layer: the K with an occluder, and the first K of the batch besides.

    So at least half of them are occluded; a RoI can count twice; without an occluder there is none (released code).

    Args:
        occluder_masks: (N, H, W) bool.

    Returns:
        (2K,) int64 indices into N.
    """
    occluded = occluder_masks.flatten(1).any(1).nonzero()[:, 0]
    return torch.cat([occluded, torch.arange(len(occluded), device=occluded.device)])
