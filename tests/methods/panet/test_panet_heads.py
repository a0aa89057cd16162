"""PANet's parts: equal to slow references in float64, one RoI at a time; their symmetries, start and switches."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from model_factory import build, item
from slow_layers import normalised, predict
from torch import nn
from torchvision.ops import roi_align

from bcnet.methods.panet import BoxHead, FullyConnected, MaskHead
from bcnet.models.conventions import DETECTRON2
from bcnet.models.layers.adaptive_pooling import FusedLevels, LevelPooler
from bcnet.params import methods


def drawn(module: nn.Module) -> Any:
    """The module in double precision, with numbers of its own for everything."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for tensor in module.parameters():
            spread = 1 if tensor.ndim == 1 else 2 / tensor[0].numel() ** 0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.double) * spread)
    return module


def fused(head: Any, features: list[np.ndarray], roi: int) -> np.ndarray:
    """A RoI's levels, one after the other, then the largest value of each cell."""
    maps = [normalised(level[roi], layer) for level, layer in zip(features, head.levels, strict=True)]
    assert len({int(place) for place in np.argmax(maps, 0).ravel()}) == len(maps)  # each level is somewhere the largest
    return np.max(maps, 0)


def inputs(levels: int, side: int) -> list[np.ndarray]:
    random = np.random.default_rng(levels)
    return [random.normal(size=(2, 32, side, side)) for _ in range(levels)]


@pytest.mark.parametrize("levels", [1, 4])
def test_the_box_head_by_the_formulas(levels: int) -> None:
    head, features = drawn(BoxHead(32, 16, levels)), inputs(levels, 7)
    ours = head([torch.from_numpy(level) for level in features]).detach().numpy()
    weight, bias = head.connected.weight.detach().numpy(), head.connected.bias.detach().numpy()
    for roi in range(2):
        x = fused(head, features, roi)
        for layer in head.layers:
            x = normalised(x, layer)
        np.testing.assert_allclose(ours[roi], np.maximum(weight @ x.ravel() + bias, 0), atol=1e-9)
    assert (ours > 0).any()
    assert (ours == 0).any()


@pytest.mark.parametrize("levels", [1, 4])
def test_the_mask_head_by_the_formulas(levels: int) -> None:
    """The fully connected branch pixel by pixel: row i and column j of the map is output 28 i + j of its layer."""
    head, features = drawn(MaskHead(32, 3, levels, fully_connected=True)), inputs(levels, 14)
    ours = head([torch.from_numpy(level) for level in features])["target_mask"].detach().numpy()
    branch = head.connected
    weight, bias = branch.connected.weight.detach().numpy(), branch.connected.bias.detach().numpy()
    for roi in range(2):
        x = fused(head, features, roi)
        for layer in head.layers:
            x = normalised(x, layer)
        expected, seen = predict(normalised(x, head.convolutional), head.predictor), x
        for layer in branch.layers:
            seen = normalised(seen, layer)
        assert seen.shape == (16, 14, 14)
        for i in range(28):
            for j in range(28):
                expected[:, i, j] += max(weight[28 * i + j] @ seen.ravel() + bias[28 * i + j], 0)
        np.testing.assert_allclose(ours[roi], expected, atol=1e-9)


