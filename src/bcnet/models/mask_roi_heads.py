"""RoI heads with nothing but a mask branch, for a detector whose proposals are detections already."""

import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from torch import Tensor, nn

MATCHED = 0.5  # IoU with an object from which on a RoI trains the mask head on it


class MaskROIHeads(nn.Module):
    """A mask head on RoIs of 14x14, pooled from the level that fits a RoI's size (FPN's rule: 224 pixels on P4).

    Args:
        strides: of the levels that RoIs are pooled from, by name, in pixels.
        mask_head: what detectron2's RoI heads call as mask head: (N, C, 14, 14) and instances to losses or instances.
        rois: at most so many RoIs a picture train the head.
    """

    def __init__(self, strides: dict[str, int], mask_head: nn.Module, rois: int) -> None:
        super().__init__()
        self.levels, self.rois = list(strides), rois
        self.mask_on = True  # as detectron2's RoI heads have it: false leaves the masks out at test time
        scales = [1 / stride for stride in strides.values()]
        self.mask_pooler = ROIPooler(output_size=14, scales=scales, sampling_ratio=0, pooler_type="ROIAlignV2")
        self.mask_head = mask_head

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
        return rois, self.mask_head(self._pool(features, [each.proposal_boxes for each in rois]), rois)

    def forward_with_given_boxes(self, features: dict[str, Tensor], instances: list[Instances]) -> list[Instances]:
        """The instances, which have `pred_boxes` and `pred_classes`, with the fields of the mask head."""
        if not self.mask_on:
            return instances
        return self.mask_head(self._pool(features, [each.pred_boxes for each in instances]), instances)

    def _pool(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Tensor:
        return self.mask_pooler([features[name] for name in self.levels], boxes)


@torch.no_grad()
def training_rois(proposals: Instances, targets: Instances, most: int) -> Instances:
    """A picture's RoIs that train the mask head: proposals and the ground truth itself, each with its object.

    Args:
        proposals: with `pred_boxes`.
        targets: the objects, with `gt_boxes`.
        most: of more RoIs, so many are drawn.

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
    if len(kept) > most:
        kept = kept[torch.randperm(len(kept), device=kept.device)[:most]]
    rois = targets[index[kept]]
    rois.proposal_boxes = boxes[kept]
    return rois
