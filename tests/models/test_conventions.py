"""Conventions of older code bases: what they differ in from detectron2's, each against a reference of its own."""

import numpy as np
import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, ImageList, Instances
from model_factory import PREDICT, SIZES
from torchvision.ops import roi_align

from bcnet import methods
from bcnet.models.backbones import pyramid
from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, PANET, Conventions
from bcnet.models.detections import WholePixelMaps
from bcnet.models.detectors.faster_rcnn import BoxPredictor
from bcnet.models.segmenter import Spec
from bcnet.params.methods import variant

STRIDES = [4, 8, 16, 32]


def test_detectron2s_leave_everything_as_it_is() -> None:
    boxes = torch.tensor([[-3.0, 5, 20, 9], [70, 1, 90, 4]])
    assert DETECTRON2.clipped(boxes, (40, 60)) is boxes
    assert DETECTRON2.iou_limit(0.7) == 0.7
    scaled = Boxes(boxes.clone())
    scaled.scale(0.7, 1.3)
    assert torch.equal(DETECTRON2.scaled(Boxes(boxes), 0.7, 1.3).tensor, scaled.tensor)
    anchors = DETECTRON2.anchors([32, 64], [0.5, 1, 2], [4, 8])
    assert type(anchors) is DefaultAnchorGenerator


def test_anchors_have_the_numbers_of_the_older_code() -> None:
    """Those of its files for stride 4, whose right and bottom are the last pixel."""
    made = MASKRCNN_BENCHMARK.anchors([32, 64, 128, 256, 512], [0.5, 1.0, 2.0], [4, 8, 16, 32, 64])
    first = next(made.buffers()) - torch.tensor([0.0, 0, 1, 1])
    assert first.tolist() == [[-22, -10, 25, 13], [-14, -14, 17, 17], [-10, -22, 13, 25]]
    grid = made([torch.zeros(1, 1, 2, 3)] * 5)[0].tensor
    assert (grid[3:6] - grid[:3]).tolist() == [[4, 0, 4, 0]] * 3


