"""FCOS: targets, losses, head, detections and their masks against slow loops in float64."""

from typing import Any

import fcos_reference as slow
import pytest
import torch
from detectron2.structures import Boxes, Instances
from fcos_factory import LEVELS, PREDICT, RANGES, STRIDES, item, model, restless
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import roi_align

from bcnet.models.backbones import pyramid_from_p3
from bcnet.models.detectors.fcos import FCOS
from bcnet.models.detectors.fcos_detections import decode
from bcnet.models.detectors.fcos_edition import FcosEdition
from bcnet.models.detectors.fcos_head import FCOSHead, LevelOutput
from bcnet.models.detectors.fcos_targets import assign, centerness, distances_to, fcos_losses, locate
from bcnet.params.models import FcosPredict


def all_places() -> Any:
    spans = zip((0.0, *RANGES), (*RANGES, torch.inf), strict=True)
    return locate(LEVELS, STRIDES, list(spans), torch.device("cpu"))


def test_locations_are_where_the_cells_are() -> None:
    fast, reference = all_places(), slow.places(LEVELS, STRIDES)
    assert fast.counts == [192, 48, 12, 4, 1]
    assert fast.points.tolist() == [[x, y] for _, _, x, y in reference]
    assert fast.strides[:, 0].tolist() == [stride for _, stride, _, _ in reference]
    assert fast.points[:2].tolist() == [[4, 4], [12, 4]]


eighths = st.integers(0, 1000).map(lambda n: n / 8)  # exact in float32, and often on a limit
box = st.tuples(eighths, eighths, eighths, eighths).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
)


@given(st.lists(box, max_size=6))
@settings(max_examples=60)
def test_each_location_learns_the_box_that_the_rule_says(boxes: list[slow.Box]) -> None:
    fast = assign(torch.tensor(boxes).reshape(-1, 4), all_places())
    expected = slow.assigned(boxes, slow.places(LEVELS, STRIDES), list(RANGES))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes] + [-1.0]
    if len(set(areas)) == len(areas):
        assert fast.tolist() == expected
    else:  # of two of one size either will do
        assert [areas[i] for i in fast.tolist()] == [areas[i] for i in expected]


def test_limits_of_the_rule() -> None:
    places = all_places()
    points = places.points.split(places.counts)

    def learnt(boxes: list[list[float]], level: int, index: int = 0) -> list[list[float]]:
        chosen = assign(torch.tensor(boxes), places).split(places.counts)[level]
        return points[level][chosen == index].tolist()

    # half sides of 32: the limit between the first two levels, which learn it both
    assert learnt([[4.0, 4, 68, 68]], 0) == [[36, 36]]
    assert learnt([[3.9, 4, 68.1, 68]], 0) == []
    assert [40, 40] in learnt([[8.0, 8, 72, 72]], 1)
    assert [40, 40] not in learnt([[8.1, 8.1, 71.9, 71.9]], 1)
    # 12 pixels from the centre: the end of the first level's region, which is no longer in it
    assert learnt([[12.0, 12, 52, 52]], 0) == [[28, 28], [36, 28], [28, 36], [36, 36]]
    assert learnt([[12.2, 12, 52.2, 52]], 0) == [[28, 28], [36, 28], [44, 28], [28, 36], [36, 36], [44, 36]]
    assert learnt([[0.0, 0, 40, 40], [14, 14, 26, 26]], 0, index=1) == [[20, 20]]  # the smaller of the two


def test_centerness_is_one_at_the_centre_and_falls_towards_the_sides() -> None:
    found = centerness(torch.tensor([[5.0, 2, 5, 2], [1, 3, 4, 3], [1, 1, 4, 4]]))
    assert found.tolist() == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize("objects", [4, 1, 0])
