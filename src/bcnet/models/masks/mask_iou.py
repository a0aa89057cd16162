"""Scores of masks: a head that looks at a mask and says how well it fits (Huang et al., CVPR 2019)."""

from collections.abc import Callable

import fvcore.nn.weight_init as weight_init
import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from pycocotools import mask as rle
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.processes import mean_over_processes

ShareOfPolygons = Callable[[list[np.ndarray], np.ndarray, tuple[int, int]], float]  # as `drawn_share`
SURE = 0.0  # the logit above which a cell belongs to a predicted mask, here as at test time


def drawn_share(polygons: list[np.ndarray], box: np.ndarray, size: tuple[int, int]) -> float:
    """Which share of an object's pixels lies in a box (authors' code).

    Each polygon is drawn on its own, within the box and within the picture, on a canvas of whole pixels.

    Args:
        polygons: of the object: x and y, one after the other, of each.
        box: (4,) in pixels.
        size: (height, width) of the picture.

    Returns:
        0 to 1, by rounding a little more; not a number for an object without a pixel.
    """
    points, pixels = np.concatenate(polygons).reshape(-1, 2), np.trunc(box)
    start = np.minimum(pixels[:2], points.min(0)).clip(min=0)
    end = np.maximum(pixels[2:] + 1, points.max(0)).clip(max=[size[1] - 1, size[0] - 1])
    whole = drawn_area(polygons, start, end)
    return drawn_area(polygons, box[:2], box[2:]) / whole if whole else float("nan")


def drawn_area(polygons: list[np.ndarray], start: np.ndarray, end: np.ndarray) -> float:
    """Pixels of all polygons between two corners (x, y), those of several polygons as often."""
    width, height = np.maximum(end - start, 1).astype(int).tolist()
    shifted = [(polygon.reshape(-1, 2) - start).ravel().tolist() for polygon in polygons]
    return float(rle.area(rle.frPyObjects(shifted, height, width)).sum())


class MaskIoUHead(nn.Module):
    """From a RoI's features and its mask to the mask's IoU with the whole object, a number for each category.

    Args:
        channels: of the RoI features and of the convolutions.
        width: of the two fully connected layers.
        classes: number of categories.
        of_polygons: the share of an object of polygons that a RoI shows.
    """

    def __init__(self, channels: int, width: int, classes: int, of_polygons: ShareOfPolygons = drawn_share) -> None:
        super().__init__()
        self.of_polygons = of_polygons
        convolutions = [
            nn.Conv2d(channels + (index == 0), channels, 3, stride=2 if index == 3 else 1, padding=1)
            for index in range(4)
        ]
        self.convolutions = nn.Sequential(
            *(layer for convolution in convolutions for layer in (convolution, nn.ReLU()))
        )
        connected = [nn.Linear(channels * 7 * 7, width), nn.Linear(width, width)]
        self.connected = nn.Sequential(*(layer for linear in connected for layer in (linear, nn.ReLU())))
        self.predict = nn.Linear(width, classes)
        for convolution in convolutions:
            weight_init.c2_msra_fill(convolution)
        for layer in connected:
            weight_init.c2_xavier_fill(layer)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """(N, classes), not bounded.

        Args:
            features: (N, C, 14, 14) of the RoIs, as the mask head takes them.
            masks: (N, 1, 28, 28) probabilities of the RoIs' own categories.
        """
        x = torch.cat([features, F.max_pool2d(masks, kernel_size=2)], dim=1)
        predicted: Tensor = self.predict(self.connected(self.convolutions(x).flatten(1)))
        return predicted

    def loss(self, features: Tensor, logits: Tensor, masks: Tensor, rois: list[Instances]) -> Tensor:
        """What is learned of the predicted masks: `mask_iou_loss`, whose gradient reaches masks and features.

        Args:
            features: as of `forward`.
            logits: (N, 1, 28, 28) of the masks of the RoIs' own categories.
            masks: (N, 28, 28) bool, the ground truth inside the RoIs.
            rois: of each picture, with `proposal_boxes`, `gt_classes` and `gt_masks`.
        """
        classes = torch.cat([of_picture.gt_classes for of_picture in rois])
        shares = [
            shares_inside(of_picture.gt_masks, of_picture.proposal_boxes, of_picture.image_size, self.of_polygons)
            for of_picture in rois
            if len(of_picture)
        ]
        inside = torch.cat([logits.new_zeros(0), *shares]).to(logits.dtype)
        targets = mask_iou_targets(logits.detach()[:, 0] > SURE, masks, inside)
        predicted = self(features, logits.sigmoid())
        return mask_iou_loss(predicted[torch.arange(len(classes), device=classes.device), classes], targets)

    def rescore(self, features: Tensor, instances: list[Instances]) -> None:
        """Multiply the `scores` of detections by the predicted IoU of their `pred_masks`; `box_scores` are as before.

        The authors' code bounds nothing. A score is bounded here, to 0 and 1, which moves those outside only.
        """
        masks = torch.cat([of_picture.pred_masks for of_picture in instances])
        classes = torch.cat([of_picture.pred_classes for of_picture in instances])
        predicted = self(features, masks)[torch.arange(len(classes), device=classes.device), classes]
        for of_picture, iou in zip(
            instances, predicted.split([len(of_picture) for of_picture in instances]), strict=True
        ):
            of_picture.box_scores = of_picture.scores
            of_picture.scores = (of_picture.scores * iou).clamp(0, 1)