def test_rois_are_sampled_between_the_first_and_the_last_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(1, 3, 256 // stride, 256 // stride, generator=generator) for stride in STRIDES]
    # of 112 pixels from P3 on, counted with the last one
    boxes = torch.tensor([[10.0, 20, 40, 60], [3, 5, 114, 116], [3, 5, 115, 117], [3, 5, 3.5, 5.5]])
    found = MASKRCNN_BENCHMARK.pooler(7, STRIDES)(levels, [Boxes(boxes)])
    for roi, box, level in zip(found, boxes - torch.tensor([0.0, 0, 1, 1]), [0, 0, 1, 0], strict=True):
        expected = roi_align(levels[level], [box[None]], 7, 1 / STRIDES[level], sampling_ratio=2, aligned=False)
        torch.testing.assert_close(roi, expected[0])


def test_boxes_beyond_the_picture_keep_a_pixel() -> None:
    boxes = torch.tensor([[[-9.0, -9, -3, -2], [70, 50, 99, 80], [5, 6, 7, 8]]])
    expected = [[[0, 0, 1, 1], [59, 39, 60, 40], [5, 6, 7, 8]]]
    assert MASKRCNN_BENCHMARK.clipped(boxes, (40, 60)).tolist() == expected


def test_the_last_pixel_is_what_is_scaled() -> None:
    scaled = MASKRCNN_BENCHMARK.scaled(Boxes(torch.tensor([[10.0, 20, 31, 41]])), 0.5, 2.0).tensor
    assert scaled.tolist() == [[5, 40, 16, 81]]


def test_frozen_norms_have_no_epsilon() -> None:
    backbone = pyramid("resnet50", 32, 2)
    MASKRCNN_BENCHMARK.prepare(backbone)
    norms = [module for module in backbone.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(norms) == 53
    assert {norm.eps for norm in norms} == {0}


def slowly(probabilities: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map in its picture, pixel by pixel in float64; `box` ends at its last pixel."""
    side = len(probabilities) + 2
    around = np.pad(probabilities.astype(np.float64), 1)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * side / (side - 2)
    left, top, right, bottom = np.concatenate([centre - half, centre + half]).astype(int)
    across, down = max(right - left + 1, 1), max(bottom - top + 1, 1)
    out = np.zeros((height, width))
    for row in range(max(top, 0), min(bottom + 1, height)):
        for column in range(max(left, 0), min(right + 1, width)):
            y = min(max((row - top + 0.5) / down * side - 0.5, 0), side - 1)
            x = min(max((column - left + 0.5) / across * side - 0.5, 0), side - 1)
            i, j = min(int(y), side - 2), min(int(x), side - 2)
            rows, columns = np.array([i + 1 - y, y - i]), np.array([j + 1 - x, x - j])
            out[row, column] = rows @ around[i : i + 2, j : j + 2] @ columns
    return out


@pytest.mark.parametrize("side", [7, 28])
def test_maps_are_pasted_on_whole_pixels(side: int) -> None:
    random = np.random.default_rng(0)
    boxes = np.array(
        [[3.2, 4.9, 30.1, 20.7], [-20.0, -8, 12, 30], [35, 28, 80, 70], [5, 5, 5, 5], [-90, -90, -70, -70]]
    )
    maps = random.random((5, 1, side, side)).astype(np.float32)
    ours = torch.from_numpy(boxes + np.array([0, 0, 1, 1])).float()
    pasted = WholePixelMaps(torch.from_numpy(maps), ours).paste((40, 50)).numpy()
    for mask, probabilities, box in zip(pasted, maps[:, 0], boxes, strict=True):
        expected = slowly(probabilities, box, 40, 50)
        unsure = abs(expected - 0.5) < 1e-4
        assert (mask == (expected > 0.5))[~unsure].all()
    assert pasted[:3].any((1, 2)).all()
    assert not pasted[4].any()
    assert WholePixelMaps(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4)).paste((4, 5)).shape == (0, 4, 5)


@pytest.mark.parametrize(("conventions", "corner"), [(PANET, (96, 64)), (MASKRCNN_BENCHMARK, (70, 50))])
def test_proposals_are_cut_at_the_padding_or_at_the_picture(conventions: Conventions, corner: tuple[int, int]) -> None:
    """Of 50 x 70 pixels in 64 x 96; anchors as large as 512 pixels reach everywhere."""
    torch.manual_seed(0)
    chosen = variant(method="mask_rcnn", detector="faster_rcnn", backbone="efficientnet_lite0")
    model = methods.build(Spec(chosen, SIZES, PREDICT, 3, conventions)).eval()
    images = ImageList(torch.rand(1, 3, 64, 96), [(50, 70)])
    with torch.inference_mode():
        (proposals,), _ = model.get_submodule("proposal_generator")(images, model.backbone(images.tensor), None)
    assert proposals.image_size == (50, 70)
    assert proposals.proposal_boxes.tensor[:, 2:].amax(0).tolist() == list(corner)
    assert proposals.proposal_boxes.tensor[:, :2].amin(0).tolist() == [0, 0]


def detected_slowly(
    seen: np.ndarray, deltas: np.ndarray, scores: np.ndarray, scale: tuple[float, float], size: tuple[int, int]
) -> list[tuple[list[float], float, int]]:
    """Boxes in the pixels of the picture, one after the other, as Detectron has them: ending at their last pixel."""
    height, width = size
    chosen: list[tuple[list[float], float, int]] = []
    for category in range(scores.shape[1] - 1):
        kept: list[list[float]] = []
        for index in np.argsort(-scores[:, category], kind="stable"):
            left, top, right, bottom = seen[index] / np.array([*scale, *scale])
            x, y, w, h = deltas[index, 4 * category : 4 * category + 4] / np.array([10, 10, 5, 5])
            across, down = right - left + 1, bottom - top + 1
            centre = left + across / 2 + x * across, top + down / 2 + y * down
            half = across * np.exp(w) / 2, down * np.exp(h) / 2
            box = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0] - 1, centre[1] + half[1] - 1]
            box = [min(max(side, 0), limit - 1) for side, limit in zip(box, [width, height] * 2, strict=True)]
            if scores[index, category] > 0.05 and all(overlap(box, other) < 0.5 for other in kept):
                kept.append(box)
                chosen.append((box, scores[index, category], category))
    return chosen


def overlap(box: list[float], other: list[float]) -> float:
    """IoU of boxes that end at their last pixel."""

    def area(left: float, top: float, right: float, bottom: float) -> float:
        return max(right - left + 1, 0) * max(bottom - top + 1, 0)

    common = area(*np.maximum(box, other)[:2], *np.minimum(box, other)[2:])
    return common / (area(*box) + area(*other) - common)


def test_boxes_are_decoded_in_the_picture() -> None:
    """Of 60 proposals in a view of three times the size, where the pixel that is added weighs a third."""
    random = np.random.default_rng(0)
    size, view = (50, 60), (150, 186)
    scale = view[1] / size[1], view[0] / size[0]
    corners = random.uniform(0, 130, (60, 2))
    seen = np.concatenate([corners, corners + random.uniform(2, 40, (60, 2))], 1)
    deltas, logits = random.normal(size=(60, 8)), random.normal(size=(60, 3))
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predictor = BoxPredictor(
        PANET,
        ShapeSpec(channels=4),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=2,
        test_score_thresh=0.05,
        test_nms_thresh=PANET.iou_limit(0.5),
        test_topk_per_image=200,
    )
    last = np.array([0, 0, 1, 1])
    proposals = [Instances(view, proposal_boxes=Boxes(torch.from_numpy(seen + last).float()))]
    given = torch.from_numpy(logits).float(), torch.from_numpy(deltas).float()
    expected = detected_slowly(seen, deltas, scores, scale, size)
    predictor.picture = size
    (ours,), _ = predictor.inference(given, proposals)
    assert ours.image_size == view
    boxes = PANET.resized(ours.pred_boxes, view, size).tensor.numpy() - last
    assert 20 < len(expected) == len(ours)
    for box, score, category in expected:
        near = np.abs(boxes - box).max(1).argmin()
        assert np.abs(boxes[near] - box).max() < 1e-3
        assert ours.scores[near].item() == pytest.approx(score, rel=1e-5)
        assert ours.pred_classes[near] == category
    predictor.picture = None
    (elsewhere,), _ = predictor.inference(given, proposals)  # NMS keeps others where pixels are smaller
    moved = PANET.resized(elsewhere.pred_boxes, view, size).tensor.numpy() - last
    assert len(elsewhere) != len(ours) or np.abs(np.sort(moved, 0) - np.sort(boxes, 0)).max() > 0.01
