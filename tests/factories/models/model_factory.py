"""Models small enough for a test, and what they learn from."""

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, Instances

from bcnet import methods
from bcnet.models.detectors.fcos_head import FCOSHead
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params.methods import METHODS
from bcnet.params.models import Model, Predict
from bcnet.params.variants import Variant

SIZES = Model(fpn_channels=32, box_channels=32, rois=16, proposals_train=50, proposals_test=20)
PREDICT = Predict(short_side=64, max_side=64)


def build(variant: Variant, sizes: Model = SIZES, predict: Predict = PREDICT, classes: int = 3) -> Segmenter:
    """A variant's model with random weights."""
    return methods.build(Spec(variant, sizes, predict, classes))


def with_boxes(model: Segmenter) -> Segmenter:
    """Boxes of FCOS reach a stride to each side, where they start without area: a method may learn masks in them."""
    for module in model.modules():
        if isinstance(module, FCOSHead):
            torch.nn.init.constant_(module.bbox_pred.get_parameter("bias"), 1.0)
    return model


def item() -> dict:
    """A picture of 64 pixels with two objects, the first of which is occluded by the second."""
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 8:40, 8:40] = True
    masks[1, 24:60, 24:60] = True
    masks[0] &= ~masks[1]
    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.tensor([[8.0, 8, 40, 40], [24, 24, 60, 60]]))
    instances.gt_classes = torch.tensor([0, 2])
    instances.gt_masks = BitMasks(masks)
    instances.gt_occluder_masks = BitMasks(torch.stack([masks[1], torch.zeros_like(masks[1])]))
    picture = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return {"image": picture, "instances": instances}


def pasted(probabilities: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """A RoI's map in its picture, pixel by pixel in float64: bilinear between the map's cell centres, 0 outside."""
    side = len(probabilities)
    around = np.pad(probabilities.astype(np.float64), 1)
    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * side + 0.5
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * side + 0.5
            if 0 <= x < side + 1 and 0 <= y < side + 1:
                i, j = int(y), int(x)
                rows, columns = np.array([1 - y + i, y - i]), np.array([1 - x + j, x - j])
                out[row, column] = rows @ around[i : i + 2, j : j + 2] @ columns
    return out


def as_they_are(features: dict[str, torch.Tensor], instances: list[Instances]) -> torch.Tensor:
    """In the place of `RoIFeatures`: the features of P2 are those of the RoIs already."""
    return features["p2"]


def variants() -> dict[str, dict[str, str]]:
    """The keys of a variant for each method of the table on each of its detectors, by name: backbones left out."""
    return {
        " ".join(filter(None, (detector, method))): {"method": method} | ({"detector": detector} if detector else {})
        for method, entry in METHODS.items()
        for detector in entry.detectors or (None,)
    }
