"""What code bases count differently: where a box ends, how RoIs are sampled, and what surrounds that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from torch import Tensor, nn

from bcnet.models.layers.roi_align import RoIAlign


@dataclass(frozen=True)
class Conventions:
    """Those that a model was trained with. By default detectron2's, which all that is trained here have.

    A box is left, top, right, bottom in this project, its right and bottom edge exclusive. Code bases whose boxes end
    at their last pixel, with 1 added wherever a width is meant, mean the same boxes: their coordinates are these less 1
    at right and bottom. So box arithmetic is the same, and what they differ in is what is listed here.

    Attributes:
        last_pixel: RoIs are sampled, and masks pasted, between the first and the last pixel of a box; anchors have
            whole widths around the middle of their stride; a box beyond the picture is cut to the pixel at its border,
            not left out; and NMS drops a box whose IoU is as large as the limit.
        aligned: RoIAlign is shifted by half a cell, so that a cell stands for its centre.
        samples: of RoIAlign along each side of a cell; 0: as many as it has pixels.
        norm_eps: what is added to the variance in frozen norms.
        pixel_mean: of a picture's channels, from 0 to 255, where it is not the backbone's.
        cut_at_padding: proposals are cut where the padded picture ends, not where the picture does.
        decoded_in_picture: the box head's boxes are computed, and NMS chooses among them, in the pixels of the picture,
            not in those of what the model sees of it.
    """

    last_pixel: bool = False
    aligned: bool = True
    samples: int = 0
    norm_eps: float = 1e-5
    pixel_mean: tuple[float, float, float] | None = None
    cut_at_padding: bool = False
    decoded_in_picture: bool = False

    def pooler(self, side: int, strides: list[int]) -> ROIPooler:
        """What samples RoIs, `side` cells along x and y, from levels of these strides, in pixels."""
        kind = _ToLastPixel if self.last_pixel else ROIPooler
        scales = [1 / stride for stride in strides]
        pooler = kind(output_size=side, scales=scales, sampling_ratio=self.samples, pooler_type="ROIAlignV2")
        pooler.level_poolers = nn.ModuleList(RoIAlign(side, scale, self.samples, self.aligned) for scale in scales)
        return pooler

    def anchors(self, sizes: Sequence[float], ratios: list[float], strides: list[int]) -> DefaultAnchorGenerator:
        """Of one size for each level."""
        kind = _WholeAnchors if self.last_pixel else DefaultAnchorGenerator
        return kind(sizes=[[size] for size in sizes], aspect_ratios=ratios, strides=strides, offset=0.0)

    def iou_limit(self, limit: float) -> float:
        """The limit for an NMS that drops only what is above it."""
        return math.nextafter(limit, 0) if self.last_pixel else limit

    def clipped(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Boxes (…, 4) cut at the border of a picture of (height, width), where they are not left out beyond it."""
        if not self.last_pixel:
            return boxes
        height, width = size
        left, top, right, bottom = boxes.unbind(-1)
        return torch.stack(
            [left.clamp(0, width - 1), top.clamp(0, height - 1), right.clamp(1, width), bottom.clamp(1, height)], dim=-1
        )

    def to_code_base(self, boxes: Tensor) -> Tensor:
        """Boxes (…, 4) of this project in the coordinates of the code base."""
        return boxes - boxes.new_tensor([0, 0, 1, 1]) if self.last_pixel else boxes

    def from_code_base(self, boxes: Tensor) -> Tensor:
        """Boxes (…, 4) in the coordinates of the code base as this project has them."""
        return boxes + boxes.new_tensor([0, 0, 1, 1]) if self.last_pixel else boxes

    def resized(self, boxes: Boxes, old: tuple[int, int], new: tuple[int, int]) -> Boxes:
        """Boxes of a picture of (height, width) `old` in the same picture of size `new`."""
        return self.scaled(boxes, new[1] / old[1], new[0] / old[0])

    def scaled(self, boxes: Boxes, across: float, down: float) -> Boxes:
        """Boxes in a picture that is resized by these factors along x and y."""
        factors = boxes.tensor.new_tensor([across, down] * 2)
        return Boxes(self.from_code_base(self.to_code_base(boxes.tensor) * factors))

    def prepare(self, backbone: nn.Module) -> None:
        """Set what is fixed in the layers of a backbone."""
        for module in backbone.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = self.norm_eps


DETECTRON2 = Conventions()
MASKRCNN_BENCHMARK = Conventions(
    last_pixel=True, aligned=False, samples=2, norm_eps=0.0, pixel_mean=(102.9801, 115.9465, 122.7717)
)
MMDETECTION = replace(MASKRCNN_BENCHMARK, norm_eps=1e-5)  # its first version
PANET = replace(MASKRCNN_BENCHMARK, cut_at_padding=True, decoded_in_picture=True)
BY_NAME = {
    "detectron2": DETECTRON2,
    "maskrcnn_benchmark": MASKRCNN_BENCHMARK,
    "mmdetection": MMDETECTION,
    "panet": PANET,
}


class _BetweenPixels(Boxes):
    """Boxes from the first to the last pixel, whose area is that of the pixels, so that they keep their level."""

    def area(self) -> Tensor:
        sides: Tensor = self.tensor[:, 2:] - self.tensor[:, :2] + 1
        return sides.prod(1)


class _ToLastPixel(ROIPooler):
    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        shift = box_lists[0].tensor.new_tensor([0, 0, 1, 1])
        pooled: Tensor = super().forward(x, [_BetweenPixels(boxes.tensor - shift) for boxes in box_lists])
        return pooled


class _WholeAnchors(DefaultAnchorGenerator):
    """Faster R-CNN's first anchors: whole widths of a square of the stride's side, then scaled to their size."""

    def _calculate_anchors(self, sizes: list[list[float]], aspect_ratios: list[list[float]]) -> nn.Module:
        cells = [
            torch.tensor([_anchor(stride, size, ratio) for ratio in ratios], dtype=torch.float32)
            for stride, (size,), ratios in zip(self.strides, sizes, aspect_ratios, strict=True)
        ]
        plain: nn.Module = super()._calculate_anchors(sizes, aspect_ratios)
        for buffer, cell in zip(plain.buffers(), cells, strict=True):
            buffer.copy_(cell)
        return plain


def _anchor(stride: int, size: float, ratio: float) -> list[float]:
    width = np.round(math.sqrt(stride * stride / ratio))
    height = np.round(width * ratio)
    half_width, half_height = ((side * size / stride - 1) / 2 for side in (width, height))
    centre = (stride - 1) / 2
    return [centre - half_width, centre - half_height, centre + half_width + 1, centre + half_height + 1]
