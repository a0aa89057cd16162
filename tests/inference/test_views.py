"""Test-time augmentation: views of a picture, and their detections merged."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from model_factory import SIZES, build, pasted
from torch import Tensor, nn

from bcnet.data.masks.encoded_masks import EncodedMasks
from bcnet.data.masks.segmentation import encode
from bcnet.inference.detect import Detections, detect
from bcnet.inference.views import views_of
from bcnet.models.model_input import picture_tensor
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.params import methods
from bcnet.params.models import FcosPredict, Predict
from bcnet.weights.model_file import ModelFile

FCOS = FcosPredict(nms=0.2)  # far from the other, so that they cannot be mistaken
PLAIN = Predict(short_side=64, max_side=96, score_threshold=0.3, nms=0.5, detections=20, fcos=FCOS)
SEVERAL = PLAIN.model_copy(update={"flip": True, "extra_short_sides": (48, 80)})
PICTURE = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)


def seen_in(model: ModelFile, picture: np.ndarray, predict: Predict) -> Detections:
    """The detections with other views, and another number of them."""
    model.module.detections = predict.detections
    return detect(replace(model, predict=predict), picture)


def model_of(method: str = "bcnet", detector: str = "faster_rcnn") -> ModelFile:
    """An untrained model whose scores and masks are not all alike."""
    torch.manual_seed(0)
    variant = {"detector": detector, "backbone": "efficientnet_lite0", "method": method}
    sizes = SIZES.model_copy(update={"fpn_channels": 64 if detector == "fcos" else 32})  # GroupNorm needs more than 32
    model = build(methods.variant(**variant), sizes, PLAIN, 3).eval()
    head = model.roi_heads.mask_head
    last = head.head.predictors["target_mask"].predict if method == "bcnet" else head.predictor
    nn.init.normal_(last.weight, std=3)
    if detector == "fcos":
        nn.init.normal_(model.proposal_generator.head.cls_logits.weight, std=0.5)
        nn.init.constant_(model.proposal_generator.head.bbox_pred.bias, 1.5)  # strides: boxes that overlap
    else:
        nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
    return ModelFile(model, methods.variant(**variant), PLAIN, [], {})


def test_views() -> None:
    views = views_of(PICTURE, SEVERAL, "RGB")
    sizes = [(3, 64, 90), (3, 48, 67), (3, 80, 112)]
    assert [tuple(view.image.shape) for view in views] == [size for size in sizes for _ in range(2)]
    assert [view.flipped for view in views] == [False, True] * 3
    assert all(torch.equal(views[i].image.flip(2), views[i + 1].image) for i in (0, 2, 4))
    assert torch.equal(views[2].image, picture_tensor(PICTURE, (48, 67), "RGB"))


def test_the_long_sides_limit_grows_with_the_short_side() -> None:
    wide = np.zeros((20, 100, 3), np.uint8)
    larger = PLAIN.model_copy(update={"extra_short_sides": (128,)})
    sizes = [tuple(view.image.shape[1:]) for view in views_of(wide, larger, "RGB")]
    assert sizes == [(19, 96), (38, 192)]


def iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common)


def reference(
    model: ModelFile, height: int, width: int, nms: float
) -> tuple[list[tuple[float, int, list[float]]], np.ndarray]:
    """Detections (score, class, box) and their mean maps, in the order of the scores: loops in float64."""
    views = []
    for side in (64, 48, 80):
        scale = min(side / height, 1.5 * side / width)
        for flipped in (False, True):
            image = picture_tensor(PICTURE, (int(height * scale + 0.5), int(width * scale + 0.5)), "RGB")
            views.append((torch.flip(image, [2]) if flipped else image, flipped))
    found = []
    for image, flipped in views:
        (seen,) = model.module.inference([{"image": image}], do_postprocess=False)
        high, wide = image.shape[1:]
        for score, label, box in zip(seen.scores, seen.pred_classes, seen.pred_boxes.tensor.tolist(), strict=True):
            left, top, right, bottom = box
            if flipped:
                left, right = wide - right, wide - left
            back = [left / wide * width, top / high * height, right / wide * width, bottom / high * height]
            found.append((float(score), int(label), back))
    kept: list[tuple[float, int, list[float]]] = []
    for one in sorted(found, key=lambda each: -each[0]):
        if all(other[1] != one[1] or iou(one[2], other[2]) <= nms for other in kept):
            kept.append(one)
    kept = kept[:20]
    maps = np.zeros((len(kept), 28, 28))
    for image, flipped in views:
        high, wide = image.shape[1:]
        for place, (_, label, box) in enumerate(kept):
            left, right = box[0] / width * wide, box[2] / width * wide
            if flipped:
                left, right = wide - right, wide - left
            there = [left, box[1] / height * high, right, box[3] / height * high]
            maps[place] += given_map(model.module, image, there, label, flipped) / len(views)
    return kept, maps


def given_map(module: Any, image: Tensor, box: list[float], label: int, flipped: bool) -> np.ndarray:
    """The target map of one box."""
    given = Instances(image.shape[1:], pred_boxes=Boxes(torch.tensor([box])), pred_classes=torch.tensor([label]))
    (seen,) = module.inference([{"image": image}], [given], do_postprocess=False)
    rows = seen.pred_masks[0, 0].tolist()
    return np.array([row[::-1] if flipped else row for row in rows])


@pytest.mark.parametrize(
    ("method", "detector", "nms"),
    [("mask_rcnn", "faster_rcnn", 0.5), ("bcnet", "faster_rcnn", 0.5), ("bcnet", "fcos", 0.2)],
)
def test_against_loops(method: str, detector: str, nms: float) -> None:
    model = model_of(method, detector)
    with torch.inference_mode():
        expected, maps = reference(model, *PICTURE.shape[:2], nms)
    assert len(expected) > 10
    assert len({label for _, label, _ in expected}) > 1
    boxes = np.clip([box for _, _, box in expected], 0, [70, 50, 70, 50])
    seen = (boxes[:, 2:] > boxes[:, :2]).all(1)  # FCOS's boxes may lie outside the picture
    maps, boxes, expected = maps[seen], boxes[seen], [one for one, inside in zip(expected, seen, strict=True) if inside]
    found = seen_in(model, PICTURE, SEVERAL)
    assert found.classes == [label for _, label, _ in expected]
    assert found.scores == pytest.approx([score for score, _, _ in expected], abs=1e-6)
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)
    np.testing.assert_allclose(found.maps["target_mask"], maps, atol=1e-3)
    assert abs(maps - 0.5).mean() > 0.1
    for box, mask, probabilities in zip(found.boxes, found.masks, maps, strict=True):
        shares = pasted(probabilities, box, *PICTURE.shape[:2])
        assert (mask == (shares >= 0.5))[abs(shares - 0.5) > 2e-3].all()


def test_one_view_twice_is_that_view() -> None:
    model = model_of()
    alone = seen_in(model, PICTURE, PLAIN)
    (view,) = views_of(PICTURE, PLAIN, "RGB")
    with torch.inference_mode():
        twice = model.module.detect([view, view], (50, 70))
    assert len(alone.scores) > 3
    assert twice.classes.tolist() == alone.classes
    assert twice.scores.tolist() == alone.scores
    np.testing.assert_allclose(twice.boxes, alone.boxes, atol=1e-4)
    for name, maps in alone.maps.items():
        np.testing.assert_allclose(twice.maps[name][:, 0], maps, atol=1e-3)


def mirrored(found: Detections) -> Detections:
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = 70 - found.boxes[:, [2, 0]]
    maps = {name: each[:, :, ::-1] for name, each in found.maps.items()}
    masks = EncodedMasks([encode(mask[:, ::-1]) for mask in found.masks], found.masks.size)
    return Detections(found.classes, found.scores, boxes, masks, maps)


def test_with_flips_a_mirrored_picture_has_mirrored_detections() -> None:
    """In its own size, so that resizing changes nothing; without flips, an untrained model knows no such symmetry."""
    model = model_of()
    own = PLAIN.model_copy(update={"short_side": 50})
    mirror = np.ascontiguousarray(PICTURE[:, ::-1])
    both = own.model_copy(update={"flip": True})
    found, other = seen_in(model, PICTURE, both), mirrored(seen_in(model, mirror, both))
    assert found.scores == pytest.approx(other.scores, abs=1e-6)
    np.testing.assert_allclose(found.boxes, other.boxes, atol=1e-3)
    np.testing.assert_allclose(found.maps["target_mask"], other.maps["target_mask"], atol=2e-3)
    assert (np.asarray(found.masks) != np.asarray(other.masks)).mean() < 0.002
    one, another = seen_in(model, PICTURE, own), mirrored(seen_in(model, mirror, own))
    assert one.scores != pytest.approx(another.scores, abs=1e-3)


def test_more_views_never_lower_the_best_score() -> None:
    model = model_of()
    flipped = PLAIN.model_copy(update={"flip": True})
    best = [seen_in(model, PICTURE, predict).scores[0] for predict in (PLAIN, flipped, SEVERAL)]
    assert best == sorted(best)
    assert len(seen_in(model, PICTURE, SEVERAL.model_copy(update={"detections": 3})).scores) == 3


class Fine(nn.Module):
    """A mask head of another resolution, as PointRend's, that draws how far to the right a cell is."""

    runs = 0

    def forward(self, features: Tensor, instances: list[Instances]) -> list[Instances]:
        self.runs += 1
        for found in instances:
            found.pred_masks = torch.linspace(0, 1, 56).expand(len(found), 1, 56, 56).clone()
        return instances


@pytest.mark.parametrize("detector", ["faster_rcnn", "fcos"])
def test_maps_of_any_resolution_are_averaged(detector: str) -> None:
    model, head = model_of(detector=detector), Fine()
    model.module.roi_heads.mask_head = head
    flat = seen_in(model, PICTURE, PLAIN.model_copy(update={"flip": True})).maps["target_mask"]
    assert len(flat) > 3
    assert flat.shape[1:] == (56, 56)
    np.testing.assert_allclose(flat, 0.5, atol=1e-6)  # half from the left, half from the right
    assert head.runs == 2  # once for each view, not for the boxes
    seen_in(model, PICTURE, PLAIN)
    assert head.runs == 3


def test_no_detection_in_any_view() -> None:
    model = model_of()
    model.module.roi_heads.box_predictor.test_score_thresh = 1.0
    found = seen_in(model, PICTURE, SEVERAL)
    assert (found.scores, found.boxes.shape, found.masks) == ([], (0, 4), EncodedMasks([], (50, 70)))


def test_one_view_takes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RoISegmenter, "_merged", None)
    seen_in(model_of(), PICTURE, PLAIN)
    with pytest.raises(TypeError):
        seen_in(model_of(), PICTURE, SEVERAL)
