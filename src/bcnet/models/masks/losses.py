"""Targets and losses of mask heads, as pure functions on tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bcnet.models.processes import mean_over_processes


def contour(masks: Tensor) -> Tensor:
    """Contours of masks: where 3x3-cross dilation and erosion differ, one pixel outside and one inside.

    Beyond the border, pixels count as background for the dilation and as foreground for the erosion, so that a mask
    that touches the border has no contour there (scikit-image's `find_boundaries(mode="thick")`, as released).

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, W) bool.
    """
    contours = torch.zeros_like(masks)
    for axis in (1, 2):  # both pixels of each pair of neighbours that differ
        size = masks.shape[axis] - 1
        edges = masks.narrow(axis, 0, size) ^ masks.narrow(axis, 1, size)
        contours.narrow(axis, 0, size).logical_or_(edges)
        contours.narrow(axis, 1, size).logical_or_(edges)
    return contours


def mask_loss(logits: Tensor, targets: Tensor, roi_weights: Tensor, dice: bool = False) -> Tensor:
    """Binary cross-entropy of each RoI's map, averaged over RoIs; zero, with a gradient of zero, without any weight.

    Of several processes, the mean of what each of them gets is the average over the RoIs of all.

    Args:
        logits: (N, H, W) float.
        targets: (N, H, W) bool.
        roi_weights: (N,) float, how often a RoI counts.
        dice: add the dice loss of each map, 1 - (2 sum(pg) + 1) / (sum(p^2) + sum(g^2) + 1); BMask R-CNN's, whose form
            this follows, squares nothing.
    """
    pixels, truth = logits.flatten(1), targets.flatten(1).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(pixels, truth, roi_weights[:, None], reduction="sum") / pixels.shape[1]
    if dice:
        p = pixels.sigmoid()
        overlap, sizes = (p * truth).sum(1), (p * p).sum(1) + truth.sum(1)
        loss = loss + (roi_weights * (1 - (2 * overlap + 1) / (sizes + 1))).sum()
    return loss / mean_over_processes(roi_weights.sum(), least=1)


def mask_losses(outputs: dict[str, Tensor], target_masks: Tensor) -> dict[str, Tensor]:
    """`loss_mask`, the mean cross-entropy over the RoIs of all processes.

    Args:
        outputs: logits (N, 1, 28, 28) of each RoI's own category, under `target_mask`.
        target_masks: (N, 28, 28) bool, the ground truth inside each of the N foreground RoIs.
    """
    logits = outputs["target_mask"].squeeze(1)
    return {"loss_mask": mask_loss(logits, target_masks, torch.ones(len(logits), device=logits.device))}


def occluder_roi_weights(occluder_masks: Tensor, rule: str) -> Tensor:
    """How often each RoI counts in the losses of the occluder layer; K of the N RoIs have an occluder.

    `released`: the K, and the first K of the batch besides, so that at least half of what counts is occluded and a RoI
    can count twice (released code). `balanced`: the K, and at most K drawn from the others, what its author says it is
    for. `all`: every RoI once. Without an occluder nothing counts but under `all`. No copy to the host. Each of several
    processes has a K of its own.

    Args:
        occluder_masks: (N, H, W) bool.
        rule: one of the three.

    Returns:
        (N,) float.
    """
    occluded = occluder_masks.flatten(1).amax(1)  # `any`, but quick on a CPU too
    if rule == "all":
        return torch.ones_like(occluded, dtype=torch.float32)
    rank = torch.arange(len(occluded), device=occluded.device)
    if rule == "balanced":  # the occluded last, the others in a random order
        draw = torch.rand(len(occluded), device=occluded.device) + occluded
        rank = draw.argsort().argsort()
    besides = rank < occluded.sum()
    if rule == "balanced":
        besides &= ~occluded
    return occluded.float() + besides.float()
