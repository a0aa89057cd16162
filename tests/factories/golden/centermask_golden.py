"""Golden numbers of CenterMask's two editions (tests/golden/README.md), and names of their losses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from golden_factory import Golden
from torch import Tensor, nn

from bcnet.methods.centermask import (
    OFFICIAL_NAMES,
    OFFICIAL_NAMES_2,
)
from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, Conventions

CLASSES = 80
STRIDES = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Theirs:
    """An edition: its golden numbers, where its own rows begin that are not the background's, and its names."""

    number: int
    golden: Golden
    first: int
    conventions: Conventions
    names: dict[str, str]
    head: str  # beginnings of their names of both heads
    scored: str

    @property
    def end(self) -> np.ndarray:
        """What their boxes are less than ours."""
        return np.array([0, 0, self.first, self.first])


EDITIONS = {
    1: Theirs(1, Golden("centermask"), 1, MASKRCNN_BENCHMARK, OFFICIAL_NAMES, "roi_heads.mask.", "roi_heads.maskiou."),
    2: Theirs(
        2, Golden("centermask2"), 0, DETECTRON2, OFFICIAL_NAMES_2, "roi_heads.mask_head.", "roi_heads.maskiou_head."
    ),
}


LOSSES = {  # ours, and theirs of both editions
    "loss_fcos_cls": ("loss_cls", "loss_fcos_cls"),
    "loss_fcos_box": ("loss_reg", "loss_fcos_loc"),
    "loss_fcos_centerness": ("loss_centerness", "loss_fcos_ctr"),
    "loss_mask": ("loss_mask", "loss_mask"),
    "loss_mask_iou": ("loss_maskiou", "loss_maskiou"),
}


def near(found: Tensor, expected: np.ndarray, relative: float = 1e-5) -> None:
    assert np.abs(found.numpy() - expected).max() <= relative * np.abs(expected).max()


class Given(nn.Module):
    """A part of a model whose output is given."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: Any) -> Any:
        return self.output


def objects_of(theirs: Theirs, gt: dict[str, Any], size: list[int]) -> Instances:
    """Of a picture whose `size` is width and height; boxes as ours, polygons as precise as theirs."""
    objects = Instances((size[1], size[0]))
    objects.gt_boxes = Boxes(torch.tensor(np.array(gt["boxes"]) + theirs.end, dtype=torch.float32))
    objects.gt_classes = torch.tensor(gt["labels_1_to_80"]) - 1
    precision = np.float32 if theirs.number == 1 else np.float64
    polygons = [[np.array(part, precision).astype(float) for part in each] for each in gt["polygons"]]
    objects.gt_masks = PolygonMasks(polygons)
    return objects


def compared(theirs: Theirs, losses: dict[str, Tensor], expected: dict[str, Any], relative: float) -> None:
    found = {LOSSES[name][theirs.number - 1]: loss.item() for name, loss in losses.items()}
    assert found == pytest.approx({name: expected[name] for name in found}, rel=relative)
