"""CondInst: each location of FCOS makes the weights of a small network that draws its object (Tian, Shen, Chen, ECCV
2020), with what the authors' code (AdelaiDet) adds: features from P3 to P5, coordinates in sizes of the level, and
centres of mass in the place of the boxes' centres.
"""

import math
from collections.abc import Sequence

import torch
from detectron2.structures import ImageList, Instances
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detections import Detected, ImageMaps, enlarged
from bcnet.models.detectors.fcos import FCOS, STRIDES
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_head import PRIOR, at_least_single, by_location
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.masks.image_masks import centres_of_mass, rasterised, sampled
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Spec
from bcnet.params.entries.condinst import CondInst

STRIDE = STRIDES["p3"]  # of the features that all objects share
MASK_STRIDE = STRIDE // 2  # of the masks that are learned and predicted
INSTANCES = 500  # at most so many locations of a batch train masks
TOGETHER = 20  # masks that are drawn at once at test time: all together would take gigabytes on large pictures
ADELAIDET = FcosEdition(box_weight=1.0, threshold_on_score=True)
OFFICIAL_NAMES = {
    "proposal_generator.fcos_head.": "fcos.head.",
    **{f"proposal_generator.fcos_head.scales.{level}.scale": f"fcos.head.scales.{level}" for level in range(5)},
    "proposal_generator.fcos_head.ctrness.": "fcos.head.centerness.",
    "controller.": "fcos.head.top.",
}


def build(spec: Spec[CondInst]) -> "CondInstModel":
    """CondInst on FCOS."""
    return CondInstModel(spec)


class CondInstModel(ImageSegmenter):
    """FCOS, whose box tower makes the parameters of each location's mask head, and the features that the heads read."""

    reaches: Tensor

    def __init__(self, spec: Spec[CondInst]) -> None:
        sizes, variant, predict = spec.sizes, spec.variant, spec.predict
        super().__init__(spec, pyramid_from_p3(variant.backbone, sizes.fpn_channels, sizes.freeze_at, variant.neck))
        self.head = DynamicHead(variant)
        with torch.random.fork_rng(devices=[]):  # its own weights apart: those of FCOS are equal in every method
            controller = nn.Conv2d(sizes.fpn_channels, self.head.parameters_each, kernel_size=3, padding=1)
            nn.init.normal_(controller.weight, std=0.01)
            nn.init.zeros_(controller.get_parameter("bias"))
            categories = spec.classes if variant.semantic_loss else None
            self.mask_branch = MaskBranch(sizes.fpn_channels, variant.mask_channels, categories)
        settings = sizes.fcos_ranges, predict.fcos, predict.detections
        self.fcos = FCOS(sizes.fpn_channels, spec.classes, STRIDES, *settings, top=controller, edition=ADELAIDET)
        reaches = torch.tensor([*sizes.fcos_ranges, 2 * sizes.fcos_ranges[-1]])
        self.register_buffer("reaches", reaches, persistent=False)  # of the levels: what coordinates are divided by

    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """`fcos_losses`, with the objects' centres of mass; `loss_mask`; with the semantic loss `loss_semantic`."""
        outputs, places = self.fcos.predict(features)
        shared = self.mask_branch(features)
        size = (images.tensor.shape[-2], images.tensor.shape[-1])
        masks = [rasterised(target.gt_masks, size, shared.device) for target in targets]
        learned = self.fcos.learned(places, targets, [centres_of_mass(of_picture) for of_picture in masks])
        losses = self.fcos.losses(outputs, places, targets, learned)

        parameters = by_location([output.top for output in outputs if output.top is not None])
        reaches = self.reaches.repeat_interleave(self.reaches.new_tensor(places.counts))
        chosen = learning(learned)
        dice = []
        for picture, at in enumerate(chosen):
            drawn = parameters[picture, at], shared[picture], places.points[at], reaches[at]
            wanted = sampled(masks[picture], MASK_STRIDE)[learned[picture][at]]
            dice.append(dice_loss(self.head(*drawn), wanted))
        count = mean_over_processes(parameters.new_tensor(sum(map(len, chosen))), least=1)
        losses["loss_mask"] = torch.cat(dice).sum() / count
        if self.mask_branch.logits is not None:
            classes = [target.gt_classes for target in targets]
            wanted = torch.stack([categories_of(*pair) for pair in zip(masks, classes, strict=True)])
            losses["loss_semantic"] = semantic_loss(self.mask_branch.semantics(features["p3"]), wanted)
        return losses

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        """Detections with masks of the whole picture, whatever their boxes."""
        ((size,), (instances,)) = images.image_sizes, self.fcos.detect(*self.fcos.predict(features), images.image_sizes)
        (shared,) = self.mask_branch(features)
        drawn = instances.tops, instances.points, self.reaches[instances.levels]
        parts = [
            self.head(parameters, shared, points, reaches).sigmoid()
            for parameters, points, reaches in zip(*(column.split(TOGETHER) for column in drawn), strict=True)
        ]
        masks = ImageMaps(torch.cat(parts), MASK_STRIDE, size, corner=True)
        return Detected(instances.pred_classes, instances.scores, instances.pred_boxes.tensor, masks)


