"""Files as others released them, with random numbers in place of trained ones, and their names and shapes."""

import math
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def random_tensors(shapes: Mapping[str, tuple[int, ...]], scales: Mapping[str, float]) -> dict[str, Tensor]:
    """Numbers with which signals neither vanish nor explode on their way through a network.

    Args:
        shapes: by name.
        scales: factors for the weights (not the biases) of the names that hold a key.
    """
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in shapes.items():
        normal = torch.randn(shape, generator=random)
        last = name.split(".")[-1]
        if last == "num_batches_tracked":
            tensors[name] = torch.tensor(7)
        elif last == "running_var" or (last == "weight" and len(shape) == 1):  # of a norm
            small = 0.25 if "conv3.norm" in name else 0.02 if "stem.conv1.norm" in name else 1.0
            tensors[name] = small * (1 + 0.1 * normal.clamp(-3, 3))
        elif len(shape) == 1:
            tensors[name] = 0.1 * normal
        else:
            fan_in = math.prod(shape[1:])
            scale = math.prod(factor for part, factor in scales.items() if part in name)
            tensors[name] = normal * math.sqrt(2 / fan_in) * scale
    return tensors


def write_zoo_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A `.pkl` of detectron2's model zoo, with what old ones hold besides."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    arrays |= {f"proposal_generator.anchor_generator.cell_anchors.{i}": np.zeros((3, 4), np.float32) for i in range(5)}
    arrays["pixel_mean"] = np.array([[[103.53]], [[116.28]], [[123.675]]], np.float32)
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))


def released_shapes(blocks: tuple[int, int, int, int], classes: int = 80) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a released FCOS-BCNet file with a ResNet of that many blocks a stage."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, into: int, side: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (out, into, side, side)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})

    body = "backbone.bottom_up"
    layers = [(f"{body}.stem.conv1", 64, 3, 7)]
    into = 64
    for stage, count in enumerate(blocks):
        width, out = 64 * 2**stage, 256 * 2**stage
        for block in range(count):
            name = f"{body}.res{stage + 2}.{block}"
            layers += [(f"{name}.shortcut", out, into, 1)] if block == 0 else []
            layers += [(f"{name}.conv1", width, into, 1), (f"{name}.conv2", width, width, 3)]
            layers += [(f"{name}.conv3", out, width, 1)]
            into = out
    for name, out, before, side in layers:
        convolution(name, out, before, side, bias=False)
        norm(f"{name}.norm", out)
    for level, channels in ((3, 512), (4, 1024), (5, 2048)):
        convolution(f"backbone.fpn_lateral{level}", 256, channels, 1)
        convolution(f"backbone.fpn_output{level}", 256, 256, 3)
    for level in (6, 7):
        convolution(f"backbone.top_block.p{level}", 256, 256, 3)
    for tower in ("cls_tower", "bbox_tower"):
        for place in (0, 3, 6, 9):
            convolution(f"head.{tower}.{place}", 256, 256, 3)
            shapes |= {f"head.{tower}.{place + 1}.{part}": (256,) for part in ("weight", "bias")}
    for name, out in (("cls_logits", classes), ("bbox_pred", 4), ("centerness", 1)):
        convolution(f"head.{name}", out, 256, 3)
    shapes |= {f"head.scales.{level}.scale": (1,) for level in range(5)}
    for number in (1, 2, 3, 4):
        convolution(f"mask_head.mask_fcn{number}", 256, 256, 3)
        convolution(f"mask_head.boundary_fcn{number}", 256, 256, 3)
    for suffix in ("_bound", "_bound_bo"):
        for part in ("query", "key", "value", "output"):
            convolution(f"mask_head.{part}_transform{suffix}", 256, 256, 1, bias=False)
        norm(f"mask_head.blocker{suffix}", 256)
        shapes[f"mask_head.blocker{suffix}.num_batches_tracked"] = ()
    for upsample in ("deconv", "bo_deconv", "boundary_deconv", "boundary_deconv_bo"):
        convolution(f"mask_head.{upsample}", 256, 256, 2)
    for predictor in ("predictor", "predictor_bo", "boundary_predictor", "boundary_predictor_bo"):
        convolution(f"mask_head.{predictor}", 1, 256, 1)
    return shapes


def stand_ins(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """One number stands for all of a tensor's, so that files and memory stay small."""
    return {
        name: torch.tensor(7) if name.endswith("num_batches_tracked") else torch.tensor(0.5).expand(shape)
        for name, shape in shapes.items()
    }
