"""Small FCOS models and pictures for tests."""

from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import BitMasks, Boxes, Instances
from model_factory import build

from bcnet.params import methods
from bcnet.params.models import Model, Predict

STRIDES, RANGES = [8, 16, 32, 64, 128], (32, 64, 96, 128)
LEVELS = [(12, 16), (6, 8), (3, 4), (2, 2), (1, 1)]  # of a picture of up to 96 x 128
SIZES = Model(fpn_channels=32, box_channels=32, rois=64, fcos_ranges=RANGES, solov2_ranges=(24, 32, 40, 48, 2048))
PREDICT = Predict(short_side=96, max_side=128)


def model(method: str = "bcnet", predict: Predict = PREDICT, **switches: Any) -> GeneralizedRCNN:
    torch.manual_seed(0)
    variant = methods.variant(detector="fcos", backbone="efficientnet_lite0", method=method, **switches)
    return build(variant, SIZES, predict, 3)


def item(seed: int, height: int = 90, width: int = 121, objects: int = 3) -> dict[str, Any]:
    """A picture of noise with rectangles of their category's colour, each occluded by the next."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 60, (3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(objects, height, width, dtype=torch.bool)
    boxes = torch.zeros(objects, 4)
    for index in range(objects):
        limits = torch.tensor([[2, 60], [2, 40], [20, 48], [20, 48]])
        x, y, w, h = (limits[:, 0] + (limits[:, 1] - limits[:, 0]) * torch.rand(4, generator=generator)).int().tolist()
        masks[: index + 1, y : y + h, x : x + w] = False
        masks[index, y : y + h, x : x + w] = True
        boxes[index] = torch.tensor([x, y, x + w, y + h])
        image[index % 3, y : y + h, x : x + w] += 150
    instances = Instances((height, width))
    instances.gt_boxes, instances.gt_classes = Boxes(boxes), torch.arange(objects) % 3
    instances.gt_masks, instances.gt_occluder_masks = BitMasks(masks), BitMasks(masks.roll(-1, 0))
    return {"image": image, "instances": instances}


def restless(detector: GeneralizedRCNN) -> GeneralizedRCNN:
    """With weights so large that it finds many objects, of all sizes, of which NMS drops some."""
    head = detector.proposal_generator.head
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for convolution, bias in ((head.cls_logits, -3.0), (head.bbox_pred, 1.5), (head.centerness, 0.0)):
            convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=generator) * 0.05)
            convolution.bias.fill_(bias)
        for norm in [m for m in head.modules() if isinstance(m, torch.nn.GroupNorm)]:
            norm.weight.copy_(1 + 0.3 * torch.randn(32, generator=generator))
            norm.bias.copy_(0.3 * torch.randn(32, generator=generator))
        for index, scale in enumerate(head.scales):
            scale.fill_(0.7 + 0.2 * index)
    return detector.eval()
