"""CenterMask: FCOS, a mask head that attends to places, and a head that scores masks (Lee, Park, CVPR 2020).

Its authors' code has two editions, which differ in what `OF_EDITION` lists.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import fvcore.nn.weight_init as weight_init
import numpy as np
import torch
from torch import Tensor, nn

from bcnet.models.detections import Size
from bcnet.models.detectors.fcos import fcos
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_targets import giou_loss
from bcnet.models.layers import convolutions
from bcnet.models.masks.adaptive_rois import AdaptiveRoIFeatures
from bcnet.models.masks.losses import mask_losses
from bcnet.models.masks.map_predictor import Predictor
from bcnet.models.masks.mask_iou import MaskIoUHead, ShareOfPolygons, drawn_area, drawn_share
from bcnet.models.masks.roi_mask_branch import RoIMaskBranch
from bcnet.models.names.maskrcnn_benchmark import fcos as benchmark_names
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.entries.centermask import CenterMask
from bcnet.params.models import FcosPredict

_HEAD, _BRANCH = "proposal_generator.head.", "roi_heads.mask_head."


def _names(mask: str, upsample: str, predict: str, scored: str, score: str) -> dict[str, str]:
    """Beginnings of the authors' names of both heads' tensors, and of ours in their place."""
    return {
        **{f"{mask}mask_fcn{n}.": f"{_BRANCH}head.layers.{2 * n - 2}." for n in range(1, 5)},
        f"{mask}spatialAtt.conv.": f"{_BRANCH}head.attention.convolution.",
        upsample: f"{_BRANCH}head.predictor.upsample.",
        predict: f"{_BRANCH}head.predictor.predict.",
        **{f"{scored}maskiou_fcn{n}.": f"{_BRANCH}mask_iou.convolutions.{2 * n - 2}." for n in range(1, 5)},
        **{f"{scored}maskiou_fc{n}.": f"{_BRANCH}mask_iou.connected.{2 * n - 2}." for n in (1, 2)},
        score: f"{_BRANCH}mask_iou.predict.",
    }


OFFICIAL_NAMES = benchmark_names(_HEAD) | _names(
    "roi_heads.mask.feature_extractor.",
    "roi_heads.mask.predictor.conv5_mask.",
    "roi_heads.mask.predictor.mask_fcn_logits.",
    "roi_heads.maskiou.feature_extractor.",
    "roi_heads.maskiou.predictor.maskiou.",
)
OFFICIAL_NAMES_2 = {
    "proposal_generator.fcos_head.": _HEAD,
    "proposal_generator.fcos_head.ctrness.": f"{_HEAD}centerness.",
    **{f"proposal_generator.fcos_head.scales.{level}.scale": f"{_HEAD}scales.{level}" for level in range(5)},
    **_names(
        _BRANCH,
        f"{_BRANCH}deconv.",
        f"{_BRANCH}predictor.",
        "roi_heads.maskiou_head.",
        "roi_heads.maskiou_head.maskiou.",
    ),
}


def first_share(polygons: list[np.ndarray], box: np.ndarray, size: Size) -> float:
    """`drawn_share` of an object's first polygon, whatever others it has (edition 1)."""
    return drawn_share(polygons[:1], box, size)


def outlined_share(polygons: list[np.ndarray], box: np.ndarray, size: Size) -> float:
    """Pixels in the box over the area that the polygons enclose, at most 1 (edition 2); arguments as of `drawn_share`.

    Not a number for an object without area.
    """
    enclosed = 0.0
    for polygon in polygons:
        x, y = polygon[::2], polygon[1::2]
        enclosed += 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return min(drawn_area(polygons, box[:2], box[2:]) / enclosed, 1.0) if enclosed else math.nan


@dataclass(frozen=True)
class OfEdition:
    """What an edition of the authors' code does its own way.

    Attributes:
        fcos: its FCOS.
        share: which share of an object of polygons a RoI shows, for what the scores of masks learn.
        least: what is added to the area of the picture over that of a RoI.
        prepare: its initial weights, where they are not those of other methods' heads.
    """

    fcos: FcosEdition
    share: ShareOfPolygons
    least: float
    prepare: Callable[["MaskHead", MaskIoUHead], None]


def _as_first(head: "MaskHead", _: MaskIoUHead) -> None:
    weight_init.c2_msra_fill(head.predictor.predict)


def _as_second(head: "MaskHead", scored: MaskIoUHead) -> None:
    nn.init.kaiming_normal_(head.attention.convolution.weight, mode="fan_out", nonlinearity="relu")
    for layer in scored.connected:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


OF_EDITION: Mapping[int, OfEdition] = {
    1: OfEdition(
        FcosEdition(
            box_weight=1.0,
            activation="exp",
            in_pixels=True,
            images_count=True,
            root=False,
            clipped=True,
            draws_rois=False,
        ),
        first_share,
        1e-6,
        _as_first,
    ),
    2: OfEdition(
        FcosEdition(
            box_weight=1.0, box_loss=partial(giou_loss, least_hull=0.0), training=FcosPredict(score_threshold=0.05)
        ),
        outlined_share,
        torch.finfo(torch.float64).eps,
        _as_second,
    ),
}


def build(spec: Spec[CenterMask]) -> RoISegmenter:
    """CenterMask on FCOS."""
    sizes, edition = spec.sizes, OF_EDITION[spec.variant.edition]
    with torch.random.fork_rng(devices=[]):  # its own weights apart: those of FCOS are equal in every method
        head = MaskHead(sizes.fpn_channels, spec.classes)
        scored = MaskIoUHead(sizes.fpn_channels, sizes.box_channels, spec.classes, edition.share)
        edition.prepare(head, scored)
    branch = RoIMaskBranch(
        AdaptiveRoIFeatures(edition.least, conventions=spec.conventions),
        head,
        mask_losses,
        mask_iou=scored,
    )
    return fcos(spec, branch, edition.fcos)


class MaskHead(nn.Module):
    """SAG-Mask: four 3x3 convolutions with ReLU, attention to places, then maps of twice the resolution.

    Args:
        channels: of the RoI features and of every layer.
        masks: of a RoI, one for each category.
    """

    def __init__(self, channels: int, masks: int) -> None:
        super().__init__()
        self.layers = convolutions.four(channels)
        self.attention = SpatialAttention()
        self.predictor = Predictor(channels, masks)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(N, C, 14, 14) to logits (N, masks, 28, 28) under `target_mask`."""
        x = self.layers(features)
        return {"target_mask": self.predictor(x * self.attention(x))}


class SpatialAttention(nn.Module):
    """How much each place counts: a 3x3 convolution of the channels' mean and largest value, then a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 1, H, W), 0 to 1."""
        both = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], dim=1)
        attention: Tensor = self.convolution(both).sigmoid()
        return attention
