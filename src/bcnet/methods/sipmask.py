"""SipMask: a mask is a weighted sum of maps that all objects share, with weights of its own in each sub-region of its
box (Cao, Anwer, Cholakkal, Khan, Pang, Shao, ECCV 2020), as in the authors' two code bases.
"""

from dataclasses import dataclass, replace

import torch
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d, nms

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detections import Detected
from bcnet.models.detectors.fcos import FCOS, STRIDES
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_head import LevelOutput, at_least_single, by_location
from bcnet.models.detectors.fcos_targets import iou_loss
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.layers.convolutions import GroupNorm
from bcnet.models.masks.image_masks import rasterised
from bcnet.models.masks.mask_scorer import MaskScorer, scoring_loss
from bcnet.models.masks.sub_region_loss import alignment_weights, cross_entropy, halved
from bcnet.models.masks.sub_regions import STRIDE, SubRegionMasks
from bcnet.models.names import maskrcnn_benchmark, mmdetection
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Spec
from bcnet.params.entries.sipmask import SipMask

OFFSET_GROUPS = 4  # of the channels, whose kernels move each on its own
LEVELS = 3  # that the bases are made from, P3 to P5

_OWN = {
    "feat_align.conv_offset.": "fcos.head.align.offsets.",
    "feat_align.conv_adaption.": "fcos.head.align.convolution.",
    "feat_align.norm.": "fcos.head.align.norm.",
    "sip_cof.": "fcos.head.top.",
    "sip_mask_lat0.": "basis.merge.",
    "sip_mask_lat.": "basis.refine.",
}
OFFICIAL_NAMES = maskrcnn_benchmark.fcos("fcos.head.") | {f"rpn.head.{theirs}": ours for theirs, ours in _OWN.items()}
MMDETECTION_NAMES = mmdetection.fcos("fcos.head.") | {f"bbox_head.{theirs}": ours for theirs, ours in _OWN.items()}


@dataclass(frozen=True)
class OfEdition:
    """What the authors' two differ in.

    Attributes:
        fcos: its FCOS.
        weight_epsilon: added to the sum that the weights of a picture's masks are divided by.
        mask_nms: of boxes that overlap more, only the surest trains its mask.
        halves_from: a mask loss above it counts half.
        small_start: coefficients and bases start near zero, not as PyTorch has it.
    """

    fcos: FcosEdition
    weight_epsilon: float = 0.0
    mask_nms: float | None = None
    halves_from: float | None = None
    small_start: bool = False


OF_EDITION = {
    "benchmark": OfEdition(
        FcosEdition(box_weight=1.0, top_tower="classes", clipped=True), mask_nms=0.9, halves_from=1.0
    ),
    "mmdetection": OfEdition(
        FcosEdition(
            box_weight=1.0,
            tower_bias=False,
            top_tower="classes",
            activation="none",
            images_count=True,
            box_loss=iou_loss,
            best_locations=True,
            root=False,
            clipped=True,
        ),
        weight_epsilon=1e-4,
        small_start=True,
    ),
}


def build(spec: Spec[SipMask]) -> "SipMaskModel":
    """SipMask on FCOS."""
    return SipMaskModel(spec)


