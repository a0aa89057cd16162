"""FCOS once more, slowly: plain loops in float64 over pictures, levels, locations and boxes."""

import math

from torch import Tensor
from torch.nn import functional as F

Box = tuple[float, float, float, float]
Place = tuple[int, int, float, float]  # level, stride, x, y


def places(sizes: list[tuple[int, int]], strides: list[int]) -> list[Place]:
    """All locations, level after level, row after row."""
    return [
        (level, stride, column * stride + stride // 2, row * stride + stride // 2)
        for level, ((height, width), stride) in enumerate(zip(sizes, strides, strict=True))
        for row in range(height)
        for column in range(width)
    ]


def assigned(boxes: list[Box], locations: list[Place], ranges: list[float]) -> list[int]:
    """The box that each location learns, -1 for none."""
    limits = [0.0, *ranges, math.inf]
    result = []
    for level, stride, x, y in locations:
        best, best_area = -1, math.inf
        for index, (x0, y0, x1, y1) in enumerate(boxes):
            middle_x, middle_y, reach = (x0 + x1) / 2, (y0 + y1) / 2, 1.5 * stride
            inside = max(x0, middle_x - reach) < x < min(x1, middle_x + reach)
            inside = inside and max(y0, middle_y - reach) < y < min(y1, middle_y + reach)
            farthest = max(x - x0, y - y0, x1 - x, y1 - y)
            area = (x1 - x0) * (y1 - y0)
            if inside and limits[level] <= farthest <= limits[level + 1] and area < best_area:
                best, best_area = index, area
        result.append(best)
    return result


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bce(logit: float, target: float) -> float:
    return -target * math.log(sigmoid(logit)) - (1 - target) * math.log(1 - sigmoid(logit))


def giou(mine: list[float], theirs: list[float]) -> float:
    """Of two boxes by the distances from one location; 1 is added to intersection and union of the IoU."""
    a, b = ([-left, -top, right, bottom] for left, top, right, bottom in (mine, theirs))
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = sum(areas) - width * height
    return (width * height + 1) / (union + 1) - (hull - union) / hull


def losses(
    logits: list[list[float]],
    distances: list[list[float]],
    centre: list[float],
    objects: list[tuple[int, Box] | None],
    locations: list[Place],
) -> list[float]:
    """Of categories, boxes and centerness; `objects`: category and box of the object that each location learns."""
    focal = boxes = centred = weights = 0.0
    for row, wanted in zip(logits, objects, strict=True):
        for category, logit in enumerate(row):
            p = sigmoid(logit)
            right, alpha = (p, 0.25) if wanted and wanted[0] == category else (1 - p, 0.75)
            focal -= alpha * (1 - right) ** 2 * math.log(right)
    for mine, logit, wanted, (_, stride, x, y) in zip(distances, centre, objects, locations, strict=True):
        if wanted:
            x0, y0, x1, y1 = wanted[1]
            left, top, right, bottom = target = [d / stride for d in (x - x0, y - y0, x1 - x, y1 - y)]
            ratio = min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)
            weights += math.sqrt(ratio)
            boxes += math.sqrt(ratio) * (1 - giou(mine, target))
            centred += bce(logit, math.sqrt(ratio))
    count = max(1, sum(wanted is not None for wanted in objects))
    return [focal / count, 1.25 * boxes / weights if weights else 0.0, centred / count]


def head(state: dict[str, Tensor], features: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Logits, distances in strides and centerness of each level, (C, H, W) float64, of one picture."""
    w = {name: tensor.double() for name, tensor in state.items()}

    def convolution(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    def tower(name: str, x: Tensor) -> Tensor:
        for index in (0, 3, 6, 9):
            x = convolution(f"{name}.{index}", x)
            groups = x.reshape(32, -1)
            mean, variance = groups.mean(1, keepdim=True), groups.var(1, keepdim=True, unbiased=False)
            x = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
            scale, shift = (w[f"{name}.{index + 1}.{part}"][:, None, None] for part in ("weight", "bias"))
            x = (scale * x + shift).clamp(min=0)
        return x

    outputs = []
    for level, feature in enumerate(features):
        classes, boxes = tower("cls_tower", feature.double()), tower("bbox_tower", feature.double())
        distances = (w[f"scales.{level}"] * convolution("bbox_pred", boxes)).clamp(min=0)
        outputs.append((convolution("cls_logits", classes), distances, convolution("centerness", boxes)))
    return outputs


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared)


def detections(
    outputs: list[tuple[Tensor, Tensor, Tensor]],
    strides: list[int],
    threshold: float,
    candidates: int,
    nms: float,
    most: int,
) -> tuple[list[dict], int]:
    """Box, score, category, level and location of each detection, best first; and how many NMS chose from."""
    found: list[dict] = []
    for level, ((logits, distances, centre), stride) in enumerate(zip(outputs, strides, strict=True)):
        of_level = []
        classes, height, width = logits.shape
        for place, (_, _, x, y) in enumerate(places([(height, width)], [stride])):
            row, column = divmod(place, width)
            left, top, right, bottom = (stride * d for d in distances[:, row, column].tolist())
            for category in range(classes):
                p = sigmoid(float(logits[category, row, column]))
                if p > threshold:
                    score = math.sqrt(p * sigmoid(float(centre[0, row, column])))
                    box = [x - left, y - top, x + right, y + bottom]
                    of_level.append({"box": box, "score": score, "class": category, "level": level, "place": place})
        found += sorted(of_level, key=lambda one: -one["score"])[:candidates]
    kept: list[dict] = []
    for one in sorted(found, key=lambda one: -one["score"]):
        rivals = [other for other in kept if other["class"] == one["class"]]
        if all(overlap(one["box"], other["box"]) <= nms for other in rivals):
            kept.append(one)
    return kept[:most], len(found)
