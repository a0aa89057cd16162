"""RoI features from the level that fits a RoI's share of its picture (Lee, Park, CVPR 2020)."""

from collections.abc import Mapping

import torch
from detectron2.structures import Instances
from torch import Tensor

from bcnet.models.conventions import DETECTRON2, Conventions
from bcnet.models.detections import Size

LEVELS = {"p3": 8, "p4": 16, "p5": 32}  # that RoIs are pooled from, and their strides


class AdaptiveRoIFeatures:
    """RoI features from the level that fits a RoI's share of its picture.

    Args:
        least: what is added to the area of the picture over that of a RoI.
        side: cells of a RoI, along x and y.
        conventions: how RoIs are sampled.
    """

    def __init__(self, least: float, side: int = 14, conventions: Conventions = DETECTRON2) -> None:
        self.least = least
        self.poolers = {name: conventions.pooler(side, [stride]) for name, stride in LEVELS.items()}

    def __call__(self, features: Mapping[str, Tensor], instances: list[Instances]) -> Tensor:
        """(N, C, side, side), of the RoIs of all pictures one after the other.

        Args:
            features: (B, C, H, W) of each level, others may be among them.
            instances: with the RoIs as `proposal_boxes`, in training, or as `pred_boxes`.
        """
        boxes = [i.proposal_boxes if i.has("proposal_boxes") else i.pred_boxes for i in instances]
        levels = [
            levels_of(of_boxes.area(), of_picture.image_size, self.least)
            for of_boxes, of_picture in zip(boxes, instances, strict=True)
        ]
        together, parts = torch.cat(levels), []
        for level, (name, pooler) in enumerate(self.poolers.items()):
            chosen = [of_boxes[own == level] for of_boxes, own in zip(boxes, levels, strict=True)]
            parts.append(pooler([features[name]], chosen))
        order = torch.cat([(together == level).nonzero()[:, 0] for level in range(len(self.poolers))])
        return torch.cat(parts)[order.argsort()]


def levels_of(areas: Tensor, size: Size, least: float) -> Tensor:
    """Which of `LEVELS` each RoI is pooled from (the paper's adaptive RoI assignment).

    P5 for more than half of the picture, P4 for more than a quarter and up to a half, P3 for others: level
    ⌈5 - log₂(area of the picture / area of the RoI)⌉, but 3 at least and 5 at most.

    Args:
        areas: (N,) of the RoIs, in pixels.
        size: (height, width) of the picture, without padding.
        least: what is added to the quotient.

    Returns:
        (N,) int64 indices.
    """
    exact = 5 - torch.log2(size[0] * size[1] / areas + least)
    return exact.ceil().clamp(min=3, max=5).long() - 3
