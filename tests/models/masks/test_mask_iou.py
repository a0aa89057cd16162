"""The head that scores masks is equal to slow references, and works on any mask head."""

from typing import Any

import numpy as np
import pytest
import torch
from conformance import EVERYTHING
from detectron2.structures import BitMasks, Boxes
from model_factory import PREDICT, SIZES, build, item
from slow_layers import convolve

from bcnet.inference.detect import detect
from bcnet.inference.predict import results
from bcnet.models.masks.mask_iou import MaskIoUHead, mask_iou_loss, mask_iou_targets, shares_inside
from bcnet.models.segmenter import Segmenter
from bcnet.params import methods
from bcnet.weights.model_file import ModelFile

# --- slow references


def test_the_score_of_a_mask_by_the_formulas() -> None:
    torch.manual_seed(0)
    head = MaskIoUHead(8, 16, 3).double().eval()
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(torch.rand_like(tensor) * 0.4 - 0.2)
    random = np.random.default_rng(0)
    features, masks = random.normal(size=(2, 8, 14, 14)), random.random((2, 1, 28, 28))
    found = head(torch.from_numpy(features), torch.from_numpy(masks)).detach().numpy()
    for index in range(2):
        pooled = np.zeros((1, 14, 14))
        for row in range(14):
            for column in range(14):
                pooled[0, row, column] = masks[index, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max()
        x = np.concatenate([features[index], pooled])
        for place in (0, 2, 4, 6):
            x = np.maximum(convolve(x, head.convolutions[place]), 0)
        assert x.shape == (8, 7, 7)
        x = x.ravel()
        for layer in (head.connected[0], head.connected[2], head.predict):
            x = layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()
            x = x if layer is head.predict else np.maximum(x, 0)
        np.testing.assert_allclose(found[index], x, atol=1e-12)


def test_targets_are_the_iou_with_the_whole_object() -> None:
    """Of a mask and an object of picture size that lies on the RoI's cells: their IoU, pixel by pixel."""
    random = np.random.default_rng(0)
    for _ in range(20):
        whole, predicted = random.random((60, 60)) < 0.5, np.zeros((60, 60), bool)
        x, y = random.integers(0, 32, 2)
        predicted[y : y + 28, x : x + 28] = random.random((28, 28)) < 0.4
        box = Boxes(torch.tensor([[x, y, x + 28, y + 28]], dtype=torch.float32))
        inside = shares_inside(BitMasks(torch.from_numpy(whole)[None]), box, (60, 60))
        cut = [torch.from_numpy(each[y : y + 28, x : x + 28])[None] for each in (predicted, whole)]
        expected = (predicted & whole).sum() / (predicted | whole).sum()
        assert mask_iou_targets(*cut, inside).item() == pytest.approx(expected, rel=1e-6)


def test_an_iou_of_nothing_with_nothing_is_zero() -> None:
    """A RoI beside its object, in which nothing is predicted."""
    nothing, something = torch.zeros(1, 28, 28, dtype=torch.bool), torch.ones(1, 28, 28, dtype=torch.bool)
    assert mask_iou_targets(nothing, nothing, torch.zeros(1)).tolist() == [0]
    assert mask_iou_targets(something, nothing, torch.zeros(1)).tolist() == [0]


def test_a_pixel_counts_by_its_part_inside_the_box() -> None:
    """By ten by ten points in each pixel, for corners at tenths."""
    random = np.random.default_rng(0)
    masks = random.random((8, 20, 30)) < 0.5
    masks[7] = False
    tenths = np.sort(random.integers(-50, [[[350], [250]]] * 8, size=(8, 2, 2)), axis=2)
    found = shares_inside(
        BitMasks(torch.from_numpy(masks)),
        Boxes(torch.from_numpy(tenths.transpose(0, 2, 1).reshape(8, 4).astype(np.float32) / 10)),
        (20, 30),
    )
    for mask, (x, y), share in zip(masks[:7], tenths[:7], found, strict=False):
        fine = mask.repeat(10, 0).repeat(10, 1)
        part = fine[max(y[0], 0) : max(y[1], 0), max(x[0], 0) : max(x[1], 0)].sum()
        assert share.item() == pytest.approx(part / fine.sum(), rel=1e-4, abs=1e-6)
    assert found[7].isnan()
    assert not shares_inside(BitMasks(torch.zeros(0, 20, 30)), Boxes(torch.zeros(0, 4)), (20, 30)).shape[0]


def test_rois_without_a_common_cell_or_an_area_are_left_out() -> None:
    predicted = torch.tensor([0.3, 0.9, 0.1], dtype=torch.float64, requires_grad=True)
    loss = mask_iou_loss(predicted, torch.tensor([0.5, 0.0, torch.nan], dtype=torch.float64))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 0.2**2)
    assert predicted.grad.tolist() == pytest.approx([-0.2, 0, 0])
    none = mask_iou_loss(predicted[1:], torch.tensor([0.0, torch.nan]))
    assert none.item() == 0
    none.backward()  # several processes need a gradient


# --- on any mask head


@pytest.mark.parametrize("detector", ["faster_rcnn", "fcos"])
@pytest.mark.parametrize("keys", [{"method": "mask_scoring_rcnn"}, {"method": "bcnet", "mask_iou": True}])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_are_chosen_before_masks_are_scored(keys: dict[str, Any], detector: str, flip: bool) -> None:
    """The same detections as without, in the order of the new scores; the boxes keep theirs. Also of two views."""
    predict = EVERYTHING.model_copy(update={"flip": flip})
    variant = methods.variant(detector=detector, backbone="efficientnet_lite0", **keys)
    torch.manual_seed(0)
    module: Segmenter = build(variant, SIZES, EVERYTHING, 3).eval()
    branch: Any = module.get_submodule("roi_heads.mask_head")
    torch.nn.init.normal_(branch.mask_iou.predict.weight, std=1)
    image = item()["image"].permute(1, 2, 0).numpy()
    model = ModelFile(module, variant, predict, [{"id": place + 1} for place in range(3)], {})
    scored, entries = detect(model, image), results(model, image, 7)
    branch.mask_iou = None
    plain = detect(model, image)
    assert len(scored.scores) == len(plain.scores) > 5
    assert {tuple(box) for box in scored.boxes.tolist()} == {tuple(box) for box in plain.boxes.tolist()}
    assert scored.scores == sorted(scored.scores, reverse=True)
    assert scored.scores != plain.scores
    assert plain.box_scores is None
    assert scored.box_scores is not None
    of_box = {(label, *box): score for label, score, box in zip(plain.classes, plain.scores, plain.boxes, strict=True)}
    assert scored.box_scores == [of_box[label, *box] for label, box in zip(scored.classes, scored.boxes, strict=True)]
    assert [entry["box_score"] for entry in entries] == [round(score, 6) for score in scored.box_scores]
    assert "box_score" not in results(model, image, 7)[0]


def test_the_loss_of_scores_reaches_masks_and_features() -> None:
    torch.manual_seed(0)
    variant = methods.variant(method="mask_scoring_rcnn", detector="faster_rcnn", backbone="efficientnet_lite0")
    model = build(variant, SIZES, PREDICT, 3).train()
    loss = model([item()])["loss_mask_iou"]
    weights = ["roi_heads.mask_head.head.predictor.predict.weight", "backbone.fpn_output2.weight"]
    gradients = torch.autograd.grad(loss, [model.get_parameter(name) for name in weights])
    assert all(gradient.abs().max() > 0 for gradient in gradients)
