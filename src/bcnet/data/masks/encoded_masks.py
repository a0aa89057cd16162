"""The masks of a picture's detections, kept small."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import decode


@dataclass(frozen=True)
class EncodedMasks(Sequence[np.ndarray]):
    """N masks of one picture as compressed RLE; each becomes an array when it is asked for.

    A hundred masks of a picture of 24 megapixels are a few hundred kilobytes so, and 2.4 GB as arrays.

    Attributes:
        rles: COCO's compressed RLE of each, as `segmentation.encode` gives it.
        size: (height, width) of the picture.
    """

    rles: list[dict[str, Any]]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.rles)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "EncodedMasks": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | EncodedMasks":
        """A mask, (H, W) bool; or some of them, still encoded."""
        if isinstance(index, slice):
            return EncodedMasks(self.rles[index], self.size)
        return decode(self.rles[index], *self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All as one array, (N, H, W) bool, which may be large: what `numpy.asarray` gives."""
        masks = np.zeros((len(self), *self.size), dtype or bool)
        for mask, own in zip(masks, self, strict=True):
            mask[:] = own
        return masks

    def boxes(self) -> np.ndarray:
        """The smallest box around each: (N, 4) float32, left, top, right, bottom; zeros around one without a pixel."""
        boxes = coco_mask.toBbox(self.rles).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes.astype(np.float32)
