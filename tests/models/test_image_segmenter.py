"""Boxes are brought to the picture, cut, and dropped with all that is theirs where nothing is left of them."""

import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.structures import ImageList
from model_factory import PREDICT, SIZES
from torch import Tensor, nn

from bcnet.models.conventions import MASKRCNN_BENCHMARK
from bcnet.models.detections import Detected, RoIMaps, View
from bcnet.models.image_segmenter import ImageSegmenter
from bcnet.models.segmenter import Spec
from bcnet.params import methods


class Fixed(ImageSegmenter):
    """Finds three boxes, of which the second is beside the picture."""

    def losses(self, *_: object) -> dict[str, Tensor]:
        return {}

    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        boxes = torch.tensor([[-4.0, 2, 8, 30], [70, 2, 80, 9], [10, 40, 20, 50]])
        maps = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 28, 28) / 2
        return Detected(
            torch.tensor([2, 1, 0]), torch.tensor([0.9, 0.8, 0.7]), boxes, RoIMaps(maps, boxes), {"target_mask": maps}
        )


class Backbone(nn.Module):
    size_divisibility = 32

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return {}


def test_boxes_are_cut_to_the_picture() -> None:
    variant = methods.variant(detector="fcos", backbone="efficientnet_lite0", method="bcnet")
    model = Fixed(Spec(variant, SIZES, PREDICT, 3), Backbone())
    found = model.detect([View(torch.zeros(3, 48, 64, dtype=torch.uint8), False)], (24, 128))
    assert found.classes.tolist() == [2, 0]
    assert found.scores.tolist() == torch.tensor([0.9, 0.7]).tolist()
    assert found.boxes.tolist() == [[0, 1, 16, 15], [20, 20, 40, 24]]
    assert torch.equal(found.masks.boxes, found.boxes)
    for maps in (found.masks.maps, found.maps["target_mask"]):
        assert maps[:, 0, 0, 0].tolist() == [0, 1]


def test_conventions_of_the_code_base_that_trained_it() -> None:
    """Its mean of pixels, its norms, and boxes whose last pixel is scaled."""
    variant, backbone = methods.variant(detector="fcos", backbone="resnet50", method="bcnet"), Backbone()
    backbone.norm = FrozenBatchNorm2d(4)
    model = Fixed(Spec(variant, SIZES, PREDICT, 3, MASKRCNN_BENCHMARK), backbone)
    assert backbone.norm.eps == 0
    assert model.pixel_mean.flatten().tolist() == torch.tensor([102.9801, 115.9465, 122.7717]).tolist()
    found = model.detect([View(torch.zeros(3, 48, 64, dtype=torch.uint8), False)], (24, 128))
    assert found.boxes.tolist() == [[0, 1, 15, 15.5], [20, 20, 39, 24]]
