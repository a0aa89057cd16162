"""A method of another kind than those of the table costs one file: this one, which touches no other.

Its masks are of the image, not of RoIs: each location of FCOS gives the weights of a linear filter, which draws its
object's mask from features that the picture's objects share. It has no `detector`, and one key of its own.
"""

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from conformance import checks
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detections import Detected, ImageMaps
from bcnet.models.detectors.fcos import FCOS, STRIDES
from bcnet.models.detectors.fcos_head import by_location
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.processes import mean_over_processes
from bcnet.models.segmenter import Spec
from bcnet.params.method import Method
from bcnet.params.methods import METHODS
from bcnet.params.variants import Variant

STRIDE = 8  # of P3, which the shared features are drawn from


class Toy(Variant):
    """What a variant of the method may say."""

    method: Literal["toy"]
    features: int = 4


class ToyModel(ImageSegmenter):
    """FCOS whose locations carry the filter of their object's mask."""

    def __init__(self, spec: Spec[Toy]) -> None:
        sizes, count = spec.sizes, spec.variant.features
        super().__init__(spec, pyramid_from_p3(spec.variant.backbone, sizes.fpn_channels, sizes.freeze_at))
        filters = nn.Conv2d(sizes.fpn_channels, count + 1, kernel_size=3, padding=1)
        settings = spec.predict.fcos, spec.predict.detections
        self.fcos = FCOS(sizes.fpn_channels, spec.classes, STRIDES, sizes.fcos_ranges, *settings, top=filters)
        self.shared = nn.Conv2d(sizes.fpn_channels, count, kernel_size=3, padding=1)

    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        outputs, places = self.fcos.predict(features)
        learned = self.fcos.learned(places, targets)
        filters = by_location([output.top for output in outputs])
        shared = self.shared(features["p3"])
        parts, count = [(filters.sum() + shared.sum()) * 0], 0
        for picture, (objects, target) in enumerate(zip(learned, targets, strict=True)):
            positive = objects >= 0
            if not positive.any():
                continue
            logits = drawn(filters[picture][positive], shared[picture])
            truth = F.interpolate(target.gt_masks.tensor[:, None].float(), logits.shape[1:], mode="area")[:, 0]
            wanted = truth[objects[positive]]
            parts.append(F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((1, 2)).sum())
            count += len(logits)
        divisor = mean_over_processes(torch.tensor(float(count)), least=1)
        return {
            **self.fcos.losses(outputs, places, targets, learned),
            "loss_mask": torch.stack(parts).sum() / divisor,
        }

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        outputs, places = self.fcos.predict(features)
        ((size,), (instances,)) = images.image_sizes, self.fcos.detect(outputs, places, images.image_sizes)
        maps = drawn(instances.tops, self.shared(features["p3"])[0]).sigmoid()
        boxes = instances.pred_boxes.tensor
        return Detected(instances.pred_classes, instances.scores, boxes, ImageMaps(maps, STRIDE, size))


def drawn(filters: Tensor, shared: Tensor) -> Tensor:
    """Logits (N, H, W) of filters (N, C + 1), weights and a bias, on shared features (C, H, W)."""
    return torch.einsum("nc,chw->nhw", filters[:, :-1], shared) + filters[:, -1, None, None]


def build(spec: Spec[Toy]) -> ToyModel:
    return ToyModel(spec)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A variant of the method, which is in the table for the time of a test."""
    monkeypatch.setitem(sys.modules, "toy_method", sys.modules[__name__])
    monkeypatch.setitem(METHODS, "toy", Method("Toy", Toy, "toy_method", merges_views=False))
    return Toy(method="toy", backbone="efficientnet_lite0")


@checks
def test_it_does_what_every_method_does(toy: Toy, check: Any, tmp_path: Path) -> None:
    check(toy, tmp_path)
