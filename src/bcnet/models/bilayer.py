"""The BCNet mask head: a RoI as two overlapping layers, the occluder's and the target's (Ke, Tai, Tang, CVPR 2021)."""

import fvcore.nn.weight_init as weight_init
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.losses import binary_cross_entropy, contour, occluder_rois
from bcnet.params.models import Variant

# Released code: the occluder's mask counts a quarter, each contour loss is 0.5 * (BCE + BCE).
WEIGHTS = {"target_mask": 1.0, "target_contour": 1.0, "occluder_mask": 0.25, "occluder_contour": 1.0}


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
        if n == 0:
            return x
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


class Predictor(nn.Sequential):
    """From a layer's features to one map of twice the resolution: transposed convolution, ReLU, 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        upsample = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
        predict = nn.Conv2d(channels, 1, kernel_size=1)
        weight_init.c2_msra_fill(upsample)
        nn.init.normal_(predict.weight, std=0.001)
        nn.init.constant_(predict.get_parameter("bias"), 0)
        super().__init__(upsample, nn.ReLU(inplace=True), predict)


class BilayerHead(nn.Module):
    """Occluder layer, then target layer on the RoI features plus the occluder layer's (released code: a plain sum).

    `structure: single` is the control of equal depth: the same two layers, of which the first has no maps of its own.
    """

    def __init__(self, channels: int, variant: Variant) -> None:
        super().__init__()
        self.occluder = Layer(channels, variant.layer)
        self.target = Layer(channels, variant.layer)
        maps = {
            "occluder_mask": variant.structure == "bilayer" and variant.occluder.mask,
            "occluder_contour": variant.structure == "bilayer" and variant.occluder.contour,
            "target_mask": True,
            "target_contour": variant.target.contour,
        }
        self.predictors = nn.ModuleDict({name: Predictor(channels) for name, built in maps.items() if built})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Maps of each RoI.

        Args:
            features: (N, C, 14, 14), C the channels of both layers.

        Returns:
            Logits (N, 1, 28, 28) under `occluder_mask`, `occluder_contour`, `target_mask`, `target_contour`, as far as
            the variant has them.
        """
        occluder = self.occluder(features)
        target = self.target(features + occluder)
        sources = {"occluder": occluder, "target": target}
        return {name: predict(sources[name.split("_")[0]]) for name, predict in self.predictors.items()}


def bilayer_losses(outputs: dict[str, Tensor], target_masks: Tensor, occluder_masks: Tensor) -> dict[str, Tensor]:
    """The weighted loss of each map that the head has, as `loss_NAME`.

    Args:
        outputs: what `BilayerHead` returns, for the N foreground RoIs.
        target_masks: (N, 28, 28) bool, the ground truth inside each RoI.
        occluder_masks: (N, 28, 28) bool, the union of what occludes it there.
    """
    chosen = occluder_rois(occluder_masks)
    every = torch.arange(len(target_masks), device=target_masks.device)
    losses = {}
    for name, logits in outputs.items():
        layer, kind = name.split("_")
        masks, rois = (occluder_masks, chosen) if layer == "occluder" else (target_masks, every)
        targets = contour(masks[rois]) if kind == "contour" else masks[rois]
        losses[f"loss_{name}"] = WEIGHTS[name] * binary_cross_entropy(logits[rois], targets)
    return losses
