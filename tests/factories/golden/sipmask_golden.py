"""Golden numbers of SipMask's two code bases (tests/golden/README.md): cases of losses, and the image in two sizes; and
small models.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, ImageList, Instances, PolygonMasks
from golden_factory import Golden
from PIL import Image
from places import GOLDEN
from torch import Tensor
from torch.nn import functional as F

from bcnet import methods
from bcnet.methods.sipmask import SipMaskModel
from bcnet.models.detections import View
from bcnet.models.detectors.fcos import STRIDES
from bcnet.models.detectors.fcos_head import LevelOutput
from bcnet.models.segmenter import Spec
from bcnet.params.entries.sipmask import SipMask
from bcnet.params.models import Model, Predict

EDITIONS = {edition: Golden(f"sipmask/{edition}") for edition in ("benchmark", "mmdetection")}
LOSSES = {  # theirs by ours; of the boxes, each code base has a name of its own
    "loss_fcos_cls": ("loss_cls",),
    "loss_fcos_box": ("loss_reg", "loss_bbox"),
    "loss_fcos_centerness": ("loss_centerness",),
    "loss_mask": ("loss_mask",),
}
SMALL = Model(fpn_channels=32)
LAST_PIXEL = np.array([0, 0, 1, 1])  # their boxes end at their last pixel


def model(classes: int = 80, sizes: Model = SMALL, **keys: Any) -> SipMaskModel:
    """On the smallest backbone, with random weights."""
    torch.manual_seed(0)
    variant = SipMask(method="sipmask", backbone="efficientnet_lite0", **keys)
    return methods.build(Spec(variant, sizes, Predict(short_side=64, max_side=64), classes))


def image() -> Tensor:
    """(3, 256, 320) uint8, BGR."""
    rgb = np.asarray(Image.open(GOLDEN / "sipmask/image.png").convert("RGB"))
    return torch.from_numpy(rgb[:, :, ::-1].transpose(2, 0, 1).copy())


def view(run: str) -> View:
    """The image as it is, or for `r_` enlarged to 5/4."""
    if not run:
        return View(image(), flipped=False)
    return View(F.interpolate(image()[None].float(), (320, 400), mode="bilinear", align_corners=False)[0], False)


def levels() -> tuple[dict[str, Tensor], torch.Generator]:
    """The features that the head's numbers are of, and the generator behind them."""
    generator = torch.Generator().manual_seed(1)
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    return {f"p{n}": torch.randn(1, 256, *size, generator=generator) for n, size in enumerate(sizes, 3)}, generator


def objects(gt: dict[str, Any], size: tuple[int, int], edition: str) -> Instances:
    """What a picture of that (height, width) has; the benchmark's code has polygons in single precision."""
    precision = np.float32 if edition == "benchmark" else np.float64
    polygons = [[np.array(part, precision).astype(np.float64) for part in each] for each in gt["polygons"]]
    boxes = Boxes(torch.tensor(gt["boxes"]))
    classes = torch.tensor(gt["labels_1_to_80"]) - 1
    return Instances(size, gt_boxes=boxes, gt_classes=classes, gt_masks=PolygonMasks(polygons))


class Case(NamedTuple):
    """The head's outputs, and what is learned."""

    outputs: list[LevelOutput]
    basis: Tensor
    images: ImageList
    targets: list[Instances]


def case_of(case: dict[str, Any], edition: str) -> Case:
    """A case of losses.json, as its `inputs` says; maps and basis are leaves."""
    count, (width, height) = len(case["gt"]), case["image_wh"]
    sizes, generator = case["feature_sizes_hw"], torch.Generator().manual_seed(case["seed"])

    def normal(channels: int, size: list[int]) -> Tensor:
        return torch.randn(count, channels, *size, generator=generator)

    logits = [normal(80, size) - 3 for size in sizes]
    boxes = []
    for size, stride in zip(sizes, STRIDES.values(), strict=True):
        if case["name"] == "case2":
            y, x = torch.meshgrid(*(torch.arange(side) * stride + stride // 2 for side in size), indexing="ij")
            reach = torch.stack([x - 20, y - 18, 130 - x, 125 - y]).clamp(min=1)
            boxes.append(reach * torch.exp(0.03 * normal(4, size)) / stride)
        else:
            boxes.append(torch.exp(0.5 * normal(4, size) + 3) / stride)
    centre = [normal(1, size) for size in sizes]
    coefficients = [0.3 * normal(128, size) for size in sizes]
    basis = torch.randn(count, 32, height // 2, width // 2, generator=generator).relu()
    features = torch.zeros(0)
    parts = zip(logits, boxes, centre, coefficients, strict=True)
    outputs = [LevelOutput(*maps, features, top) for *maps, top in parts]
    images = ImageList(torch.zeros(count, 3, height, width), [(height, width)] * count)
    return Case(outputs, basis, images, [objects(gt, (height, width), edition) for gt in case["gt"]])


def losses_apart(losses: dict[str, Tensor], expected: dict[str, float]) -> dict[str, float]:
    """How far losses are from theirs, relative to these."""
    apart = {}
    for name, loss in losses.items():
        (wanted,) = [expected[theirs] for theirs in LOSSES[name] if theirs in expected]
        apart[name] = abs(float(loss.detach()) / wanted - 1)
    return apart
