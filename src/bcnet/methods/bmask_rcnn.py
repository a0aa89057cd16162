"""BMask R-CNN: Mask R-CNN with a stream for boundaries beside that for masks (Cheng, Wang, Huang, Liu, ECCV 2020)."""

from collections.abc import Mapping
from functools import partial

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.detectors.faster_rcnn import STRIDES, faster_rcnn
from bcnet.models.masks.losses import mask_loss
from bcnet.models.masks.map_predictor import Predictor
from bcnet.models.masks.roi_mask_branch import RoIFeatures, RoIMaskBranch
from bcnet.models.processes import mean_over_processes
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.bmask_rcnn import BMaskRCNN

FINEST = "p2"  # the level that boundaries are seen on, whatever a RoI's size
_HEAD = "roi_heads.mask_head."
OFFICIAL_NAMES = {
    f"{_HEAD}{theirs}.": f"{_HEAD}head.{ours}."
    for theirs, ours in {
        **{f"mask_fcn{number}": f"mask_layers.{2 * number - 2}" for number in range(1, 5)},
        "downsample": "downsample",
        "mask_to_boundary": "mask_to_boundary",
        "boundary_fcn1": "boundary_layers.0",
        "boundary_fcn2": "boundary_layers.2",
        "boundary_to_mask": "boundary_to_mask",
        "mask_final_fusion": "fused",
        "mask_deconv": "predictors.target_mask.upsample",
        "mask_predictor": "predictors.target_mask.predict",
        "boundary_deconv": "predictors.target_contour.upsample",
        "boundary_predictor": "predictors.target_contour.predict",
    }.items()
}


def build(spec: Spec[BMaskRCNN]) -> RoISegmenter:
    """The two streams on Faster R-CNN, learned in what the box head makes of the proposals, as its authors have it."""
    variant = spec.variant
    with torch.random.fork_rng(devices=[]):  # as `with_mask_branch`
        head = BoundaryPreservingHead(spec.sizes.fpn_channels, 1 if variant.one_mask else spec.classes)
        losses = partial(boundary_preserving_losses, dice=variant.boundary_loss == "bce_dice")
        branch = RoIMaskBranch(BothRoIFeatures(STRIDES), head, losses)
    return faster_rcnn(spec, branch, train_on_pred_boxes=variant.mask_rois == "predicted")


class BothRoIFeatures:
    """RoI features for masks, from the level that fits a RoI's size, and for boundaries, twice as fine.

    Args:
        strides: of all levels that RoIs are pooled from, by name, in pixels.
    """

    def __init__(self, strides: Mapping[str, int]) -> None:
        self.masks = RoIFeatures(strides, side=14)
        self.boundaries = RoIFeatures({FINEST: strides[FINEST]}, side=28)

    def __call__(self, features: dict[str, Tensor], instances: list[Instances]) -> tuple[Tensor, Tensor]:
        """(N, C, 14, 14) and (N, C, 28, 28); arguments as of `RoIFeatures`."""
        return self.masks(features, instances), self.boundaries(features, instances)


def _convolution(channels: int, side: int, stride: int = 1) -> nn.Conv2d:
    """Channels to as many, with bias, padded so that it keeps the size but for its stride."""
    convolution = nn.Conv2d(channels, channels, side, stride=stride, padding=side // 2)
    weight_init.c2_msra_fill(convolution)
    return convolution


class BoundaryPreservingHead(nn.Module):
    """The streams of masks and of boundaries, each of which is added to the other once.

    Args:
        channels: of the RoI features and of every layer.
        masks: of either map a RoI has: one for all categories, or one for each.
    """

    def __init__(self, channels: int, masks: int) -> None:
        super().__init__()
        self.mask_layers = nn.Sequential(*(layer for _ in range(4) for layer in (_convolution(channels, 3), nn.ReLU())))
        self.downsample = _convolution(channels, 3, stride=2)
        self.mask_to_boundary = _convolution(channels, 1)
        self.boundary_layers = nn.Sequential(
            *(layer for _ in range(2) for layer in (_convolution(channels, 3), nn.ReLU()))
        )
        self.boundary_to_mask = _convolution(channels, 1)
        self.fused = _convolution(channels, 3)
        self.predictors = nn.ModuleDict(
            {name: Predictor(channels, masks) for name in ("target_mask", "target_contour")}
        )

    def forward(self, features: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Maps of each RoI.

        Args:
            features: (N, C, 14, 14) for masks, (N, C, 28, 28) for boundaries.

        Returns:
            Logits (N, masks, 28, 28) under `target_mask` and `target_contour`. The second are for training only.
        """
        coarse, fine = features
        masks = self.mask_layers(coarse)
        boundaries = self.downsample(fine).relu() + self.mask_to_boundary(masks).relu()
        boundaries = self.boundary_layers(boundaries)
        masks = self.fused(self.boundary_to_mask(boundaries).relu() + masks).relu()
        predict_mask, predict_contour = self.predictors["target_mask"], self.predictors["target_contour"]
        return {"target_mask": predict_mask(masks), "target_contour": predict_contour(boundaries)}


def boundary_preserving_losses(outputs: dict[str, Tensor], target_masks: Tensor, dice: bool) -> dict[str, Tensor]:
    """`loss_mask` and `loss_boundary`, both of weight 1, means over the RoIs of all processes (authors' code).

    Args:
        outputs: logits (N, 1, 28, 28) of each RoI's own category: what `BoundaryPreservingHead` returns.
        target_masks: (N, 28, 28) bool, the ground truth inside each of the N foreground RoIs.
        dice: whether the boundary's loss has a dice loss beside the cross-entropy.
    """
    masks, boundaries = outputs["target_mask"].squeeze(1), outputs["target_contour"].squeeze(1)
    edges, every = boundary(target_masks), torch.ones(len(target_masks), device=masks.device)
    loss_boundary = mask_loss(boundaries, edges, every)
    if dice:
        loss_boundary = loss_boundary + dice_losses(boundaries, edges).sum() / mean_over_processes(every.sum(), least=1)
    return {"loss_mask": mask_loss(masks, target_masks, every), "loss_boundary": loss_boundary}


def boundary(masks: Tensor) -> Tensor:
    """Boundaries of masks: their pixels of which one of the eight neighbours is none; beyond the border all are none.

    Where the authors' Laplacian (8 in the middle, -1 around, zero padding) is positive. So a mask that goes beyond its
    RoI has a boundary along the border.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, W) bool.
    """
    outside = F.pad((~masks).float(), (1, 1, 1, 1), value=1.0)[:, None]
    return masks & (F.max_pool2d(outside, kernel_size=3, stride=1)[:, 0] > 0)


def dice_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - (2 sum(pt) + 1) / (sum(p) + sum(t) + 1) of each map, p its probabilities (authors' code: nothing squared).

    Args:
        logits: (N, H, W).
        targets: (N, H, W) bool.

    Returns:
        (N,).
    """
    p, t = logits.flatten(1).sigmoid(), targets.flatten(1).to(logits.dtype)
    return 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)
