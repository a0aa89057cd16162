"""BCNet: a RoI as two overlapping layers, the occluder's and the target's (Ke, Tai, Tang, CVPR 2021)."""

from collections.abc import Mapping
from functools import partial

import fvcore.nn.weight_init as weight_init
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.detectors.roi_detectors import with_mask_branch
from bcnet.models.masks.losses import contour, mask_loss, occluder_roi_weights
from bcnet.models.masks.map_predictor import Predictor
from bcnet.models.masks.mask_iou import MaskIoUHead
from bcnet.models.masks.roi_mask_branch import RoIFeatures, RoIMaskBranch
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.bcnet import BCNet


def build(spec: Spec[BCNet]) -> RoISegmenter:
    """BCNet's head on RoIs of 14x14."""
    variant, channels = spec.variant, spec.sizes.fpn_channels
    losses = partial(bilayer_losses, variant=variant)
    masks = 1 if variant.one_mask else spec.classes
    learned = ["gt_masks", "gt_occluder_masks"] if variant.has_occluder_layer else ["gt_masks"]

    def branch(strides: Mapping[str, int]) -> RoIMaskBranch:
        head = BilayerHead(channels, variant, masks)
        scored = MaskIoUHead(channels, spec.sizes.box_channels, spec.classes) if variant.mask_iou else None
        return RoIMaskBranch(RoIFeatures(strides), head, losses, learned, scored)

    return with_mask_branch(spec, branch)


class NonLocalBlock(nn.Module):
    """What the authors call graph convolution: every position attends to every other of the RoI; residual.

    softmax(QK^T / sqrt(C)) V by 1x1 convolutions without bias, an output convolution, then BatchNorm. The norm starts
    at zero, so that the block starts as the identity: what the released code's comment asks for.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (
            nn.Conv2d(channels, channels, kernel_size=1, bias=False) for _ in range(4)
        )
        self.norm = nn.BatchNorm2d(channels, eps=1e-4)
        for layer in (self.query, self.key, self.value, self.output):
            weight_init.c2_msra_fill(layer)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        n, c, h, w = x.shape
        if n == 0:  # not every device's attention takes none; DistributedDataParallel wants all parameters' gradients
            return x + torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        query, key, value = (
            layer(x).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.query, self.key, self.value)
        )
        relation = F.scaled_dot_product_attention(query, key, value)  # (N, 1, H*W, C)
        return x + self.norm(self.output(relation.transpose(2, 3).reshape(n, c, h, w)))


class Layer(nn.Sequential):
    """One of the two layers: four 3x3 convolutions with ReLU; with `gcn` a non-local block after the second."""

    def __init__(self, channels: int, kind: str) -> None:
        modules: list[nn.Module] = []
        for index in range(4):
            convolution = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
            weight_init.c2_msra_fill(convolution)
            modules += [convolution, nn.ReLU(inplace=True)]
            if index == 1 and kind == "gcn":
                modules.append(NonLocalBlock(channels))
        super().__init__(*modules)


class BilayerHead(nn.Module):
    """Occluder layer, then target layer on the RoI features plus the occluder layer's.

    `fusion: sum` adds them as they are (released code), `projection` after a 1x1 convolution without bias (the paper's
    formula: X = Z W + X_RoI). `structure: single` is the control that tells capacity from occlusion modelling: of depth
    8 the same two layers, of which the first has no maps of its own; of depth 4 the target layer alone.

    Args:
        channels: of the RoI features and of both layers.
        variant: the switches.
        masks: how many of each of the target's maps a RoI has: one for all categories, or one for each.
    """

    def __init__(self, channels: int, variant: BCNet, masks: int) -> None:
        super().__init__()
        self.occluder = Layer(channels, variant.layer) if variant.depth == 8 else None
        self.projection = None
        if variant.fusion == "projection":
            self.projection = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
            weight_init.c2_msra_fill(self.projection)
        self.target = Layer(channels, variant.layer)
        maps = {
            "occluder_mask": variant.structure == "bilayer" and variant.occluder.mask,
            "occluder_contour": variant.structure == "bilayer" and variant.occluder.contour,
            "target_mask": True,
            "target_contour": variant.target.contour,
        }
        self.predictors = nn.ModuleDict(
            {
                name: Predictor(channels, masks if name.startswith("target") else 1)
                for name, built in maps.items()
                if built
            }
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Maps of each RoI.

        Args:
            features: (N, C, 14, 14), C the channels of both layers.

        Returns:
            Logits (N, 1, 28, 28) under `occluder_mask`, `occluder_contour`, `target_mask`, `target_contour`, as far as
            the variant has them; those of the target (N, classes, 28, 28) where it is not class-agnostic.
        """
        sources = {}
        x = features
        if self.occluder is not None:
            sources["occluder"] = occluder = self.occluder(features)
            x = features + (occluder if self.projection is None else self.projection(occluder))
        sources["target"] = self.target(x)
        return {name: predict(sources[name.split("_")[0]]) for name, predict in self.predictors.items()}


