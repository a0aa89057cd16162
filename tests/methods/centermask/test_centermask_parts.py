"""CenterMask's parts against slow references, how it starts, trains and finds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from centermask_golden import LOSSES
from conformance import checks
from detectron2.structures import BitMasks, Boxes, Instances
from model_factory import PREDICT, SIZES, build, item
from slow_layers import convolve, predict
from torch import nn
from torchvision.ops import roi_align

from bcnet.methods.centermask import (
    OF_EDITION,
    MaskHead,
    first_share,
    outlined_share,
)
from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, Conventions
from bcnet.models.masks.adaptive_rois import AdaptiveRoIFeatures, levels_of
from bcnet.models.masks.mask_iou import drawn_share, shares_inside
from bcnet.params import methods


def test_the_mask_head_by_the_formulas() -> None:
    """One RoI at a time, in float64."""
    torch.manual_seed(0)
    head = MaskHead(8, 3).double().eval()
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(0.5 * torch.rand_like(tensor) - 0.25)
    features = np.random.default_rng(0).normal(size=(3, 8, 14, 14))
    found = head(torch.from_numpy(features))["target_mask"].detach().numpy()
    for x, logits in zip(features, found, strict=True):
        for place in (0, 2, 4, 6):
            x = np.maximum(convolve(x, head.layers[place]), 0)
        both = np.zeros((2, 14, 14))
        for row, column in np.ndindex(14, 14):
            both[:, row, column] = sum(x[:, row, column]) / 8, max(x[:, row, column])
        attention = 1 / (1 + np.exp(-convolve(both, head.attention.convolution)[0]))
        assert attention.max() - attention.min() > 0.2
        np.testing.assert_allclose(logits, predict(x * attention, head.predictor), rtol=1e-9, atol=1e-12)


def test_attention_does_not_depend_on_the_order_of_the_channels() -> None:
    attention = MaskHead(8, 3).attention
    x = torch.randn(2, 8, 14, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(x[:, torch.randperm(8)]), attention(x))


@pytest.mark.parametrize("number", [1, 2])
def test_the_level_is_told_by_the_share_of_the_picture(number: int) -> None:
    """More than a half, more than a quarter, or less, whatever the size of both."""
    least = OF_EDITION[number].least
    for height, width in ((64, 128), (800, 1333), (97, 211)):
        shares = torch.tensor([0.001, 0.1, 0.2499, 0.2501, 0.3, 0.4999, 0.5001, 0.9, 1.0, 3.0])
        found = levels_of(shares * height * width, (height, width), least)
        assert found.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert levels_of(torch.tensor([0.0, 16, 32, 64]), (8, 8), least).tolist() == [0, 0, 1, 2]  # none, ¼, ½, all of it


@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["detectron2", "maskrcnn_benchmark"])
def test_features_come_from_the_level_of_each_roi(conventions: Conventions) -> None:
    """Of two pictures, one of which has less padding; one RoI at a time."""
    generator = torch.Generator().manual_seed(0)
    levels = {f"p{3 + n}": torch.randn(2, 4, 16 >> n, 24 >> n, generator=generator) for n in range(4)}
    sizes, rois = [(128, 192), (90, 100)], []
    for size in sizes:
        corners = torch.rand(40, 2, 2, generator=generator).sort(1).values * torch.tensor([size[1], size[0]])
        rois.append(Instances(size, pred_boxes=Boxes(corners.flatten(1))))
    found = AdaptiveRoIFeatures(1e-6, conventions=conventions)(levels, rois)
    assert found.shape == (80, 4, 14, 14)
    end, seen, index = torch.tensor([0.0, 0, 1, 1]) * conventions.last_pixel, set(), 0
    for picture_index, (size, of_picture) in enumerate(zip(sizes, rois, strict=True)):
        for box in of_picture.pred_boxes.tensor:
            share = float((box[2] - box[0]) * (box[3] - box[1])) / math.prod(size)
            name, stride = ("p5", 32) if share > 0.5 else ("p4", 16) if share > 0.25 else ("p3", 8)
            expected = roi_align(
                levels[name][picture_index : picture_index + 1],
                [(box - end)[None]],
                14,
                1 / stride,
                sampling_ratio=conventions.samples or -1,
                aligned=conventions.aligned,
            )
            torch.testing.assert_close(found[index], expected[0])
            seen.add(name)
            index += 1
    assert seen == {"p3", "p4", "p5"}
    assert AdaptiveRoIFeatures(1e-6)(levels, [of_picture[:0] for of_picture in rois]).shape == (0, 4, 14, 14)


def test_shares_of_polygons() -> None:
    """Of the second rectangle the first edition knows nothing; the second counts what both enclose."""
    first, second = np.array([10.0, 10, 30, 10, 30, 30, 10, 30]), np.array([40.0, 10, 50, 10, 50, 20, 40, 20])
    box = np.array([20.0, 10, 45, 30])
    share = {
        function: function([first, second], box, (64, 64)) for function in (first_share, outlined_share, drawn_share)
    }
    assert share[first_share] == pytest.approx(200 / 400)
    assert share[outlined_share] == pytest.approx((200 + 50) / (400 + 100))
    assert share[drawn_share] == pytest.approx((200 + 50) / (400 + 100))
    triangle, whole = np.array([30.0, 10, 30, 30, 10, 30]), np.array([0.0, 0, 64, 64])
    assert outlined_share([triangle], whole, (64, 64)) == 1  # it has 210 pixels, but an area of 200
    assert outlined_share([triangle], np.array([20.0, 10, 64, 64]), (64, 64)) == pytest.approx(0.75, abs=0.05)
    assert math.isnan(outlined_share([np.array([5.0, 5, 9, 5, 9, 5])], box, (64, 64)))


def small(edition: int) -> Any:
    torch.manual_seed(0)
    return build(
        methods.variant(method="centermask", backbone="efficientnet_lite0", edition=edition), SIZES, PREDICT, 3
    )


def test_both_heads_start_as_the_editions_have_them() -> None:
    """All else starts with equal weights."""
    first, second = (small(edition).state_dict() for edition in (1, 2))
    branch = "roi_heads.mask_head."
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith(branch))
    spread = {
        f"{branch}head.predictor.predict.weight": (math.sqrt(2 / 3), 0.001),
        f"{branch}head.attention.convolution.weight": (math.sqrt(1 / 18 / 3), math.sqrt(2 / 9)),
        f"{branch}mask_iou.connected.0.weight": (math.sqrt(1 / 1568), math.sqrt(2 / 32)),
        f"{branch}mask_iou.predict.weight": (0.01, 0.01),
    }
    for name, wanted in spread.items():
        for state, deviation in zip((first, second), wanted, strict=True):
            slack = 0.4 if "attention" in name else 0.15
            assert state[name].std() == pytest.approx(deviation, rel=slack), name


@pytest.mark.parametrize("edition", [1, 2])
def test_the_loss_of_scores_reaches_masks_and_features(edition: int) -> None:
    model = small(edition).train()
    losses = model([item()])
    assert set(losses) == set(LOSSES)
    weights = ["head.attention.convolution.weight", "head.predictor.predict.weight"]
    parameters = [model.get_parameter(f"roi_heads.mask_head.{name}") for name in weights]
    gradients = torch.autograd.grad(
        losses["loss_mask_iou"], [*parameters, model.get_parameter("backbone.fpn_output3.weight")]
    )
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("edition", [1, 2])
def test_all_rois_train_the_mask_head_in_the_first_edition(edition: int) -> None:
    model = small(edition)
    assert model.roi_heads.rois == (None if edition == 1 else SIZES.rois // 4)
    assert model.proposal_generator.edition.training.score_threshold == (0.03 if edition == 1 else 0.05)


def test_masks_are_ranked_by_both_scores() -> None:
    """Boxes by the first alone, which detections keep."""
    model = small(1).eval()
    branch: Any = model.roi_heads.mask_head
    nn.init.normal_(branch.mask_iou.predict.weight, std=1)
    levels = {f"p{3 + n}": torch.randn(1, 32, 16 >> n, 16 >> n) for n in range(3)}
    boxes = torch.tensor([[0.0, 0, 100, 100], [5, 5, 40, 60], [3, 3, 20, 30]])
    given = Instances((128, 128), pred_boxes=Boxes(boxes), scores=torch.tensor([0.9, 0.8, 0.7]))
    given.pred_classes = torch.tensor([2, 0, 1])
    with torch.no_grad():
        (found,) = branch(levels, [given])
        predicted = branch.mask_iou(branch.roi_features(levels, [given]), found.pred_masks)[
            range(3), given.pred_classes
        ]
    assert found.box_scores.tolist() == torch.tensor([0.9, 0.8, 0.7]).tolist()
    torch.testing.assert_close(found.scores, (found.box_scores * predicted).clamp(0, 1))
    assert len(found.scores.unique()) > 1


def test_bitmaps_count_by_their_pixels_in_both_editions() -> None:
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 10:30, 10:30] = True
    box = Boxes(torch.tensor([[20.0, 0, 64, 64]]))
    for edition in OF_EDITION.values():
        assert shares_inside(BitMasks(mask), box, (64, 64), edition.share).tolist() == [0.5]


@checks
def test_the_second_edition_conforms_as_the_first(check: Any, tmp_path: Path) -> None:
    check(methods.variant(method="centermask", backbone="efficientnet_lite0", edition=2), tmp_path)
