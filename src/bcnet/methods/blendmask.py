"""BlendMask: each location of FCOS attends to a few maps that all objects share; a mask blends what its box shows of
them (Chen, Sun, Tian, Shen, Huang, Yan, CVPR 2020), as in the authors' code (AdelaiDet).
"""

from collections.abc import Sequence

import torch
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.structures import BitMasks, ImageList, Instances, PolygonMasks
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detections import Detected, RoIMaps
from bcnet.models.detectors.fcos import FCOS, STRIDES
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_head import at_least_single, by_location
from bcnet.models.detectors.fcos_targets import centerness, distances_to
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.masks.image_masks import rasterised
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Spec
from bcnet.params.entries.blendmask import BlendMask

SIDE = 56  # cells of a mask, along x and y
STRIDE = 4  # of the bases
SEMANTIC_STRIDE, SEMANTIC_WEIGHT = 8, 0.3
ADELAIDET = FcosEdition(scales=False, box_weight=1.0, threshold_on_score=True)
OFFICIAL_NAMES = {
    "proposal_generator.fcos_head.": "fcos.head.",
    "proposal_generator.fcos_head.centerness.": "fcos.head.centerness.",
    "proposal_generator.fcos_head.ctrness.": "fcos.head.centerness.",
    "top_layer.": "fcos.head.top.",
}


def build(spec: Spec[BlendMask]) -> "BlendMaskModel":
    """BlendMask on FCOS."""
    return BlendMaskModel(spec)


class BlendMaskModel(ImageSegmenter):
    """FCOS, whose box tower makes each location's attention, and the bases that it is paid to."""

    def __init__(self, spec: Spec[BlendMask]) -> None:
        sizes, variant, predict = spec.sizes, spec.variant, spec.predict
        super().__init__(spec, pyramid_from_p3(variant.backbone, sizes.fpn_channels, sizes.freeze_at, variant.neck))
        self.attention = (variant.bases, variant.attention_size, variant.attention_size)
        with torch.random.fork_rng(devices=[]):  # its own weights apart: those of FCOS are equal in every method
            numbers = variant.bases * variant.attention_size**2
            top = nn.Conv2d(sizes.fpn_channels, numbers, kernel_size=3, padding=1)
            nn.init.normal_(top.weight, std=0.01)
            nn.init.zeros_(top.get_parameter("bias"))
            categories = spec.classes if variant.semantic_loss else None
            self.basis_module = Bases(sizes.fpn_channels, variant.bases, categories)
        settings = sizes.fcos_ranges, predict.fcos, predict.detections
        self.fcos = FCOS(sizes.fpn_channels, spec.classes, STRIDES, *settings, top=top, edition=ADELAIDET)

    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """`fcos_losses`; `loss_mask`; with the semantic loss `loss_semantic`."""
        outputs, places = self.fcos.predict(features)
        bases = self.basis_module(features)
        learned = self.fcos.learned(places, targets)
        losses = self.fcos.losses(outputs, places, targets, learned)

        tops = by_location([output.top for output in outputs if output.top is not None])
        boxes, wanted, weights, chosen = [], [], [], []
        for target, objects, attention in zip(targets, learned, tops, strict=True):
            at = (objects >= 0).nonzero()[:, 0]
            own = target.gt_boxes.tensor[objects[at]]
            boxes.append(own)
            wanted.append(cropped(target.gt_masks, target.gt_boxes.tensor)[objects[at]])
            weights.append(centerness(distances_to(own, places.points[at]) / places.strides[at]))
            chosen.append(attention[at])
        logits = self.blended(bases, boxes, torch.cat(chosen))
        losses["loss_mask"] = mask_loss(logits, torch.cat(wanted), torch.cat(weights))
        if self.basis_module.seg_head is not None:
            size = (images.tensor.shape[-2], images.tensor.shape[-1])
            painted = [
                painted_categories(rasterised(target.gt_masks, size, bases.device), target.gt_classes)
                for target in targets
            ]
            semantics = at_least_single(self.basis_module.seg_head(features["p3"]))
            losses["loss_semantic"] = SEMANTIC_WEIGHT * F.cross_entropy(semantics, torch.stack(painted) + 1)
        return losses

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        """Detections whose masks are of their boxes, before these are cut to the picture."""
        (instances,) = self.fcos.detect(*self.fcos.predict(features), images.image_sizes)
        boxes = instances.pred_boxes.tensor
        maps = self.blended(self.basis_module(features), [boxes], instances.tops).sigmoid()[:, None]
        return Detected(instances.pred_classes, instances.scores, boxes, RoIMaps(maps, boxes), {"target_mask": maps})

    def blended(self, bases: Tensor, boxes: Sequence[Tensor], attention: Tensor) -> Tensor:
        """Logits of masks in boxes: see `blend`.

        Args:
            bases: (N, K, H / 4, W / 4) of the pictures.
            boxes: (n, 4) of each of them, in pixels.
            attention: (M, K · S · S) of the boxes of all pictures, one after the other; S is `attention_size`.
        """
        regions = [of_picture.to(bases.dtype) for of_picture in boxes]
        crops = roi_align(bases, regions, SIDE, 1 / STRIDE, sampling_ratio=1, aligned=True)
        return blend(crops, attention.unflatten(1, self.attention))