def bilayer_losses(
    outputs: dict[str, Tensor], target_masks: Tensor, occluder_masks: Tensor | None = None, *, variant: BCNet
) -> dict[str, Tensor]:
    """The weighted loss of each map that the head has, as `loss_NAME` (released code: contours 0.5 * (BCE + BCE)).

    Args:
        outputs: logits by name, (N, 1, 28, 28) each: what `BilayerHead` returns, of each RoI's own category.
        target_masks: (N, 28, 28) bool, the ground truth inside each of the N foreground RoIs.
        occluder_masks: (N, 28, 28) bool, the union of what occludes it there; None: the head has no occluder layer.
        variant: weights, form of the contour loss, and which RoIs train the occluder layer.
    """
    learned = {"target": (target_masks, torch.ones(len(target_masks), device=target_masks.device))}
    if occluder_masks is not None:
        learned["occluder"] = (occluder_masks, occluder_roi_weights(occluder_masks, variant.occluder_rois))
    losses = {}
    for name, logits in outputs.items():
        layer, kind = name.split("_")
        masks, rois = learned[layer]
        targets = contour(masks) if kind == "contour" else masks
        dice = kind == "contour" and variant.contour_loss == "bce_dice"
        loss = mask_loss(logits.squeeze(1), targets, rois, dice)
        losses[f"loss_{name}"] = getattr(variant.loss_weights, name) * loss
    return losses


def _official_names() -> dict[str, str]:
    """Beginnings of the names in released FCOS-BCNet files, and of ours in their place."""
    names = {"head.": "proposal_generator.head."}
    names |= {f"head.scales.{level}.scale": f"proposal_generator.head.scales.{level}" for level in range(5)}
    ours = "roi_heads.mask_head.head."
    for layer, convolutions, suffix in (("occluder", "boundary_fcn", "_bound_bo"), ("target", "mask_fcn", "_bound")):
        for number, place in enumerate((0, 2, 5, 7), start=1):
            names[f"mask_head.{convolutions}{number}."] = f"{ours}{layer}.{place}."
        for part in ("query", "key", "value", "output"):
            names[f"mask_head.{part}_transform{suffix}."] = f"{ours}{layer}.4.{part}."
        names[f"mask_head.blocker{suffix}."] = f"{ours}{layer}.4.norm."
    for output, upsample, predict in (
        ("occluder_mask", "bo_deconv", "predictor_bo"),
        ("occluder_contour", "boundary_deconv_bo", "boundary_predictor_bo"),
        ("target_mask", "deconv", "predictor"),
        ("target_contour", "boundary_deconv", "boundary_predictor"),
    ):
        names[f"mask_head.{upsample}."] = f"{ours}predictors.{output}.upsample."
        names[f"mask_head.{predict}."] = f"{ours}predictors.{output}.predict."
    return names


OFFICIAL_NAMES = _official_names()