def test_losses(objects: int) -> None:
    """Of random outputs for two pictures, one of which may have no object; float64, so that only the formula counts."""
    generator = torch.Generator().manual_seed(objects)
    head = model().proposal_generator
    places, locations = all_places(), slow.places(LEVELS, STRIDES)
    batch = [item(5, objects=objects)["instances"], item(6, objects=0)["instances"]]
    m = 2 * len(locations)
    logits, distances = (torch.randn(m, n, generator=generator, dtype=torch.float64) for n in (3, 4))
    centre = torch.randn(m, generator=generator, dtype=torch.float64)
    distances = (3 * distances).abs()
    wanted: list[Any] = []
    for target in batch:
        boxes = [tuple(b) for b in target.gt_boxes.tensor.tolist()]
        indices = slow.assigned(boxes, locations, list(RANGES))
        wanted += [(int(target.gt_classes[i]), boxes[i]) if i >= 0 else None for i in indices]
    assert sum(one is not None for one in wanted) >= objects
    expected = slow.losses(logits.tolist(), distances.tolist(), centre.tolist(), wanted, locations * 2)

    classes = torch.tensor([one[0] if one else -1 for one in wanted])
    boxes = torch.tensor([one[1] if one else (0.0,) * 4 for one in wanted], dtype=torch.float64)
    targets = distances_to(boxes, places.points.repeat(2, 1)) / places.strides.repeat(2, 1)
    found = fcos_losses(logits, distances, centre, classes, targets)
    assert [float(loss) for loss in found.values()] == pytest.approx(expected, rel=1e-5, abs=1e-12)

    maps = []  # the same through the module, which makes the targets itself, from maps
    for part in (logits, distances, centre[:, None]):
        levels = part.reshape(2, len(locations), -1).split(places.counts, dim=1)
        maps.append([each.transpose(1, 2).reshape(2, -1, *size) for each, size in zip(levels, LEVELS, strict=True)])
    outputs = [LevelOutput(*level, None) for level in zip(*maps, strict=True)]
    found = head.losses(outputs, places, batch, head.learned(places, batch))
    assert [float(loss) for loss in found.values()] == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_the_upper_levels_come_from_p5() -> None:
    pyramid = pyramid_from_p3("efficientnet_lite0", 32, 2).eval()
    assert pyramid.size_divisibility == 32
    with torch.no_grad():
        levels = pyramid(torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)))
    assert list(levels) == ["p3", "p4", "p5", "p6", "p7"]
    weights = pyramid.state_dict()
    p6, p7 = ((weights[f"top_block.{name}.weight"], weights[f"top_block.{name}.bias"]) for name in ("p6", "p7"))
    torch.testing.assert_close(levels["p6"], F.conv2d(levels["p5"], *p6, stride=2, padding=1))
    assert float(levels["p6"].min()) < 0  # no ReLU but before P7
    torch.testing.assert_close(levels["p7"], F.conv2d(levels["p6"].clamp(min=0), *p7, stride=2, padding=1))