def mask_iou_targets(predicted: Tensor, masks: Tensor, inside: Tensor) -> Tensor:
    """IoU of predicted masks with whole objects, of which RoIs show a part (authors' code; the paper's section 3.3).

    The object's area, in cells of its RoI, is that of its part there over the share that the part is of it.

    Args:
        predicted: (N, H, W) bool, inside the RoIs.
        masks: (N, H, W) bool, the objects there.
        inside: (N,) the shares of the objects' areas that lie in the RoIs: `shares_inside`.

    Returns:
        (N,), 0 where the two share no cell; not a number where the object has no area.
    """
    own, part = (cells.flatten(1).sum(1).to(inside.dtype) for cells in (predicted, masks))
    common = (predicted & masks).flatten(1).sum(1).to(inside.dtype)
    whole = part / inside.clamp(min=1e-10)
    return common / (own + whole - common).clamp(min=1)


def mask_iou_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error, mean over the RoIs of all processes whose target is above 0 (authors' code).

    Args:
        predicted: (N,) of the RoIs' own categories.
        targets: (N,) IoU; those of 0, or not a number, count nothing.
    """
    counted = targets > 0
    errors = torch.where(counted, predicted - targets.where(counted, 0), 0)
    return 0.5 * (errors * errors).sum() / mean_over_processes(counted.sum().to(predicted.dtype), least=1)


def shares_inside(
    masks: BitMasks | PolygonMasks,
    boxes: Boxes,
    size: tuple[int, int],
    of_polygons: ShareOfPolygons = drawn_share,
) -> Tensor:
    """Which share of each object's area its RoI shows.

    Of bitmaps, pixels count by their part inside the box. Of polygons as `of_polygons` has it.

    Args:
        masks: of the N objects.
        boxes: N RoIs.
        size: (height, width) of the picture.
        of_polygons: the share of an object of polygons.

    Returns:
        (N,) float32, 0 to 1 (of polygons a little more, by rounding); not a number for an object without area.
    """
    if isinstance(masks, PolygonMasks):
        pairs = zip(masks.polygons, boxes.tensor.double().cpu().numpy(), strict=True)
        return boxes.tensor.new_tensor([of_polygons(polygons, box, size) for polygons, box in pairs])
    corners = boxes.tensor.float()
    height, width = size
    rows = _covered(corners[:, 1], corners[:, 3], height)
    columns = _covered(corners[:, 0], corners[:, 2], width)
    shares = []
    for mask, row, column in zip(masks.tensor, rows, columns, strict=True):  # one by one: together they take gigabytes
        shares.append((row @ mask.float() @ column) / mask.sum())
    return torch.stack(shares) if shares else corners.new_zeros(0)


def _covered(start: Tensor, end: Tensor, count: int) -> Tensor:
    """(N, count): the part of each of the pixels 0 to count - 1 that lies between start and end, (N,) each."""
    pixels = torch.arange(count, device=start.device)
    return (torch.minimum(pixels + 1, end[:, None]) - torch.maximum(pixels, start[:, None])).clamp(min=0)
