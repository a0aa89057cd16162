"""SOLOv2: the cells of a grid make the kernels that draw their objects' masks, without boxes (Wang, Zhang, Kong, Li,
Shen, NeurIPS 2020), as in the authors' code (AdelaiDet).
"""

import torch
from detectron2.structures import ImageList, Instances
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional as F

from bcnet.models.backbones import pyramid
from bcnet.models.detections import THRESHOLD, Detected, ImageMaps, Size
from bcnet.models.detectors.fcos_head import by_location
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.masks.grid_head import GridHead, MaskFeatures
from bcnet.models.masks.grid_targets import GridObjects, assign, ranges_of
from bcnet.models.masks.image_masks import centres_of_mass, rasterised, resized_as_opencv
from bcnet.models.masks.matrix_nms import decays, ious_above, peaks
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Spec
from bcnet.params.entries.solov2 import SOLOv2

STRIDES = (8, 8, 16, 32, 32)  # of the levels as the head sees them: a mask has to have more cells than that
MASK_STRIDE = 4  # of the masks that are learnt and predicted
MASK_WEIGHT = 3.0
TOGETHER = 50  # masks that are drawn or resized at once: all together would take gigabytes on large pictures
OFFICIAL_NAMES = {
    "ins_head.": "head.",
    "mask_head.conv_pred.": "mask_features.merge.",
    **{
        f"mask_head.convs_all_levels.{level}.conv{number}.": f"mask_features.levels.{level}.{number}."
        for level in range(4)
        for number in range(max(1, level))
    },
}


def build(spec: Spec[SOLOv2]) -> "SOLOv2Model":
    """SOLOv2 on a pyramid from P2 to P6."""
    return SOLOv2Model(spec)


class SOLOv2Model(ImageSegmenter):
    """A head that says of each cell of five grids what is there and how to draw it, and the features to draw from."""

    strides: Tensor

    def __init__(self, spec: Spec[SOLOv2]) -> None:
        sizes, self.grids = spec.sizes, spec.variant.grids
        super().__init__(spec, pyramid(spec.variant.backbone, sizes.fpn_channels, sizes.freeze_at))
        self.head = GridHead(sizes.fpn_channels, spec.classes, self.grids)
        self.mask_features = MaskFeatures(sizes.fpn_channels)
        self.ranges, self.predict = ranges_of(sizes.solov2_ranges), spec.predict
        strides = [stride for stride, grid in zip(STRIDES, self.grids, strict=True) for _ in range(grid * grid)]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)  # of all cells

    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """`loss_cls`, `category_loss` of all cells; `loss_mask`, the mean `dice_loss` of those that learn a mask."""
        logits, kernels = (by_location(levels) for levels in self.head(features))
        shared = self.mask_features(features)
        size, small = (images.tensor.shape[-2], images.tensor.shape[-1]), (shared.shape[-2], shared.shape[-1])
        classes, dice = [], []
        for picture, (target, own_size) in enumerate(zip(targets, images.image_sizes, strict=True)):
            masks = rasterised(target.gt_masks, own_size, shared.device)
            visible, centres = masks.flatten(1).any(1), centres_of_mass(masks)
            objects = GridObjects(target.gt_boxes.tensor, target.gt_classes, centres, visible)
            learned = assign(objects, size, self.grids, self.ranges)
            drawn = probabilities(kernels[picture, learned.cells], shared[picture])
            dice.append(dice_loss(drawn, quartered(masks, small)[learned.objects]))
            classes.append(learned.classes)
        of_masks = torch.cat(dice)
        count = mean_over_processes(of_masks.new_tensor(len(of_masks)), least=1)
        return {
            "loss_cls": category_loss(logits.flatten(0, 1), torch.cat(classes)),
            "loss_mask": MASK_WEIGHT * of_masks.sum() / count,
        }

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        """Detections with masks of the whole picture, and without boxes.

        A score is the category's probability, times the mean probability of the mask's pixels, times what Matrix NMS
        leaves of it.
        """
        (size,), settings = images.image_sizes, self.predict.solov2
        logits, of_cells = self.head(features)
        (categories,), (kernels,) = by_location([peaks(level.sigmoid()) for level in logits]), by_location(of_cells)
        (shared,) = self.mask_features(features)

        cells, classes = (categories > settings.score_threshold).nonzero().unbind(1)
        areas, certainties = measured(kernels[cells], shared)
        large = areas > self.strides[cells]
        cells, classes = cells[large], classes[large]
        scores, best = (categories[cells, classes] * certainties[large]).sort(descending=True, stable=True)
        scores, best = scores[: settings.candidates], best[: settings.candidates]
        cells, classes = cells[best], classes[best]

        masks = torch.cat([probabilities(part, shared) > THRESHOLD for part in kernels[cells].split(TOGETHER)])
        scores = scores * decays(ious_above(masks.flatten(1), classes), settings)
        scores, best = scores.sort(descending=True, stable=True)
        best = best[scores >= self.predict.score_threshold][: self.predict.detections]
        maps = ImageMaps(probabilities(kernels[cells[best]], shared), MASK_STRIDE, size)
        return Detected(classes[best], scores[: len(best)], None, maps)


def probabilities(kernels: Tensor, shared: Tensor) -> Tensor:
    """The masks that kernels (n, C) draw of features (C, H, W): (n, H, W), in their precision."""
    with torch.autocast(shared.device.type, enabled=False):
        return (kernels @ shared.flatten(1)).sigmoid().unflatten(1, shared.shape[1:])


def measured(kernels: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
    """How many cells the masks of n kernels have, and the mean probability of these: (n,) each; the mean of none is 0.

    Args:
        kernels, shared: as of `probabilities`.
    """
    areas, sums = [], []
    for part in kernels.split(TOGETHER):
        maps = probabilities(part, shared).flatten(1)
        inside = maps > THRESHOLD
        areas.append(inside.sum(1))
        sums.append((maps * inside).sum(1))
    area = torch.cat(areas)
    return area, torch.cat(sums) / area.clamp(min=1)


def quartered(masks: Tensor, size: Size) -> Tensor:
    """Masks (G, H, W) of a picture at stride 4, in the upper left of the padded one of that size: (G, *size) bool.

    Resized as OpenCV does, a few at a time: its own limit is 512 (authors' code).
    """
    height, width = (max(1, int(side / MASK_STRIDE + 0.5)) for side in masks.shape[1:])
    small = torch.cat([resized_as_opencv(part, (height, width)) for part in masks.split(TOGETHER)])
    return F.pad(small, (0, size[1] - width, 0, size[0] - height))


def dice_loss(drawn: Tensor, masks: Tensor) -> Tensor:
    """1 - 2 Σ p g / ((Σ p² + 0.001) + (Σ g² + 0.001)) of each of n masks (AdelaiDet).

    Args:
        drawn: (n, H, W) probabilities.
        masks: (n, H, W) bool.
    """
    p, g = drawn.flatten(1), masks.flatten(1).to(drawn.dtype)
    return 1 - 2 * (p * g).sum(1) / ((p * p).sum(1) + 0.001 + g.sum(1) + 0.001)


def category_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Focal loss of the cells of a batch, over one more than the number of those with an object (AdelaiDet).

    Args:
        logits: (M, categories).
        classes: (M,) int64; -1: background.
    """
    truth = F.one_hot(classes + 1, logits.shape[1] + 1)[:, 1:].to(logits.dtype)
    count = mean_over_processes((classes >= 0).sum().to(logits.dtype), plus=1)
    return sigmoid_focal_loss(logits, truth, alpha=0.25, gamma=2, reduction="sum") / count