def test_a_fresh_head_starts_as_released() -> None:
    torch.manual_seed(0)
    head = FCOSHead(64, 5, 5)
    assert head.cls_logits.bias.tolist() == pytest.approx([-4.59512] * 5)  # a probability of 0.01
    convolutions = [module for module in head.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 11
    assert all(float(c.weight.detach().std()) == pytest.approx(0.01, rel=0.1) for c in convolutions)
    assert [scale.tolist() for scale in head.scales] == [[1]] * 5


@pytest.mark.parametrize(
    "limits",
    [
        {"fcos": FcosPredict()},
        {"fcos": FcosPredict(score_threshold=0.08, nms=0.3, candidates=9), "detections": 12},
        {"fcos": FcosPredict(score_threshold=0.1, nms=0.3)},
        {"fcos": FcosPredict(score_threshold=0.999)},
    ],
)
def test_whole_inference(limits: dict[str, Any]) -> None:
    """A picture of an odd size, boxes beyond its edge included: features by the backbone, all else by loops."""
    predict = PREDICT.model_copy(update=limits)
    detector = restless(model(predict=predict)).double()
    picture = item(2)["image"]
    with torch.no_grad():
        (found,) = detector.inference([{"image": picture}], do_postprocess=False)
        features = detector.backbone(detector.preprocess_image([{"image": picture}]).tensor)
    assert [tuple(level.shape[-2:]) for level in features.values()] == LEVELS  # padded to a multiple of 32 only
    outputs = slow.head(detector.proposal_generator.head.state_dict(), [level[0] for level in features.values()])
    fcos = predict.fcos
    expected, candidates = slow.detections(
        outputs, STRIDES, fcos.score_threshold, fcos.candidates, fcos.nms, predict.detections
    )
    assert len(expected) < candidates or fcos.score_threshold == 0.999
    assert (len(expected) == 0) == (fcos.score_threshold == 0.999)
    assert found.image_size == (90, 121)
    assert found.pred_classes.tolist() == [one["class"] for one in expected]
    assert found.levels.tolist() == [one["level"] for one in expected]
    assert found.locations.tolist() == [one["place"] for one in expected]
    assert found.scores.tolist() == pytest.approx([one["score"] for one in expected], rel=1e-6)
    reference = torch.tensor([one["box"] for one in expected]).reshape(-1, 4)
    torch.testing.assert_close(found.pred_boxes.tensor, reference, rtol=1e-6, atol=1e-5)
    assert found.pred_masks.shape == (len(expected), 1, 28, 28)
    if fcos.score_threshold == 0.1:  # which is the category's probability, not the score
        assert len(expected) < predict.detections
        assert float(found.scores.square().min()) < 0.1
    if len(expected):
        assert len({one["level"] for one in expected}) >= 2
        assert float(reference.min()) < 0


@pytest.mark.parametrize("method", ["bcnet", "mask_rcnn"])
def test_masks_of_given_boxes(method: str) -> None:
    """RoIs are pooled from the level of their size, 224 pixels from P4, and the predicted category's mask is taken."""
    detector = model(method).eval()
    heads = detector.roi_heads
    generator = torch.Generator().manual_seed(3)
    features = {f"p{n}": torch.randn(2, 32, 2048 >> n, 2048 >> n, generator=generator) for n in range(3, 8)}
    sides = [[20, 220, 230, 440], [450, 890, 900, 1800]]  # 224 · 2ⁿ from P(4 + n) on
    levels = [[3, 3, 4, 4], [5, 5, 6, 7]]
    given_boxes = []
    for row in sides:
        boxes = torch.tensor([[1.5, 2.5, 1.5 + side, 2.5 + side] for side in row])
        given_boxes.append(Instances((2048, 2048), pred_boxes=Boxes(boxes), pred_classes=torch.tensor([2, 0, 1, 2])))
    heads.mask_on = False
    assert not heads(None, features, given_boxes)[0][0].has("pred_masks")
    heads.mask_on = True
    with torch.no_grad():
        found = heads.forward_with_given_boxes(features, given_boxes)
        for picture, (of_picture, row) in enumerate(zip(found, levels, strict=True)):
            for index, number in enumerate(row):
                roi = of_picture.pred_boxes.tensor[index : index + 1]
                level = features[f"p{number}"][picture : picture + 1]
                pooled = roi_align(level, [roi], 14, 1 / 2**number, sampling_ratio=-1, aligned=True)
                if method == "bcnet":
                    mask = heads.mask_head.head(pooled)["target_mask"][0, 0]
                else:
                    mask = heads.mask_head.layers(pooled)[0, int(of_picture.pred_classes[index])]
                torch.testing.assert_close(of_picture.pred_masks[index, 0], mask.sigmoid(), msg=f"{picture}, {index}")


def test_the_threshold_may_be_on_the_score() -> None:
    """Then no detection's probability · centerness is below it, and nothing else is lost (AdelaiDet)."""
    detector = restless(model())
    features = detector.backbone(detector.preprocess_image([item(2)]).tensor)
    outputs, places = detector.proposal_generator.predict(features)
    settings = FcosPredict(score_threshold=0.1, nms=1.0, candidates=10**6)
    editions = [FcosEdition(threshold_on_score=on_score) for on_score in (False, True)]
    found = [decode(outputs, places, 0, (90, 121), settings, 10**6, edition) for edition in editions]
    kept = found[0].scores.square() > 0.1
    assert 0 < len(found[1]) == int(kept.sum()) < len(found[0])
    assert torch.equal(found[1].scores, found[0].scores[kept])
    assert torch.equal(found[1].pred_boxes.tensor, found[0].pred_boxes.tensor[kept])


def test_a_level_may_have_no_scale_and_boxes_another_weight() -> None:
    torch.manual_seed(0)
    plain = FCOS(
        32, 3, dict(zip("abcde", STRIDES, strict=True)), RANGES, FcosPredict(), 100, edition=FcosEdition(False, 2.5)
    )
    scaled = FCOS(32, 3, dict(zip("abcde", STRIDES, strict=True)), RANGES, FcosPredict(), 100)
    assert not [name for name, _ in plain.named_parameters() if "scale" in name]
    scaled.load_state_dict(plain.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(1)
    features = {
        name: torch.randn(1, 32, *size, generator=generator) for name, size in zip("abcde", LEVELS, strict=True)
    }
    targets = [item(5)["instances"]]
    found = []
    for fcos in (plain, scaled):
        outputs, places = fcos.predict(features)
        found.append(fcos.losses(outputs, places, targets, fcos.learned(places, targets)))
    boxes = [float(losses["loss_fcos_box"].detach()) for losses in found]
    assert boxes[0] == pytest.approx(2 * boxes[1], rel=1e-6)
    assert all(torch.equal(found[0][name], found[1][name]) for name in ("loss_fcos_cls", "loss_fcos_centerness"))


def test_locations_may_learn_an_object_around_another_centre_than_its_boxs() -> None:
    """Within its box all the same."""
    places = all_places()
    boxes = torch.tensor([[12.0, 12, 52, 52]])
    found = assign(boxes, places, torch.tensor([[16.0, 28.0]])).split(places.counts)[0]
    points = places.points.split(places.counts)[0]
    assert points[found == 0].tolist() == [[20, 20], [20, 28], [20, 36]]