class MaskBranch(nn.Module):
    """The features that all objects of a picture share, from P3, P4 and P5.

    Args:
        channels: of the levels; half as many are within.
        out: of the result.
        categories: of the semantic loss; None: without.
    """

    def __init__(self, channels: int, out: int, categories: int | None) -> None:
        super().__init__()
        within = channels // 2
        self.refine = nn.ModuleList([convolution(channels, within) for _ in range(3)])
        blocks = [convolution(within, within) for _ in range(4)]
        self.tower = nn.Sequential(*blocks, nn.Conv2d(within, out, kernel_size=1))
        self.seg_head = self.logits = None
        if categories is not None:
            self.seg_head = nn.Sequential(convolution(channels, within), convolution(within, within))
            self.logits = nn.Conv2d(within, categories, kernel_size=1)
            nn.init.constant_(self.logits.get_parameter("bias"), -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """(N, C, H / s, W / s) of the levels to (N, out, H / 8, W / 8), in single precision at least."""
        fine, *coarse = (refine(features[name]) for refine, name in zip(self.refine, STRIDES, strict=False))
        for level in coarse:
            fine = fine + enlarged(level, fine.shape[-1] // level.shape[-1], corner=True)
        return at_least_single(self.tower(fine))

    def semantics(self, p3: Tensor) -> Tensor:
        """(N, C, H / 8, W / 8) to logits of the categories, (N, categories, H / 8, W / 8)."""
        assert self.seg_head is not None
        assert self.logits is not None
        return at_least_single(self.logits(self.seg_head(p3)))


def convolution(channels: int, out: int) -> nn.Sequential:
    """3x3 without bias, BatchNorm, ReLU."""
    layer = nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU())


class DynamicHead(nn.Module):
    """Layers of 1x1 convolutions with ReLU between them, whose weights are each instance's own (section 3.2).

    Without weights of its own. An instance's parameters are the weights of all layers, (out, in) each, then their
    biases. The first layer reads the coordinates x and y, then the shared features.

    Args:
        variant: layers, channels and whether there are coordinates.

    Attributes:
        parameters_each: how many an instance has.
    """

    def __init__(self, variant: CondInst) -> None:
        super().__init__()
        self.coordinates = variant.relative_coordinates
        first = variant.mask_channels + (2 if self.coordinates else 0)
        widths = [first, *[variant.channels] * (variant.layers - 1), 1]
        self.layers = list(zip(widths[1:], widths, strict=False))  # (out, in) of each
        self.parameters_each = sum(out * into + out for out, into in self.layers)

    def forward(self, parameters: Tensor, shared: Tensor, points: Tensor, reaches: Tensor) -> Tensor:
        """Logits of the masks of a picture's instances, (n, 2H, 2W).

        In the precision of the parameters: half of it is too little for coordinates of a thousand pixels.

        Args:
            parameters: (n, `parameters_each`).
            shared: (C, H, W) features of the picture.
            points: (n, 2) x and y of the instances' locations, in pixels.
            reaches: (n,) what coordinates are divided by.
        """
        height, width = shared.shape[-2:]
        weights = [out * into for out, into in self.layers]
        split = parameters.split([*weights, *(out for out, _ in self.layers)], 1)
        with torch.autocast(shared.device.type, enabled=False):
            x = shared.flatten(1).to(parameters.dtype).expand(len(parameters), -1, -1)
            if self.coordinates:
                x = torch.cat([relative(points, reaches, height, width).to(x.dtype), x], 1)
            for index, (weight, bias) in enumerate(zip(split, split[len(weights) :], strict=False)):
                x = torch.baddbmm(
                    bias[:, :, None], weight.unflatten(1, self.layers[index]), x if index == 0 else x.relu()
                )
            return enlarged(x.unflatten(2, (height, width)), 2, corner=True)[:, 0]


def relative(points: Tensor, reaches: Tensor, height: int, width: int) -> Tensor:
    """(point - pixel) / reach, x then y, of the pixels that the cells of stride 8 stand for: (n, 2, height · width)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=points.device), torch.arange(width, device=points.device), indexing="ij"
    )
    pixels = torch.stack([x, y]).flatten(1) * STRIDE + STRIDE // 2
    return (points[:, :, None] - pixels) / reaches[:, None, None]


def learning(learned: Sequence[Tensor]) -> list[Tensor]:
    """Locations of each picture that train masks: those that learn an object, of too many in a batch some at random."""
    pictures = torch.cat([torch.full_like(objects, index) for index, objects in enumerate(learned)])
    positive = (torch.cat(list(learned)) >= 0).nonzero()[:, 0]
    if len(positive) > INSTANCES:
        positive = positive[torch.randperm(len(positive), device=positive.device)[:INSTANCES]]
    places = positive % len(learned[0])
    return [places[pictures[positive] == index] for index in range(len(learned))]


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - 2 Σ p g / (Σ p² + Σ g²) of each of n masks: logits (n, H, W), masks (n, H, W) bool to (n,) (equation 4)."""
    p, g = logits.sigmoid().flatten(1), masks.flatten(1).to(logits.dtype)
    return 1 - 2 * (p * g).sum(1) / ((p * p).sum(1) + g.sum(1) + 1e-5)


def categories_of(masks: Tensor, classes: Tensor) -> Tensor:
    """The category at every eighth pixel of masks (G, H, W) bool, of the object with the smallest mask there.

    Args:
        masks: of a picture's objects.
        classes: (G,) their categories.

    Returns:
        (H / 8, W / 8) int64; -1: no object.
    """
    sampled_masks = sampled(masks, STRIDE)
    areas = (
        masks.flatten(1)
        .sum(1)
        .float()[:, None, None]
        .expand(sampled_masks.shape)
        .masked_fill(~sampled_masks, torch.inf)
    )
    background = areas.new_full((1, *sampled_masks.shape[1:]), torch.finfo(areas.dtype).max)
    return F.pad(classes, (1, 0), value=-1)[torch.cat([background, areas]).argmin(0)]


def semantic_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss of categories, summed over all cells, over the number of those with an object (AdelaiDet).

    Args:
        logits: (N, categories, H, W).
        wanted: (N, H, W) int64; -1: no object.
    """
    truth = F.one_hot(wanted + 1, logits.shape[1] + 1)[..., 1:].movedim(-1, 1).to(logits.dtype)
    count = mean_over_processes((wanted >= 0).sum().to(logits.dtype), least=1)
    return sigmoid_focal_loss(logits, truth, alpha=0.25, gamma=2, reduction="sum") / count
