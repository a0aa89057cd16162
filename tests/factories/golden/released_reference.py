"""What the released FCOS-BCNet computes at test time, in float64, from tensors under its own names; no code is shared.

Follows the released configurations and code (meta_arch/fcos.py, inference_fcos.py, roi_heads/mask_head.py, poolers.py,
backbone/fpn.py) as plain formulas; what is chosen or suppressed is decided in loops.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

MEAN = (103.530, 116.280, 123.675)  # BGR; the deviation is 1
STRIDES = (8, 16, 32, 64, 128)  # P3 to P7
MAPPED = slice(None, None, 5)  # the detections whose maps are computed: they take most of the time
MAPS = {  # ours: upsampling, prediction
    "occluder_mask": ("bo_deconv", "predictor_bo"),
    "occluder_contour": ("boundary_deconv_bo", "boundary_predictor_bo"),
    "target_mask": ("deconv", "predictor"),
    "target_contour": ("boundary_deconv", "boundary_predictor"),
}


class Found(NamedTuple):
    """Detections in the order of their scores, and how they came about."""

    boxes: Tensor  # (n, 4) in pixels of the input
    scores: Tensor
    classes: Tensor
    maps: dict[str, Tensor]  # (n / 5, 28, 28) probabilities, of every fifth
    levels: list[int]  # that detections come from, 0: P3
    pooled_from: list[int]  # the level that a detection's RoI is pooled from
    most_candidates: int  # above the threshold on one level
    suppressed: int  # candidates by NMS


def released_model(tensors: dict[str, Tensor], picture: Tensor) -> Found:
    """Detections of a picture (3, H, W), BGR, 0 to 255."""
    w = {name: tensor.double() for name, tensor in tensors.items() if tensor.is_floating_point()}
    height, width = picture.shape[1:]
    image = picture.double() - torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1)
    image = F.pad(image, (0, -width % 32, 0, -height % 32))
    levels = pyramid(w, image[None])
    candidates, most = [], 0
    for index, level in enumerate(levels):
        found = candidates_of(w, level, index)
        most = max(most, len(found))
        candidates += sorted(found, key=lambda one: -one[0])[:1000]
    kept, suppressed = chosen(candidates)
    scores, classes, boxes, origins = zip(*kept, strict=True)
    rois = torch.tensor(boxes, dtype=torch.float64)
    pooled, from_levels = pool(levels, rois)
    return Found(
        rois,
        torch.tensor([math.sqrt(score) for score in scores], dtype=torch.float64),
        torch.tensor(classes),
        maps(w, pooled[MAPPED]),
        list(origins),
        from_levels,
        most,
        suppressed,
    )


def convolution(w: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), stride, padding)


def normed(w: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution and its fixed batch norm."""
    weight, bias, mean, variance = (
        w[f"{name}.norm.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (convolution(w, name, x, stride, padding) - mean) / (variance + 1e-5).sqrt() * weight + bias


def pyramid(w: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """P3 to P7 of a picture whose sides are multiples of 32. The stride of a stage is in its first 1x1 convolution."""
    body = "backbone.bottom_up"
    x = F.max_pool2d(normed(w, f"{body}.stem.conv1", image, 2, 3).relu(), 3, 2, 1)
    stages = []
    for stage in (2, 3, 4, 5):
        block = 0
        while f"{body}.res{stage}.{block}.conv1.weight" in w:
            name = f"{body}.res{stage}.{block}"
            stride = 2 if stage > 2 and block == 0 else 1
            inner = normed(w, f"{name}.conv1", x, stride).relu()
            inner = normed(w, f"{name}.conv2", inner, padding=1).relu()
            shortcut = normed(w, f"{name}.shortcut", x, stride) if block == 0 else x
            x = (normed(w, f"{name}.conv3", inner) + shortcut).relu()
            block += 1
        stages.append(x)
    top = convolution(w, "backbone.fpn_lateral5", stages[3])
    levels = [convolution(w, "backbone.fpn_output5", top, padding=1)]
    for stage in (4, 3):
        doubled = top.repeat_interleave(2, 2).repeat_interleave(2, 3)
        top = convolution(w, f"backbone.fpn_lateral{stage}", stages[stage - 2]) + doubled
        levels.insert(0, convolution(w, f"backbone.fpn_output{stage}", top, padding=1))
    p6 = convolution(w, "backbone.top_block.p6", levels[-1], 2, 1)
    return [*levels, p6, convolution(w, "backbone.top_block.p7", p6.relu(), 2, 1)]


def tower(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Four convolutions, each with GroupNorm of 32 groups and ReLU."""
    for place in (0, 3, 6, 9):
        x = convolution(w, f"{name}.{place}", x, padding=1)
        n, c, height, width = x.shape
        groups = x.reshape(n, 32, -1)
        groups = groups - groups.mean(2, keepdim=True)
        groups = groups / (groups.square().mean(2, keepdim=True) + 1e-5).sqrt()
        scale, shift = (w[f"{name}.{place + 1}.{part}"].view(1, c, 1, 1) for part in ("weight", "bias"))
        x = (groups.reshape(n, c, height, width) * scale + shift).relu()
    return x


def candidates_of(w: dict[str, Tensor], level: Tensor, index: int) -> list[tuple[float, int, tuple, int]]:
    """(category's probability times centerness, class, box, level) wherever the probability is above 0.03."""
    stride = STRIDES[index]
    of_classes, of_boxes = tower(w, "head.cls_tower", level), tower(w, "head.bbox_tower", level)
    probabilities = convolution(w, "head.cls_logits", of_classes, padding=1)[0].sigmoid()
    centerness = convolution(w, "head.centerness", of_boxes, padding=1)[0, 0].sigmoid()
    distances = w[f"head.scales.{index}.scale"] * convolution(w, "head.bbox_pred", of_boxes, padding=1)[0]
    distances = distances.relu() * stride
    found = []
    for category, row, column in (probabilities > 0.03).nonzero().tolist():
        x, y = column * stride + stride // 2, row * stride + stride // 2
        left, above, right, below = distances[:, row, column].tolist()
        score = float(probabilities[category, row, column] * centerness[row, column])
        found.append((score, category, (x - left, y - above, x + right, y + below), index))
    return found


def chosen(candidates: list[tuple]) -> tuple[list[tuple], int]:
    """The best 100 after suppression within each category, best first, and how many were suppressed."""
    kept: list[tuple] = []
    suppressed = 0
    for one in sorted(candidates, key=lambda one: -one[0]):
        if any(other[1] == one[1] and iou(other[2], one[2]) > 0.6 for other in kept):
            suppressed += 1
        else:
            kept.append(one)
    return kept[:100], suppressed


def iou(a: tuple, b: tuple) -> float:
    width, height = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0.0) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union else 0.0


def pool(levels: list[Tensor], rois: Tensor) -> tuple[Tensor, list[int]]:
    """RoIAlign of 14x14, each RoI from the level of its size (224 pixels: P4), and those levels."""
    pooled, used = [], []
    for roi in rois:
        size = math.sqrt((roi[2] - roi[0]) * (roi[3] - roi[1]))
        level = math.floor(4 + math.log2(size / 224 + 2.0**-52))
        level = min(max(level, 3), 7)
        feature = levels[level - 3]
        pooled.append(roi_align(feature, [roi[None]], 14, 1 / STRIDES[level - 3], sampling_ratio=0, aligned=True))
        used.append(level)
    return torch.cat(pooled), used


def layer(w: dict[str, Tensor], x: Tensor, convolutions: str, suffix: str) -> Tensor:
    """Four convolutions with ReLU; after the second the non-local block, a RoI and a position at a time."""
    for number in (1, 2, 3, 4):
        x = convolution(w, f"mask_head.{convolutions}{number}", x, padding=1).relu()
        if number == 2:
            query, key, value = (
                convolution(w, f"mask_head.{part}_transform{suffix}", x).flatten(2)
                for part in ("query", "key", "value")
            )
            affinity = torch.einsum("ncp,ncq->npq", query, key) / math.sqrt(256)
            affinity = affinity.exp() / affinity.exp().sum(2, keepdim=True)
            relation = torch.einsum("npq,ncq->ncp", affinity, value).view_as(x)
            relation = convolution(w, f"mask_head.output_transform{suffix}", relation)
            weight, bias, mean, variance = (
                w[f"mask_head.blocker{suffix}.{part}"].view(1, -1, 1, 1)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            x = x + (relation - mean) / (variance + 1e-4).sqrt() * weight + bias
    return x


def maps(w: dict[str, Tensor], rois: Tensor) -> dict[str, Tensor]:
    occluder = layer(w, rois, "boundary_fcn", "_bound_bo")
    target = layer(w, rois + occluder, "mask_fcn", "_bound")
    found = {}
    for name, (upsample, predict) in MAPS.items():
        x = occluder if name.startswith("occluder") else target
        weight, bias = (w[f"mask_head.{upsample}.{part}"] for part in ("weight", "bias"))
        wide = F.conv_transpose2d(x, weight, bias, stride=2).relu()
        found[name] = convolution(w, f"mask_head.{predict}", wide)[:, 0].sigmoid()
    return found
