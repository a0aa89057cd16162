"""The mask branch of a detector's RoI heads: detectron2's own head, or one of named maps."""

from collections.abc import Callable

import torch
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_inference
from detectron2.structures import Instances
from torch import Tensor, nn

from bcnet.models.processes import over_all_rois


class MaskRCNNHead(MaskRCNNConvUpsampleHead):
    """detectron2's, whose loss is the mean over the RoIs of all processes."""

    def forward(self, x: Tensor, instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        found = super().forward(x, instances)
        return over_all_rois(found, instances) if self.training else found


class RoIMaskBranch(nn.Module):
    """Puts a mask head that maps RoI features to named maps into detectron2's RoI heads.

    Args:
        head: (N, C, 14, 14) to a dict of logits (N, 1, 28, 28), `target_mask` among them; (N, classes, 28, 28) where it
            has a map for each category, of which the RoI's own is taken.
        losses: from those logits, (N, 1, 28, 28) each, target masks and occluder masks (both (N, 28, 28) bool) to named
            losses.
    """

    def __init__(
        self, head: nn.Module, losses: Callable[[dict[str, Tensor], Tensor, Tensor], dict[str, Tensor]]
    ) -> None:
        super().__init__()
        self.head = head
        self.losses = losses

    def forward(self, features: Tensor, instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        """Losses in training; otherwise the instances, with maps.

        Args:
            features: (N, C, 14, 14), of the RoIs of all pictures, one after the other.
            instances: those of each picture.

        Returns:
            In training named losses. Otherwise the instances, each with probabilities (N, 1, 28, 28) in the RoI
            `pred_boxes`: a field of each map's name, and `pred_masks`, which is the `target_mask`.
        """
        outputs = self.head(features)
        if not self.training:
            for name, logits in outputs.items():
                mask_rcnn_inference(logits, instances)  # into `pred_masks`
                for found in instances:
                    found.set(name, found.pred_masks)
            for found in instances:
                found.pred_masks = found.target_mask
            return instances
        side = outputs["target_mask"].shape[-1]
        classes = torch.cat([i.gt_classes for i in instances])
        outputs = {name: of_class(logits, classes) for name, logits in outputs.items()}
        none = torch.zeros(0, side, side, dtype=torch.bool, device=features.device)
        crops = [
            # a picture without an object has no masks
            [i.get(field).crop_and_resize(i.proposal_boxes.tensor, side) for i in instances if len(i)]
            for field in ("gt_masks", "gt_occluder_masks")
        ]
        target_masks, occluder_masks = (torch.cat([none, *pictures]) for pictures in crops)
        return self.losses(outputs, target_masks, occluder_masks)


def of_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Of (N, classes or 1, H, W) the map of each RoI's category: (N, 1, H, W)."""
    if logits.shape[1] == 1:
        return logits
    return logits[torch.arange(len(classes), device=classes.device), classes][:, None]
