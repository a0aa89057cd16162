"""Scores of masks of the whole picture: SipMask++'s layers, which look at nothing but the mask (authors' code)."""

from itertools import pairwise

import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.masks.sub_regions import THRESHOLD, assembled
from bcnet.models.processes import mean_over_processes

CHANNELS = (1, 16, 16, 16, 32, 64, 128)
LEAST_SIDE = 127  # cells: the least that six convolutions of stride 2 without padding leave a cell of
LEAST_IOU, LEAST_CELLS = 0.1, 100  # a mask of a smaller IoU, or of a smaller object, teaches nothing
WEIGHT = 10.0  # of the loss
EPSILON = 0.1  # in the divisors of the IoU and of the loss


class MaskScorer(nn.Module):
    """From a mask to its IoU with the object, a number of 0 or more for each category.

    Args:
        classes: number of categories.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(*pair, kernel_size=3, stride=2) for pair in pairwise(CHANNELS)]
        self.layers = nn.Sequential(*(layer for convolution in convolutions for layer in (convolution, nn.ReLU())))
        self.predict = nn.Conv2d(CHANNELS[-1], classes, kernel_size=1)
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predict.weight, std=0.001)
        for layer in (*convolutions, self.predict):
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, basis: Tensor, instances: Instances) -> Tensor:
        """The IoU of each mask, as that of an object of its category: (n,).

        Args:
            basis: (B, H, W) of an image.
            instances: with `boxes` (n, 4) in cells, `coefficients` (n, k², B), `classes` (n,).
        """
        return self.of_masks(whole_masks(basis, instances), instances.classes)

    def of_masks(self, masks: Tensor, classes: Tensor) -> Tensor:
        """The IoU of each mask, (n,).

        Args:
            masks: (n, H, W) probabilities, zero outside the boxes. A map of fewer than 127 cells on a side, which the
                authors never have, is continued with zeros.
            classes: (n,) int64.
        """
        missing = [max(LEAST_SIDE - side, 0) for side in masks.shape[-2:]]
        cells = F.pad(masks[:, None], (0, missing[1], 0, missing[0]))
        of_categories = self.predict(self.layers(cells)).relu().amax((2, 3))
        return of_categories[torch.arange(len(classes), device=classes.device), classes]

    def learned(self, basis: Tensor, instances: Instances, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `scoring_loss` takes of an image. No gradient reaches the masks.

        Args:
            basis, instances: as of `forward`, and `objects` (n,) int64.
            masks: (G, H, W) bool of the objects.
        """
        predicted = whole_masks(basis.detach(), instances).detach()
        objects = masks[instances.objects]
        targets = mask_ious(predicted > THRESHOLD, objects)
        return self.of_masks(predicted, instances.classes), targets, objects.sum((1, 2))


def whole_masks(basis: Tensor, instances: Instances) -> Tensor:
    """The masks of an image, (n, H, W) probabilities: `assembled`."""
    parts = zip(instances.coefficients, instances.boxes, strict=True)
    masks = [assembled(basis, coefficients, box) for coefficients, box in parts]
    return torch.stack(masks) if masks else basis.new_zeros(0, *basis.shape[1:])


def scoring_loss(predicted: Tensor, targets: Tensor, cells: Tensor) -> Tensor:
    """Ten times the squared error, mean over the masks of all processes that are good and large enough.

    Args:
        predicted: (N,) IoU, of the objects' categories.
        targets: (N,) IoU.
        cells: (N,) of the whole objects.
    """
    counted = (targets > LEAST_IOU) & (cells >= LEAST_CELLS)
    errors = torch.where(counted, predicted - targets, 0)
    return WEIGHT * (errors * errors).sum() / mean_over_processes(counted.sum().to(predicted.dtype), plus=EPSILON)


def mask_ious(predicted: Tensor, masks: Tensor) -> Tensor:
    """IoU of predicted masks with whole objects, (N,), which divides by a little too much.

    Args:
        predicted: (N, H, W) bool, nothing outside the boxes.
        masks: (N, H, W) bool, the objects wherever they are.
    """
    common = (predicted & masks).sum((1, 2)).float()
    return common / (predicted.sum((1, 2)) + masks.sum((1, 2)) - common + EPSILON)
