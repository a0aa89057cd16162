"""What FCOS learns at each location, and its losses (Tian et al., ICCV 2019, with the improvements that BCNet uses).

A location is the centre of a cell of a pyramid level; `distances` are those to the left, top, right and lower side of a
box. A method whose masks depend on the location (CondInst, SipMask …) trains on `assign`'s object indices.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional as F

from bcnet.models.processes import mean_over_processes

CENTRE_RADIUS = 1.5  # strides: only locations this near to a box's centre learn it
BOX_WEIGHT = 1.25


class Locations(NamedTuple):
    """The K locations of all levels, level after level, row after row; lengths in pixels."""

    points: Tensor  # (K, 2) x and y
    strides: Tensor  # (K, 1) of the location's level
    ranges: Tensor  # (K, 2) smallest and largest distance to the farthest side that its level learns
    counts: list[int]  # locations of each level


def locate(
    sizes: list[tuple[int, int]], strides: Sequence[int], ranges: Sequence[tuple[float, float]], device: torch.device
) -> Locations:
    """The locations of levels of those heights and widths: x = column · stride + stride // 2, and y likewise."""
    points, of_stride, of_range = [], [], []
    for (height, width), stride, span in zip(sizes, strides, ranges, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        points.append(torch.stack([x, y], dim=-1).flatten(0, 1) * stride + stride // 2)
        of_stride.append(torch.full((height * width, 1), stride))
        of_range.append(torch.tensor([span]).expand(height * width, 2))
    point, step, bounds = (torch.cat(part).float().to(device) for part in (points, of_stride, of_range))
    return Locations(point, step, bounds, [height * width for height, width in sizes])


def distances_to(boxes: Tensor, points: Tensor) -> Tensor:
    """(…, 4) distances from points (…, 2) to the sides of boxes (…, 4), x0, y0, x1, y1; negative outside."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def assign(boxes: Tensor, places: Locations, centres: Tensor | None = None, areas: Tensor | None = None) -> Tensor:
    """Which object each location of a picture learns.

    One whose box the location lies in, less than 1.5 strides from its centre along x and y, and whose farthest side is
    within the level's range, both ends included; the one with the smallest box of several (released code).

    Args:
        boxes: (G, 4) float, x0, y0, x1, y1 in pixels.
        places: the K locations.
        centres: (G, 2) float, x and y in pixels; None: those of the boxes.
        areas: (G,) float, the sizes of the boxes; None: width times height.

    Returns:
        (K,) int64 indices into the boxes; -1: background.
    """
    points = places.points[:, None]
    if len(boxes) == 0:
        return torch.full((len(points),), -1, device=points.device)
    distances = distances_to(boxes, points)  # (K, G, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 if centres is None else centres
    from_centre = (points - centres).abs().amax(-1)
    farthest = distances.amax(-1)
    fits = (distances.amin(-1) > 0) & (from_centre < CENTRE_RADIUS * places.strides)
    fits &= (farthest >= places.ranges[:, :1]) & (farthest <= places.ranges[:, 1:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) if areas is None else areas
    smallest, index = areas.expand(len(points), -1).masked_fill(~fits, torch.inf).min(1)
    return index.masked_fill(smallest.isinf(), -1)


def centerness(distances: Tensor) -> Tensor:
    """(N,) from distances (N, 4) > 0: 1 at the box's centre, towards 0 at its sides (FCOS, equation 3)."""
    pairs = distances.unflatten(-1, (2, 2))  # left and top, right and lower
    return (pairs.amin(-2) / pairs.amax(-2)).prod(-1).sqrt()


def giou_loss(predicted: Tensor, target: Tensor, least_hull: float = 1e-7) -> Tensor:
    """(N,) 1 - GIoU of boxes around one location each, by their distances (N, 4) ≥ 0, in strides.

    As FCOS has it: with 1 added to intersection and union within the IoU, and `least_hull` to the hull.
    """
    area, target_area = (distances.unflatten(-1, (2, 2)).sum(-2).prod(-1) for distances in (predicted, target))
    intersection = torch.minimum(predicted, target).unflatten(-1, (2, 2)).sum(-2).prod(-1)
    hull = torch.maximum(predicted, target).unflatten(-1, (2, 2)).sum(-2).prod(-1) + least_hull
    union = area + target_area - intersection
    return 1 - (intersection + 1) / (union + 1) + (hull - union) / hull


def iou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """(N,) -log IoU of boxes around one location each, by their distances (N, 4), with 1 added to widths and heights.

    Predicted distances may be negative. An IoU is 1e-6 at least (mmdetection).
    """
    area, target_area = ((distances.unflatten(-1, (2, 2)).sum(-2) + 1).prod(-1) for distances in (predicted, target))
    common = (torch.minimum(predicted, target).unflatten(-1, (2, 2)).sum(-2) + 1).clamp(min=0).prod(-1)
    return -(common / (area + target_area - common)).clamp(min=1e-6).log()


def fcos_losses(
    logits: Tensor,
    predicted: Tensor,
    centerness_logits: Tensor,
    classes: Tensor,
    targets: Tensor,
    box_weight: float = BOX_WEIGHT,
    box_loss: Callable[[Tensor, Tensor], Tensor] = giou_loss,
    images: int = 0,
) -> dict[str, Tensor]:
    """The three losses, over all locations of a batch.

    Args:
        logits: (M, C), of the categories.
        predicted: (M, 4) distances, in strides or pixels.
        centerness_logits: (M,).
        classes: (M,) int64 category of the object that the location learns; -1: background.
        targets: (M, 4) distances to its sides, in the same unit; anything on background.
        box_weight: what the loss of the boxes is multiplied by.
        box_loss: of predicted and true distances (N, 4), which gives (N,).
        images: how many of this process count with the positive locations for the focal loss.

    Returns:
        `loss_fcos_cls`, focal; `loss_fcos_box`, weighted by the target's centerness; `loss_fcos_centerness`,
        binary cross-entropy. Divided by the number of positive locations, the second by the sum of its weights: means
        over the processes, so that several together learn what one would on the whole batch (FCOS's own code).
    """
    positive = (classes >= 0).nonzero()[:, 0]
    wanted = torch.zeros_like(logits)
    wanted[positive, classes[positive]] = 1
    central = centerness(targets[positive])
    count = mean_over_processes(central.new_tensor(len(positive)), least=1)
    candidates = mean_over_processes(central.new_tensor(len(positive) + images), least=1)
    weight = mean_over_processes(central.sum(), least=1e-6)
    boxes = (central * box_loss(predicted[positive], targets[positive])).sum()
    centred = F.binary_cross_entropy_with_logits(centerness_logits[positive], central, reduction="sum")
    return {
        "loss_fcos_cls": sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2, reduction="sum") / candidates,
        "loss_fcos_box": box_weight * boxes / weight,
        "loss_fcos_centerness": centred / count,
    }
