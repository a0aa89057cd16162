"""The masks of a picture's objects, as RoIs take them: each RoI has the place of its object, not a copy of its mask."""

from typing import Any

import torch
from detectron2.structures import BitMasks
from torch import Tensor
from torchvision.ops import roi_align


class ObjectMasks(BitMasks):
    """detectron2's `BitMasks` whose selections share the objects' masks.

    detectron2 gives each of the RoIs that it samples in a picture the mask of its object: 512 of them are half a
    gigabyte in a picture of COCO's size, of which the mask head then takes a quarter, as float32.

    Args:
        objects: (K, H, W) bool.
        places: (N,) int64 in `objects`; None: all of them, in order.
    """

    def __init__(self, objects: Tensor, places: Tensor | None = None) -> None:
        self.objects = objects.bool()
        self.places = torch.arange(len(objects), device=objects.device) if places is None else places
        self.image_size = objects.shape[1:]

    @property
    def tensor(self) -> Tensor:
        """(N, H, W) bool, each mask on its own."""
        return self.objects[self.places]

    @property
    def device(self) -> torch.device:
        return self.objects.device

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: Any) -> "ObjectMasks":
        return ObjectMasks(self.objects, self.places[[item] if isinstance(item, int) else item])

    def to(self, *args: Any, **kwargs: Any) -> "ObjectMasks":
        """On another device."""
        return ObjectMasks(self.objects.to(*args, **kwargs), self.places.to(*args, **kwargs))

    def crop_and_resize(self, boxes: Tensor, mask_size: int) -> Tensor:
        """What each box shows of its mask, as `BitMasks` cuts it: (N, mask_size, mask_size) bool.

        Args:
            boxes: (N, 4) left, top, right, bottom, in pixels.
            mask_size: along both sides.
        """
        rois = torch.cat([self.places[:, None].to(boxes.dtype), boxes], dim=1).to(self.device)
        masks = self.objects[:, None].float()
        return roi_align(masks, rois, mask_size, 1.0, sampling_ratio=0, aligned=True)[:, 0] >= 0.5
