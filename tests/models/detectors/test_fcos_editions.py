"""FCOS of other code bases: what `FcosEdition` and `Conventions` change, against loops in float64."""

import math
from typing import Any

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.structures import Boxes, Instances
from fcos_factory import LEVELS, PREDICT, RANGES, SIZES, STRIDES, item
from torch import Tensor, nn

from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, Conventions
from bcnet.models.detectors.fcos import FCOS, fcos
from bcnet.models.detectors.fcos_detections import decode
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_head import FCOSHead, LevelOutput
from bcnet.models.detectors.fcos_targets import giou_loss, locate
from bcnet.models.detectors.mask_roi_heads import training_rois
from bcnet.models.segmenter import Spec
from bcnet.params import methods
from bcnet.params.models import FcosPredict

SIZE = (90, 121)
PIXELS = FcosEdition(activation="exp", in_pixels=True, images_count=True, root=False, clipped=True)
PLACES = locate(LEVELS, STRIDES, list(zip((0.0, *RANGES), (*RANGES, math.inf), strict=True)), torch.device("cpu"))


def outputs_of(seed: int, scale: float, categories: int = 3) -> list[LevelOutput]:
    """Random ones of a picture, whose distances are around `scale` (of which a few are 0)."""
    generator = torch.Generator().manual_seed(seed)
    none = torch.empty(0)

    def maps(channels: int, size: tuple[int, int]) -> Tensor:
        return torch.randn(1, channels, *size, generator=generator)

    return [
        LevelOutput(maps(categories, size) - 1, (scale * (maps(4, size) + 1)).clamp(min=0), maps(1, size), none)
        for size in LEVELS
    ]


def slow_detections(
    outputs: list[LevelOutput], settings: FcosPredict, most: int, edition: FcosEdition, last: int
) -> list[dict[str, Any]]:
    """One location and category at a time; `last` is what a box's width is more than right less left."""
    height, width = SIZE
    candidates = []
    for level, (output, stride) in enumerate(zip(outputs, STRIDES, strict=True)):
        of_level, best = [], []
        rows, columns = output.logits.shape[-2:]
        for place in range(rows * columns):
            row, column = divmod(place, columns)
            probabilities = [1 / (1 + math.exp(-float(v))) for v in output.logits[0, :, row, column]]
            central = 1 / (1 + math.exp(-float(output.centerness[0, 0, row, column])))
            reach = [float(v) * (1 if edition.in_pixels else stride) for v in output.distances[0, :, row, column]]
            x, y = column * stride + stride // 2, row * stride + stride // 2
            box = [x - reach[0], y - reach[1], x + reach[2], y + reach[3]]
            if edition.clipped:
                box = [min(max(v, 0), s - last) for v, s in zip(box, (width, height) * 2, strict=True)]
            best.append((max(probabilities) * central, place))
            for category, probability in enumerate(probabilities):
                if probability > settings.score_threshold:
                    product = probability * central
                    of_level.append({"score": product, "class": category, "level": level, "place": place, "box": box})
        if edition.best_locations:
            kept = {place for _, place in sorted(best, reverse=True)[: settings.candidates]}
            candidates += [one for one in of_level if one["place"] in kept]
        else:
            candidates += sorted(of_level, key=lambda one: -one["score"])[: settings.candidates]

    def overlap(a: list[float], b: list[float]) -> float:
        def area(box: list[float]) -> float:
            return max(box[2] - box[0] + last, 0) * max(box[3] - box[1] + last, 0)

        common = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
        union = area(a) + area(b) - area(common)
        return area(common) / union if union else 0

    chosen: list[dict[str, Any]] = []
    for one in sorted(candidates, key=lambda one: -one["score"]):
        rivals = [other for other in chosen if other["class"] == one["class"]]
        if all(overlap(one["box"], other["box"]) <= settings.nms for other in rivals):
            chosen.append(one)
    return chosen[:most]


@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["exclusive", "last_pixel"])
@pytest.mark.parametrize(
    "edition",
    [PIXELS, FcosEdition(best_locations=True), FcosEdition(activation="none", clipped=True)],
    ids=["a", "b", "c"],
)
def test_detections(edition: FcosEdition, conventions: Conventions) -> None:
    outputs = outputs_of(1, 20 if edition.in_pixels else 1.5)
    settings = FcosPredict(score_threshold=0.2, nms=0.4, candidates=30)
    found = decode(outputs, PLACES, 0, SIZE, settings, 70, edition, conventions)
    last = int(conventions.last_pixel)
    expected = slow_detections(outputs, settings, 70, edition, last)
    assert len(expected) > 50
    assert found.pred_classes.tolist() == [one["class"] for one in expected]
    assert found.levels.tolist() == [one["level"] for one in expected]
    assert found.locations.tolist() == [one["place"] for one in expected]
    scores = [math.sqrt(one["score"]) if edition.root else one["score"] for one in expected]
    assert found.scores.tolist() == pytest.approx(scores, rel=1e-5)
    theirs = found.pred_boxes.tensor - torch.tensor([0, 0, last, last])
    torch.testing.assert_close(theirs, torch.tensor([one["box"] for one in expected]), rtol=1e-5, atol=1e-4)