def blend(crops: Tensor, attention: Tensor) -> Tensor:
    """Each cell's mean of the bases, by the softmax over them of the attention, enlarged bilinearly (equations 2 to 4).

    Args:
        crops: (M, K, R, R) what the boxes show of the bases.
        attention: (M, K, S, S).

    Returns:
        (M, R, R) logits.
    """
    attention = F.interpolate(attention, crops.shape[-2:], mode="bilinear", align_corners=False)
    return (crops * attention.softmax(1)).sum(1)


class Bases(nn.Module):
    """The bases, from P3, P4 and P5; and the head of the semantic loss (ProtoNet in the authors' code).

    Args:
        channels: of the levels; half as many are within.
        bases: how many.
        categories: of the semantic loss; None: without.
    """

    def __init__(self, channels: int, bases: int, categories: int | None) -> None:
        super().__init__()
        within = channels // 2
        self.refine = nn.ModuleList([block(channels, within) for _ in range(3)])
        self.tower = nn.Sequential(
            *(block(within, within) for _ in range(3)),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            block(within, within),
            nn.Conv2d(within, bases, kernel_size=1),
        )
        self.seg_head = None
        if categories is not None:
            self.seg_head = nn.Sequential(
                nn.Conv2d(channels, within, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(within),
                nn.ReLU(),
                nn.Conv2d(within, within, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(within),
                nn.ReLU(),
                nn.Conv2d(within, categories + 1, kernel_size=1),
            )

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """(N, C, H / s, W / s) of the levels to (N, bases, H / 4, W / 4), in single precision at least."""
        fine, *coarse = (refine(features[name]) for refine, name in zip(self.refine, STRIDES, strict=False))
        for level in coarse:
            fine = fine + F.interpolate(level, fine.shape[-2:], mode="bilinear", align_corners=False)
        return at_least_single(self.tower(fine))


def block(channels: int, out: int) -> nn.Sequential:
    """3x3 convolution without bias, BatchNorm over all processes, ReLU."""
    layer = nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    return nn.Sequential(layer, NaiveSyncBatchNorm(out), nn.ReLU())


def cropped(masks: BitMasks | PolygonMasks, boxes: Tensor) -> Tensor:
    """What each of G objects' own box shows of its mask: (G, 56, 56) bool."""
    if len(masks) == 0:
        return torch.zeros(0, SIDE, SIDE, dtype=torch.bool, device=boxes.device)
    crops: Tensor = masks.crop_and_resize(boxes, SIDE)
    return crops.to(boxes.device)


def mask_loss(logits: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of the masks, weighted as FCOS weights the boxes (AdelaiDet).

    Args:
        logits: (M, R, R).
        masks: (M, R, R) bool.
        weights: (M,) centerness of the locations that learn them.
    """
    loss = F.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), reduction="none").mean((1, 2))
    return (loss * weights).sum() / mean_over_processes(weights.sum(), least=1e-6)


def painted_categories(masks: Tensor, classes: Tensor) -> Tensor:
    """The category at every eighth pixel, from the first on, of masks (G, H, W) bool: of the last object there.

    Args:
        masks: of a picture's objects, in the order in which they are painted.
        classes: (G,) their categories.

    Returns:
        (H / 8, W / 8) int64; -1: no object.
    """
    sampled_masks = masks[:, ::SEMANTIC_STRIDE, ::SEMANTIC_STRIDE]
    painted = torch.full(sampled_masks.shape[1:], -1, device=masks.device)
    for mask, category in zip(sampled_masks, classes, strict=True):
        painted = torch.where(mask, category, painted)
    return painted
