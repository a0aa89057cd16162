"""The mask branch of RoIs: where their features come from, and a head that maps them to named maps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_inference
from detectron2.structures import Instances
from torch import Tensor, nn

from bcnet.models.conventions import DETECTRON2, Conventions
from bcnet.models.masks.mask_iou import MaskIoUHead


class RoIFeatures:
    """RoI features from the level that fits a RoI's size (FPN's rule: 224 pixels on stride 16).

    Args:
        strides: of the levels that RoIs are pooled from, by name, in pixels.
        side: cells of a RoI, along x and y.
        conventions: how RoIs are sampled.
        pooler: samples them in another way, from a list of levels and the boxes of each picture.
    """

    def __init__(
        self,
        strides: Mapping[str, int],
        side: int = 14,
        conventions: Conventions = DETECTRON2,
        pooler: nn.Module | None = None,
    ) -> None:
        self.levels = list(strides)
        self.pooler = pooler or conventions.pooler(side, list(strides.values()))

    def __call__(self, features: Mapping[str, Tensor], instances: list[Instances]) -> Any:
        """(N, C, side, side), of the RoIs of all pictures one after the other; or what `pooler` gives.

        Args:
            features: (B, C, H, W) of each level, others may be among them.
            instances: with the RoIs as `proposal_boxes`, in training, or as `pred_boxes`.
        """
        boxes = [i.proposal_boxes if i.has("proposal_boxes") else i.pred_boxes for i in instances]
        return self.pooler([features[name] for name in self.levels], boxes)


class RoIMaskBranch(nn.Module):
    """A mask branch from a head that maps RoI features to named maps.

    Args:
        roi_features: what the head takes, of the features of all levels by name and of instances: mostly `RoIFeatures`,
            (N, C, 14, 14).
        head: from it to a dict of logits (N, 1, 28, 28), `target_mask` among them; (N, classes, 28, 28) where it has a
            map for each category, of which the RoI's own is taken.
        losses: from those logits, (N, 1, 28, 28) each, and the masks of `learned` (each (N, 28, 28) bool) to named
            losses.
        learned: masks of the instances that are cut out of the RoIs for the losses, the objects' first.
        mask_iou: a head that scores masks, for a head whose RoI features are those of `RoIFeatures`.
    """

    def __init__(
        self,
        roi_features: Callable[[dict[str, Tensor], list[Instances]], Any],
        head: nn.Module,
        losses: Callable[..., dict[str, Tensor]],
        learned: Sequence[str] = ("gt_masks",),
        mask_iou: MaskIoUHead | None = None,
    ) -> None:
        super().__init__()
        self.roi_features = roi_features
        self.head = head
        self.losses = losses
        self.learned = learned
        self.mask_iou = mask_iou

    def forward(self, features: dict[str, Tensor], instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        """Losses in training; otherwise the instances, with maps.

        Args:
            features: (B, C, H, W) of each level.
            instances: of each picture; in training with what they learn, `gt_classes` and the masks.

        Returns:
            In training named losses. Otherwise the instances, each with probabilities (N, 1, 28, 28) in the RoI
            `pred_boxes`: a field of each map's name, and `pred_masks`, which is the `target_mask`. Where masks are
            scored `scores` are those of the masks, and `box_scores` what they were.
        """
        of_rois = self.roi_features(features, instances)
        outputs = self.head(of_rois)
        if self.training:
            return self._losses(of_rois, outputs, instances)
        for name, logits in outputs.items():
            mask_rcnn_inference(logits, instances)  # into `pred_masks`
            for of_picture in instances:
                of_picture.set(name, of_picture.pred_masks)
        for of_picture in instances:
            of_picture.pred_masks = of_picture.target_mask
        if self.mask_iou is not None:
            self.mask_iou.rescore(of_rois, instances)
        return instances

    def _losses(self, of_rois: Any, outputs: dict[str, Tensor], instances: list[Instances]) -> dict[str, Tensor]:
        masks = outputs["target_mask"]
        side = masks.shape[-1]
        classes = torch.cat([i.gt_classes for i in instances])
        outputs = {name: of_class(logits, classes) for name, logits in outputs.items()}
        none = torch.zeros(0, side, side, dtype=torch.bool, device=masks.device)
        crops = []
        for field in self.learned:  # a picture without an object has no masks
            cut = [i.get(field).crop_and_resize(i.proposal_boxes.tensor, side) for i in instances if len(i)]
            crops.append(torch.cat([none, *cut]))
        losses = self.losses(outputs, *crops)
        if self.mask_iou is not None:
            losses["loss_mask_iou"] = self.mask_iou.loss(of_rois, outputs["target_mask"], crops[0], instances)
        return losses


def of_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Of (N, classes or 1, H, W) the map of each RoI's category: (N, 1, H, W)."""
    if logits.shape[1] == 1:
        return logits
    return logits[torch.arange(len(classes), device=classes.device), classes][:, None]