def test_locations_may_be_what_is_chosen_before_nms() -> None:
    """Then a location that is kept stands for all of its categories."""
    outputs = outputs_of(2, 1.0)
    settings = FcosPredict(score_threshold=0.1, nms=1.0, candidates=4)
    pairs = decode(outputs, PLACES, 0, SIZE, settings, 999)
    locations = decode(outputs, PLACES, 0, SIZE, settings, 999, FcosEdition(best_locations=True))
    assert pairs.levels.bincount().tolist()[:4] == [4] * 4
    assert len(pairs) < len(locations)
    assert len(set(zip(locations.levels.tolist(), locations.locations.tolist(), strict=True))) == 4 * 4 + 1


@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["exclusive", "last_pixel"])
def test_losses_in_pixels(conventions: Conventions) -> None:
    """The categories' is divided by positive locations and pictures; the boxes' and its targets are in pixels."""
    targets = [item(5)["instances"], item(6, objects=0)["instances"]]
    detector = FCOS(
        32,
        3,
        dict(zip("abcde", STRIDES, strict=True)),
        RANGES,
        FcosPredict(),
        9,
        edition=PIXELS,
        conventions=conventions,
    )
    pictures = [outputs_of(seed, 20) for seed in (3, 4)]
    outputs = [
        LevelOutput(*(torch.cat(parts) for parts in list(zip(*levels, strict=False))[:4]))
        for levels in zip(*pictures, strict=True)
    ]
    learned = detector.learned(PLACES, targets)
    losses = {name: float(loss) for name, loss in detector.losses(outputs, PLACES, targets, learned).items()}

    last = int(conventions.last_pixel)
    focal = box = weights = entropy = positive = 0.0
    for picture, objects, levels in zip(targets, learned, pictures, strict=True):
        index = iter(objects.tolist())
        for output, stride in zip(levels, STRIDES, strict=True):
            rows, columns = output.logits.shape[-2:]
            for row, column in ((r, c) for r in range(rows) for c in range(columns)):
                chosen = next(index)
                category = int(picture.gt_classes[chosen]) if chosen >= 0 else -1
                for number, logit in enumerate(output.logits[0, :, row, column].tolist()):
                    p = 1 / (1 + math.exp(-logit))
                    focal -= 0.25 * (1 - p) ** 2 * math.log(p) if number == category else 0.75 * p**2 * math.log(1 - p)
                if chosen < 0:
                    continue
                x, y = column * stride + stride // 2, row * stride + stride // 2
                x0, y0, x1, y1 = picture.gt_boxes.tensor[chosen].tolist()
                left, top, right, low = x - x0, y - y0, x1 - last - x, y1 - last - y
                weight = math.sqrt(min(left, right) / max(left, right) * min(top, low) / max(top, low))
                predicted = output.distances[0, :, row, column].tolist()
                near, far = (
                    [pick(pair) for pair in zip((left, top, right, low), predicted, strict=True)] for pick in (min, max)
                )
                area = (near[0] + near[2]) * (near[1] + near[3])
                union = (
                    (left + right) * (top + low) + (predicted[0] + predicted[2]) * (predicted[1] + predicted[3]) - area
                )
                hull = (far[0] + far[2]) * (far[1] + far[3])
                box += weight * (1 - (area + 1) / (union + 1) + (hull - union) / hull)
                p = 1 / (1 + math.exp(-float(output.centerness[0, 0, row, column])))
                entropy -= weight * math.log(p) + (1 - weight) * math.log(1 - p)
                weights, positive = weights + weight, positive + 1
    assert positive > 5
    assert losses == pytest.approx(
        {
            "loss_fcos_cls": focal / (positive + 2),
            "loss_fcos_box": 1.25 * box / weights,
            "loss_fcos_centerness": entropy / positive,
        },
        rel=1e-5,
    )


def test_the_last_pixel_bounds_what_a_location_learns() -> None:
    """A location on it is at the border; but the smallest of several boxes is told by whole widths."""
    strides = dict(zip("abcde", STRIDES, strict=True))
    square, flat = [13.0, 13, 28, 28], [1.0, 18, 39, 24]  # 225 and 228 pixels; less a row and a column 196 and 185
    narrow = [52.0, 60, 61, 80]  # its last column is that of a location
    target = Instances(SIZE, gt_boxes=Boxes(torch.tensor([square, flat, narrow])))
    for conventions, inside in ((DETECTRON2, True), (MASKRCNN_BENCHMARK, False)):
        detector = FCOS(32, 3, strides, RANGES, FcosPredict(), 9, conventions=conventions)
        (learned,) = detector.learned(PLACES, [target])
        assert ([60, 68] in PLACES.points[learned == 2].tolist()) == inside
        assert [20, 20] in PLACES.points[learned == 0].tolist()