class SipMaskModel(ImageSegmenter):
    """FCOS, whose tower of categories is aligned with the boxes and makes each location's coefficients, and the bases
    that these weigh.
    """

    def __init__(self, spec: Spec[SipMask]) -> None:
        sizes, variant, predict = spec.sizes, spec.variant, spec.predict
        super().__init__(spec, pyramid_from_p3(variant.backbone, sizes.fpn_channels, sizes.freeze_at, variant.neck))
        self.code_base, self.weighting = OF_EDITION[variant.edition], variant.mask_weighting
        self.coefficients = (variant.sub_regions**2, variant.bases)  # of a location
        edition, channels = self.code_base.fcos, sizes.fpn_channels
        with torch.random.fork_rng(devices=[]):  # its own weights apart: those of FCOS are equal whatever these are
            align = FeatureAlignment(channels, edition.tower_bias) if variant.feature_alignment else None
            top = nn.Conv2d(channels, variant.sub_regions**2 * variant.bases, kernel_size=3, padding=1)
            self.basis = Basis(channels, variant.bases)
            if self.code_base.small_start:
                start_small(top, std=0.001)
                start_small(self.basis, std=0.01)
            self.scorer = MaskScorer(spec.classes) if variant.mask_iou else None
        settings = sizes.fcos_ranges, predict.fcos, predict.detections
        self.fcos = FCOS(
            channels,
            spec.classes,
            STRIDES,
            *settings,
            top=top,
            edition=edition,
            conventions=spec.conventions,
            align=align,
        )

    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """`fcos_losses`; `loss_mask`, the mean over the images of all processes; with `mask_iou` `loss_mask_iou`."""
        outputs, places = self.fcos.predict(features)
        bases = self.basis(outputs)
        learned = self.fcos.learned(places, targets)
        losses = self.fcos.losses(outputs, places, targets, learned)

        coefficients = by_location([output.top for output in outputs if output.top is not None])
        logits = by_location([output.logits for output in outputs]).detach()
        reaches = by_location([output.distances for output in outputs]).detach() * places.strides
        size = (images.tensor.shape[-2], images.tensor.shape[-1])
        of_images, scored = [], []
        for index, (target, objects) in enumerate(zip(targets, learned, strict=True)):
            at = (objects >= 0).nonzero()[:, 0]
            own, near, reach = objects[at], places.points[at], reaches[index, at]
            instances = Instances(
                size,
                boxes=torch.cat([near - reach[:, :2], near + reach[:, 2:]], 1) / STRIDE,
                true_boxes=self.conventions.to_code_base(target.gt_boxes.tensor)[own] / STRIDE,
                probabilities=logits[index, at, target.gt_classes[own]].sigmoid(),
                coefficients=coefficients[index, at].unflatten(1, self.coefficients),
                objects=own,
                classes=target.gt_classes[own],
            )
            masks = halved(rasterised(target.gt_masks, size, bases.device))
            instances = self.with_weights(instances)
            of_images.append(self.mask_loss(bases[index], instances, masks))
            if self.scorer is not None:
                scored.append(self.scorer.learned(bases[index], instances, masks))
        count = mean_over_processes(logits.new_tensor(len(targets)))
        loss = torch.stack(of_images).sum() / count
        if self.code_base.halves_from is not None:
            large = mean_over_processes(loss.detach()) > self.code_base.halves_from
            loss = torch.where(large, 0.5, 1.0).to(loss.dtype) * loss
        losses["loss_mask"] = loss
        if scored:
            losses["loss_mask_iou"] = scoring_loss(*(torch.cat(parts) for parts in zip(*scored, strict=True)))
        return losses

    def with_weights(self, instances: Instances) -> Instances:
        """Those whose masks are learned: with boxes larger than a cell, and `weights` (n,) in the loss of masks.

        Args:
            instances: locations that learn an object, with `boxes` and `true_boxes` (n, 4) in cells, and the
                `probabilities` (n,) of their categories.
        """
        instances = instances[(instances.boxes[:, 2:] - instances.boxes[:, :2]).prod(1) > 1]
        if self.weighting:
            instances.weights = alignment_weights(
                instances.probabilities, instances.boxes, instances.true_boxes, self.code_base.weight_epsilon
            )
        else:
            instances.weights = torch.ones_like(instances.probabilities)
        if self.code_base.mask_nms is None:
            return instances
        ends = instances.boxes + instances.boxes.new_tensor([0, 0, 1, 1])  # 1 added to widths, as in alignment
        return instances[nms(ends, instances.probabilities, self.code_base.mask_nms)]

    def mask_loss(self, basis: Tensor, instances: Instances, masks: Tensor) -> Tensor:
        """That of an image, a scalar: the weighted `cross_entropy` of its masks.

        Args:
            basis: (B, H, W).
            instances: of `with_weights`, with `objects` (n,) and `coefficients` (n, k², B) besides.
            masks: (G, H, W) bool of the objects.
        """
        return cross_entropy(
            basis, instances.coefficients, instances.boxes, masks, instances.objects, instances.weights
        )

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        """Detections, whose masks end where their boxes do."""
        outputs, places = self.fcos.predict(features)
        ((size,), (instances,)) = images.image_sizes, self.fcos.detect(outputs, places, images.image_sizes)
        (basis,) = self.basis(outputs)
        boxes, coefficients = instances.pred_boxes.tensor, instances.tops.unflatten(1, self.coefficients)
        masks = SubRegionMasks(basis, coefficients, boxes, size, self.conventions)
        detected = Detected(instances.pred_classes, instances.scores, boxes, masks)
        if self.scorer is None:
            return detected
        cells = self.conventions.to_code_base(boxes) / STRIDE
        seen = Instances(size, boxes=cells, coefficients=coefficients, classes=detected.classes)
        scores = (detected.scores * self.scorer(basis, seen)).clamp(max=1)
        return replace(detected, scores=scores, box_scores=detected.scores)


class FeatureAlignment(nn.Module):
    """The last layer of the tower of categories: a convolution that looks where the predicted box is.

    It starts as a plain convolution.

    Args:
        channels: of the features.
        bias: whether the convolution has a bias.
    """

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(4, OFFSET_GROUPS * 3 * 3 * 2, kernel_size=1, bias=False)
        self.convolution = DeformConv2d(channels, channels, kernel_size=3, padding=1, bias=bias)
        self.norm = GroupNorm(32, channels)
        nn.init.zeros_(self.offsets.weight)
        nn.init.normal_(self.convolution.weight, std=0.01)
        if self.convolution.bias is not None:
            nn.init.zeros_(self.convolution.bias)

    def forward(self, features: Tensor, distances: Tensor) -> Tensor:
        """Features (N, C, H, W) and distances (N, 4, H, W), in strides, to features (N, C, H, W).

        In single precision at least, which is what torchvision computes such convolutions in on every device.
        """
        with torch.autocast(features.device.type, enabled=False):
            offsets = self.offsets(at_least_single(distances.detach()))
            aligned: Tensor = self.convolution(at_least_single(features), offsets)
        return self.norm(aligned).relu()


class Basis(nn.Module):
    """The bases, from what the tower of boxes makes of P3, P4 and P5.

    Args:
        channels: of the tower.
        bases: how many.
    """

    def __init__(self, channels: int, bases: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(LEVELS * channels, 2 * channels, kernel_size=1)
        self.refine = nn.Conv2d(2 * channels, bases, kernel_size=3, padding=1)

    def forward(self, outputs: list[LevelOutput]) -> Tensor:
        """What the head says of the levels, to (N, bases, H / 2, W / 2), 0 or more, in single precision at least.

        In memory, what a cell has lies together, since cells are picked.
        """
        levels = [output.box_features for output in outputs[:LEVELS]]
        size = levels[0].shape[-2:]
        coarse = [F.interpolate(level, size, mode="bilinear", align_corners=False) for level in levels[1:]]
        merged = self.merge(torch.cat([levels[0], *coarse], 1)).relu()
        bases = at_least_single(self.refine(merged).relu())
        enlarged = F.interpolate(bases, scale_factor=8 // STRIDE, mode="bilinear", align_corners=False)
        return enlarged.contiguous(memory_format=torch.channels_last)


def start_small(module: nn.Module, std: float) -> None:
    """Weights of its convolutions from normal(0, std), biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.get_parameter("bias"))
