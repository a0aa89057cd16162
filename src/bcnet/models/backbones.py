"""Backbones with a feature pyramid, and the input each of them was trained for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, Backbone, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock
from torch import Tensor, nn

from bcnet.models.layers.path_aggregation import PathAggregation

LEVELS = ("res2", "res3", "res4", "res5")  # strides 4, 8, 16, 32


class EfficientNetLite0(Backbone):
    """timm's `tf_efficientnet_lite0` without its classifier, batch norms fixed to their ImageNet statistics.

    The "same" padding of the tf_ variant is what the package's weights were trained with: on photographs they classify
    with clearly more confidence so than with symmetric padding.
    """

    def __init__(self, freeze_at: int) -> None:
        super().__init__()
        self.body: Any = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4))
        # timm's seven block groups, by the stage that they end: stem, stride 4, 8, 16 (two groups), 32 (two groups)
        blocks: Any = self.body.blocks
        stages = [
            [self.body.conv_stem, self.body.bn1, blocks[0]],
            [blocks[1]],
            [blocks[2]],
            [blocks[3], blocks[4]],
            [blocks[5], blocks[6]],
        ]
        for module in [module for stage in stages[:freeze_at] for module in stage] + self._norms():
            module.requires_grad_(False)
        self.train()

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Like `nn.Module.train`, but the batch norms stay fixed."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) to the four feature maps, (N, C, H / stride, W / stride)."""
        return dict(zip(LEVELS, self.body(x), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        info = self.body.feature_info
        shapes = zip(LEVELS, info.channels(), info.reduction(), strict=True)
        return {level: ShapeSpec(channels=channels, stride=stride) for level, channels, stride in shapes}


def _resnet(
    freeze_at: int, depth: int, groups: int = 1, width_per_group: int = 64, stride_in_1x1: bool = True
) -> ResNet:
    """detectron2's ResNet as its model zoo's ImageNet weights need it (MSRA's have the stride in the 1x1)."""
    stem = BasicStem(in_channels=3, out_channels=64, norm="FrozenBN")
    blocks = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}[depth]
    stages, in_channels = [], 64
    for index, count in enumerate(blocks):
        out_channels = 256 * 2**index
        stages.append(
            ResNet.make_stage(
                block_class=BottleneckBlock,
                num_blocks=count,
                stride_per_block=[1 if index == 0 else 2] + [1] * (count - 1),
                in_channels=in_channels,
                out_channels=out_channels,
                bottleneck_channels=groups * width_per_group * 2**index,
                num_groups=groups,
                stride_in_1x1=stride_in_1x1,
                norm="FrozenBN",
            )
        )
        in_channels = out_channels
    return ResNet(stem, stages, out_features=list(LEVELS), freeze_at=freeze_at)


@dataclass(frozen=True)
class BackboneSpec:
    """How to build a backbone, and the pictures it expects: channel order, and mean and deviation of each, 0 to 255."""

    build: Callable[[int], Backbone]  # takes freeze_at
    channel_order: str
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]


BGR_MEAN = (103.530, 116.280, 123.675)
BACKBONES = {
    "efficientnet_lite0": BackboneSpec(EfficientNetLite0, "RGB", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "resnet50": BackboneSpec(lambda freeze_at: _resnet(freeze_at, 50), "BGR", BGR_MEAN, (1.0, 1.0, 1.0)),
    "resnet101": BackboneSpec(lambda freeze_at: _resnet(freeze_at, 101), "BGR", BGR_MEAN, (1.0, 1.0, 1.0)),
    "resnext101": BackboneSpec(
        lambda freeze_at: _resnet(freeze_at, 101, groups=32, width_per_group=8, stride_in_1x1=False),
        "BGR",
        BGR_MEAN,
        (57.375, 57.120, 58.395),
    ),
}


NECKS: dict[str, Callable[..., FPN]] = {"fpn": FPN, "pan": PathAggregation}  # by their names in `params.yaml`


def pyramid(
    backbone: str, channels: int, freeze_at: int, neck: str = "fpn", norm: str | Callable[[int], nn.Module] = ""
) -> FPN:
    """The backbone with a feature pyramid, levels p2 to p6, for Faster R-CNN; p6 is every second cell of p5.

    Args:
        backbone: a key of `BACKBONES`.
        channels: of every level.
        freeze_at: how many stages keep their weights, the stem counts as one.
        neck: a key of `NECKS`.
        norm: of FPN's own convolutions, in the place of their bias; "": none.
    """
    bottom_up = BACKBONES[backbone].build(freeze_at)
    return NECKS[neck](bottom_up, list(LEVELS), out_channels=channels, norm=norm, top_block=LastLevelMaxPool())


def pyramid_from_p3(backbone: str, channels: int, freeze_at: int, neck: str = "fpn") -> FPN:
    """The backbone with a feature pyramid, levels p3 to p7, for FCOS: p6 and p7 by strided convolutions on p5.

    Arguments as for `pyramid`. With `neck: pan` the path leads from p3 to p5, and p6 and p7 are made of the path's p5.
    """
    bottom_up = BACKBONES[backbone].build(freeze_at)
    top = LastLevelP6P7(channels, channels, in_feature="p5")
    return NECKS[neck](bottom_up, list(LEVELS[1:]), out_channels=channels, norm="", top_block=top)