def test_a_box_loss_of_ones_own() -> None:
    targets = [item(5)["instances"]]
    outputs = outputs_of(3, 2)
    seen: list[tuple[Tensor, Tensor]] = []

    def noted(predicted: Tensor, target: Tensor) -> Tensor:
        seen.append((predicted, target))
        return torch.full_like(predicted[:, 0], 0.5)

    strides = dict(zip("abcde", STRIDES, strict=True))
    detector = FCOS(32, 3, strides, RANGES, FcosPredict(), 9, edition=FcosEdition(box_loss=noted, box_weight=3.0))
    losses = detector.losses(outputs, PLACES, targets, detector.learned(PLACES, targets))
    assert float(losses["loss_fcos_box"]) == pytest.approx(1.5)
    ((predicted, target),) = seen
    assert float(target.min()) > 0
    assert predicted.shape == target.shape


def test_the_hull_may_stand_alone() -> None:
    predicted, target = torch.tensor([[1.0, 1, 1, 1]]) * 1e-4, torch.tensor([[1.0, 1, 1, 1]]) * 2e-4
    found = [float(giou_loss(predicted, target, least)) for least in (1e-7, 0.0)]
    assert found[1] == pytest.approx(1 - (4e-8 + 1) / (16e-8 + 1), abs=1e-6)
    assert found[0] > found[1] + 0.3


def test_a_layer_of_ones_own_aligns_the_categories_with_the_boxes() -> None:
    """In the place of the tower's fourth; the top may be on what it makes."""

    class Align(nn.Module):
        def forward(self, features: Tensor, distances: Tensor) -> Tensor:
            return features + distances.sum(1, keepdim=True)

    torch.manual_seed(0)
    edition = FcosEdition(tower_bias=False, activation="none", top_tower="classes")
    head = FCOSHead(32, 3, 1, top=nn.Conv2d(32, 7, 1), edition=edition, align=Align())
    (output,) = head([torch.randn(1, 32, 5, 6, generator=torch.Generator().manual_seed(1))])
    assert [len(tower) // 3 for tower in (head.cls_tower, head.bbox_tower)] == [3, 4]
    assert all(layer.bias is None for layer in [*head.cls_tower, *head.bbox_tower] if isinstance(layer, nn.Conv2d))
    assert float(output.distances.detach().min()) < 0
    raw = head.cls_tower(torch.randn(1, 32, 5, 6, generator=torch.Generator().manual_seed(1)))
    aligned = raw + output.distances.sum(1, keepdim=True)
    torch.testing.assert_close(output.logits, head.cls_logits(aligned))
    torch.testing.assert_close(output.top, head.top(aligned))


@pytest.mark.parametrize("activation", ["relu", "exp", "none"])
def test_distances_are_what_the_edition_makes_of_scaled_numbers(activation: Any) -> None:
    torch.manual_seed(0)
    head = FCOSHead(32, 3, 1, edition=FcosEdition(activation=activation))
    nn.init.constant_(head.scales[0], 1.7)
    (output,) = head([torch.randn(1, 32, 4, 4)])
    scaled = 1.7 * head.bbox_pred(output.box_features)
    assert float(scaled.detach().min()) < 0 < float(scaled.detach().max())
    expected = {"relu": scaled.clamp(min=0), "exp": scaled.exp(), "none": scaled}[activation]
    torch.testing.assert_close(output.distances, expected)


def test_all_rois_may_train_the_mask_head() -> None:
    targets = item(0)["instances"]
    proposals = Instances(SIZE, pred_boxes=Boxes(targets.gt_boxes.tensor.repeat(4, 1)))
    assert len(training_rois(proposals, targets, 5)) == 5
    assert len(training_rois(proposals, targets, None)) == 15


def test_a_model_on_an_edition_and_conventions() -> None:
    variant = methods.variant(detector="fcos", backbone="resnet50", method="bcnet")
    edition = FcosEdition(draws_rois=False)
    model = fcos(Spec(variant, SIZES, PREDICT, 3, MASKRCNN_BENCHMARK), nn.Identity(), edition)
    assert {module.eps for module in model.modules() if isinstance(module, FrozenBatchNorm2d)} == {0}
    assert model.proposal_generator.edition is edition
    assert model.proposal_generator.conventions is MASKRCNN_BENCHMARK
    assert model.roi_heads.rois is None
