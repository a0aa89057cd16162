"""RoI heads with nothing but a mask branch, for a detector whose proposals are detections already."""

import torch
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from torch import Tensor, nn

MATCHED = 0.5  # IoU with an object from which on a RoI trains the mask head on it


class MaskROIHeads(nn.Module):
    """In training a mask branch on the RoIs that `training_rois` chooses; otherwise on the detections.

    Args:
        mask_branch: features by level and instances to losses, or to instances with masks.
        rois: at most so many RoIs a picture train it; None: however many there are.
    """

    def __init__(self, mask_branch: nn.Module, rois: int | None) -> None:
        super().__init__()
        self.rois = rois
        self.mask_on = True  # as detectron2's RoI heads have it: false leaves the masks out at test time
        self.mask_head = mask_branch

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """In training the RoIs and the mask head's losses; otherwise the proposals with masks, and no losses.

        Args:
            images: of the batch; not used.
            features: (N, C, H, W) of each level.
            proposals: one a picture, with `pred_boxes` and, for masks, `pred_classes`.
            targets: in training the objects of each picture, with `gt_boxes` and all that the mask head learns from.
        """
        if not self.training:
            return self.forward_with_given_boxes(features, proposals), {}
        assert targets is not None
        rois = [training_rois(*pair, self.rois) for pair in zip(proposals, targets, strict=True)]
        return rois, self.mask_head(features, rois)

    def forward_with_given_boxes(self, features: dict[str, Tensor], instances: list[Instances]) -> list[Instances]:
        """The instances, which have `pred_boxes` and `pred_classes`, with the fields of the mask head."""
        if not self.mask_on:
            return instances
        return self.mask_head(features, instances)


@torch.no_grad()
def training_rois(proposals: Instances, targets: Instances, most: int | None) -> Instances:
    """A picture's RoIs that train the mask head: proposals and the ground truth itself, each with its object.

    Args:
        proposals: with `pred_boxes`.
        targets: the objects, with `gt_boxes`.
        most: of more RoIs, so many are drawn; None: all are taken.

    Returns:
        One row for each RoI whose IoU with an object is at least 0.5: the fields of the object with the highest, and
        the RoI as `proposal_boxes`.
    """
    boxes = Boxes.cat([proposals.pred_boxes, targets.gt_boxes])
    if len(targets) == 0:
        kept = index = torch.empty(0, dtype=torch.int64, device=boxes.device)
    else:
        overlap, index = pairwise_iou(targets.gt_boxes, boxes).max(0)
        kept = (overlap >= MATCHED).nonzero()[:, 0]
    if most is not None and len(kept) > most:
        kept = kept[torch.randperm(len(kept), device=kept.device)[:most]]
    rois = targets[index[kept]]
    rois.proposal_boxes = boxes[kept]
    return rois