def test_a_roi_is_taken_from_every_level_in_their_order() -> None:
    """One RoI and one level at a time; boxes of all sizes, of two pictures."""
    generator = torch.Generator().manual_seed(0)
    strides = [4, 8, 16, 32]
    levels = [torch.randn(2, 3, 256 // stride, 256 // stride, generator=generator) for stride in strides]
    boxes = [torch.tensor([[3.0, 5, 20, 30], [0, 0, 250, 240]]), torch.tensor([[60.0, 9, 200, 220]])]
    rois_of_pictures = [Boxes(of_picture) for of_picture in boxes]
    ours = LevelPooler(7, [[stride] for stride in strides], DETECTRON2)(levels, rois_of_pictures)
    for stride, level, of_level in zip(strides, levels, ours, strict=True):
        rois = [
            roi_align(level[index : index + 1], [box[None]], 7, 1 / stride, aligned=True)
            for index, of_picture in enumerate(boxes)
            for box in of_picture
        ]
        torch.testing.assert_close(of_level, torch.cat(rois))
    (fitting,) = LevelPooler(7, [strides], DETECTRON2)(levels, rois_of_pictures)
    torch.testing.assert_close(fitting, torch.stack([ours[0][0], ours[2][1], ours[1][2]]))  # FPN's rule: 224 on P4


# --- properties


def test_levels_have_no_rank_but_their_own_layers() -> None:
    """With their layers exchanged, exchanged levels give the same."""
    layers, features = drawn(FusedLevels(4, 32)), [torch.from_numpy(level) for level in inputs(4, 7)]
    expected = layers(features)
    order = [2, 0, 3, 1]
    exchanged = FusedLevels(0, 32).extend(layers[place] for place in order)
    assert torch.equal(exchanged([features[place] for place in order]), expected)
    assert not torch.equal(exchanged(features), expected)


def test_the_fully_connected_branch_raises_all_categories_alike() -> None:
    head, features = drawn(MaskHead(32, 3, 4, fully_connected=True)), [torch.from_numpy(x) for x in inputs(4, 14)]
    both = head(features)["target_mask"]
    head.connected = None
    more = both - head(features)["target_mask"]
    assert more.min() >= -1e-9
    assert more.max() > 0.1
    torch.testing.assert_close(more, more[:, :1].expand_as(more))


def test_layers_start_as_released() -> None:
    """Convolutions and the last layer of masks: deviation √(2 / outputs of a cell); fully connected of masks: 0.01."""
    torch.manual_seed(0)
    head, box = MaskHead(64, 20, 4, fully_connected=True), BoxHead(64, 128, 4)
    for convolution in (head.levels[0][0], head.layers[1][0], box.layers[2][0]):
        assert convolution.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
        assert convolution.bias is None
    assert head.predictor.predict.weight.std().item() == pytest.approx((2 / 20) ** 0.5, rel=0.06)
    branch = head.connected
    assert branch.connected.weight.std().item() == pytest.approx(0.01, rel=0.01)
    bound = (3 / (64 * 49)) ** 0.5  # uniform
    assert box.connected.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert box.connected.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    for bias in (head.predictor.predict.bias, head.predictor.upsample.bias, branch.connected.bias, box.connected.bias):
        assert not bias.any()


# --- switches


def test_each_part_can_be_left_out() -> None:
    for keys, missing in (
        ({"neck": "fpn"}, "backbone.path."),
        ({"fully_connected": False}, "roi_heads.mask_head.head.connected."),
        ({"adaptive_pooling": False}, "roi_heads.box_head.levels.1."),
        ({"adaptive_pooling": False}, "roi_heads.mask_head.head.levels.1."),
    ):
        variant = methods.variant(method="panet", detector="faster_rcnn", backbone="efficientnet_lite0", **keys)
        torch.manual_seed(0)
        model = build(variant).train()
        assert not any(name.startswith(missing) for name in model.state_dict())
        assert all(loss.isfinite() for loss in model([item(), item()]).values())
    assert any(name.startswith("roi_heads.box_head.levels.0.") for name in model.state_dict())


def test_without_categories_of_its_own_a_roi_has_one_mask() -> None:
    variant = methods.variant(
        method="panet", detector="faster_rcnn", backbone="efficientnet_lite0", class_agnostic=True
    )
    head = build(variant).get_submodule("roi_heads.mask_head.head")
    assert isinstance(head.connected, FullyConnected)
    assert head([torch.zeros(2, 32, 14, 14)] * 4)["target_mask"].shape == (2, 1, 28, 28)
