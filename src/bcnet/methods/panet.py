"""PANet: Mask R-CNN whose RoIs see all levels, made again from the finest up (Liu, Qi, Qin, Shi, Jia, CVPR 2018).

As its first author's code has it, with GroupNorm everywhere but in the backbone.
"""

import fvcore.nn.weight_init as weight_init
import torch
from torch import Tensor, nn

from bcnet.models.detectors.faster_rcnn import STRIDES, BoxBranch, FasterRCNNEdition, faster_rcnn
from bcnet.models.layers.adaptive_pooling import FusedLevels, LevelPooler
from bcnet.models.layers.convolutions import group_norm, normalised
from bcnet.models.masks.losses import mask_losses
from bcnet.models.masks.map_predictor import Predictor
from bcnet.models.masks.roi_mask_branch import RoIFeatures, RoIMaskBranch
from bcnet.models.names.maskrcnn_benchmark import resnet
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.panet import PANet

EDITION = FasterRCNNEdition(norm=group_norm, box_beta=1 / 3, proposal_beta=1 / 9)
BOX_SIDE, MASK_SIDE = 7, 14  # cells of a RoI, along x and y


def build(spec: Spec[PANet]) -> RoISegmenter:
    """Faster R-CNN with a box head and a mask head that take RoI features of every level."""
    variant, sizes, strides = spec.variant, spec.sizes, list(STRIDES.values())
    channels, masks = sizes.fpn_channels, 1 if variant.one_mask else spec.classes
    groups = [[stride] for stride in strides] if variant.adaptive_pooling else [strides]
    with torch.random.fork_rng(devices=[]):  # as `with_mask_branch`
        box_branch = BoxBranch(
            LevelPooler(BOX_SIDE, groups, spec.conventions), BoxHead(channels, sizes.box_channels, len(groups))
        )
        mask_branch = RoIMaskBranch(
            RoIFeatures(STRIDES, pooler=LevelPooler(MASK_SIDE, groups, spec.conventions)),
            MaskHead(channels, masks, len(groups), variant.fully_connected),
            mask_losses,
        )
    return faster_rcnn(spec, mask_branch, box_branch=box_branch, edition=EDITION)


class BoxHead(nn.Module):
    """Levels fused, three convolutions, and a fully connected layer.

    Args:
        channels: of the RoI features and of the convolutions.
        width: of the fully connected layer.
        levels: how many the RoI features are of.
    """

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        self.levels = FusedLevels(levels, channels)
        self.layers = nn.Sequential(*(normalised(channels, channels) for _ in range(3)))
        self.connected = nn.Linear(channels * BOX_SIDE**2, width)
        weight_init.c2_xavier_fill(self.connected)

    def forward(self, features: list[Tensor]) -> Tensor:
        """(N, C, 7, 7) of each level to (N, width), 0 or more."""
        x: Tensor = self.connected(self.layers(self.levels(features)).flatten(1))
        return x.relu()


class MaskHead(nn.Module):
    """Levels fused, two convolutions, then the sum of two branches.

    One has a convolution and the last layers of Mask R-CNN's head. The other, `FullyConnected`, gives a single map,
    which is added to those of all categories.

    Args:
        channels: of the RoI features and of the convolutions.
        masks: of a RoI: one for all categories, or one for each.
        levels: how many the RoI features are of.
        fully_connected: whether there is the second branch.
    """

    def __init__(self, channels: int, masks: int, levels: int, fully_connected: bool) -> None:
        super().__init__()
        self.levels = FusedLevels(levels, channels)
        self.layers = nn.Sequential(*(normalised(channels, channels) for _ in range(2)))
        self.convolutional = normalised(channels, channels)
        self.predictor = Predictor(channels, masks)
        weight_init.c2_msra_fill(self.predictor.predict)
        self.connected = FullyConnected(channels) if fully_connected else None

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """(N, C, 14, 14) of each level to logits (N, masks, 28, 28) under `target_mask`."""
        x = self.layers(self.levels(features))
        logits = self.predictor(self.convolutional(x))
        return {"target_mask": logits if self.connected is None else logits + self.connected(x)}


class FullyConnected(nn.Module):
    """A map of which every pixel sees the whole RoI: two convolutions, the second to half the channels, and a layer.

    The authors' code ends it with ReLU, so that it can only raise logits.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(normalised(channels, channels), normalised(channels, channels // 2))
        self.connected = nn.Linear(channels // 2 * MASK_SIDE**2, (2 * MASK_SIDE) ** 2)
        nn.init.normal_(self.connected.weight, std=0.01)
        nn.init.zeros_(self.connected.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 14, 14) to (N, 1, 28, 28), 0 or more; the layer's outputs are the map's pixels row by row."""
        values: Tensor = self.connected(self.layers(x).flatten(1))
        return values.relu().unflatten(1, (1, 2 * MASK_SIDE, 2 * MASK_SIDE))


def _official_names() -> dict[str, str]:
    """Beginnings of the names in the authors' files, and of ours in their place."""
    body, box, mask = "Conv_Body.", "roi_heads.box_head.", "roi_heads.mask_head.head."
    names = resnet(f"{body}conv_body.res1.", [f"{body}conv_body.res{stage}." for stage in (2, 3, 4, 5)])
    for place in range(4):  # theirs from coarse to fine
        lateral = f"{body}topdown_lateral_modules.{place - 1}.conv_lateral." if place else f"{body}conv_top."
        for theirs, ours in ((lateral, "lateral"), (f"{body}posthoc_modules.{place}.", "output")):
            names[f"{theirs}0."] = f"backbone.fpn_{ours}{5 - place}."
            names[f"{theirs}1."] = f"backbone.fpn_{ours}{5 - place}.norm."
    for step in range(3):  # these from fine to coarse
        for number, part in ((1, "halved"), (2, "fused")):
            names[f"{body}panet_buttomup_conv{number}_modules.{step}."] = f"backbone.path.{step}.{part}."
    for layer in range(3):
        for within in (0, 1):
            names[f"Box_Head.convs.{3 * layer + within}."] = f"{box}layers.{layer}.{within}."
            names[f"Mask_Head.conv_fcn.{3 * layer + within}."] = f"{mask}layers.{layer}.{within}."
    return names | {
        "RPN.FPN_RPN_conv.": "proposal_generator.rpn_head.conv.",
        "RPN.FPN_RPN_cls_score.": "proposal_generator.rpn_head.objectness_logits.",
        "RPN.FPN_RPN_bbox_pred.": "proposal_generator.rpn_head.anchor_deltas.",
        "Box_Head.conv1_head.": f"{box}levels.",
        "Box_Head.fc.": f"{box}connected.",
        "Box_Outs.": "roi_heads.box_predictor.",
        "Mask_Head.mask_conv1.": f"{mask}levels.",
        "Mask_Head.mask_conv4.": f"{mask}convolutional.",
        "Mask_Head.mask_conv4_fc.": f"{mask}connected.layers.0.",
        "Mask_Head.mask_conv5_fc.": f"{mask}connected.layers.1.",
        "Mask_Head.mask_fc.0.": f"{mask}connected.connected.",
        "Mask_Head.upconv.": f"{mask}predictor.upsample.",
        "Mask_Outs.classify.": f"{mask}predictor.predict.",
    }


OFFICIAL_NAMES = _official_names()
