"""PANet's path from the finest level up: its numbers, and that every method on a detector can take it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.modeling import FPN
from model_factory import PREDICT, SIZES, build, item, variants
from slow_layers import normalised
from torch import Tensor

from bcnet.models.backbones import pyramid, pyramid_from_p3
from bcnet.models.layers.convolutions import group_norm
from bcnet.models.layers.path_aggregation import PathAggregation
from bcnet.models.segmenter import Segmenter
from bcnet.params import methods
from bcnet.params.methods import METHODS
from bcnet.weights.model_file import load_model, save_model

PYRAMIDS = [pyramid, pyramid_from_p3]
of_both = pytest.mark.parametrize("made", PYRAMIDS, ids=lambda made: made.__name__)
ON_DETECTORS = {
    name: keys for name, keys in variants().items() if "neck" in METHODS[keys["method"]].variant.model_fields
}


def both(made: Callable[..., FPN]) -> tuple[FPN, FPN]:
    """Without and with the path, from one seed."""
    necks = []
    for neck in ("fpn", "pan"):
        torch.manual_seed(0)
        necks.append(made("efficientnet_lite0", 32, 2, neck).double().eval())
    return necks[0], necks[1]


def image() -> Tensor:
    return torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0)).double()


@of_both
def test_levels_are_made_again_from_the_finest_up(made: Callable[..., FPN]) -> None:
    """Of each picture in numpy, step by step; scale and shift of the norms are not 1 and 0."""
    plain, path = both(made)
    assert isinstance(path, PathAggregation)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in path.path.parameters():
            if tensor.ndim == 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        before, after = plain(image()), path(image())
    names = list(before)
    levels = [name for name in names if f"fpn_output{name[1:]}" in dict(plain.named_children())]
    assert torch.equal(after[levels[0]], before[levels[0]])
    for picture in range(2):
        x = before[levels[0]][picture].numpy()
        for step, name in zip(path.path, levels[1:], strict=True):
            x = normalised(normalised(x, step.halved) + before[name][picture].numpy(), step.fused)
            np.testing.assert_allclose(after[name][picture].numpy(), x, atol=1e-9)
            assert (x > 0).any()
    further = path.further(after["p5"])  # as from FPN's own, but of the path's level
    assert len(further) == len(names) - len(levels)
    for name, level in zip(names[len(levels) :], further, strict=True):
        assert torch.equal(after[name], level)


@of_both
def test_levels_keep_their_names_and_shapes(made: Callable[..., FPN]) -> None:
    plain, path = both(made)
    assert path.output_shape() == plain.output_shape()
    assert path.size_divisibility == plain.size_divisibility
    with torch.no_grad():
        before, after = plain(image()), path(image())
    assert list(after) == list(before) == list(plain.output_shape())
    assert {name: level.shape for name, level in after.items()} == {name: x.shape for name, x in before.items()}


def test_norms_of_fpn_take_the_place_of_biases() -> None:
    made = pyramid("efficientnet_lite0", 64, 2, "pan", group_norm)
    for name in ("fpn_lateral2", "fpn_output5"):
        convolution = made.get_submodule(name)
        assert convolution.bias is None
        assert (convolution.norm.num_groups, convolution.norm.num_channels) == (32, 64)


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (128, 32), (64, 32), (32, 16), (16, 8), (96, 16)])
def test_groups_have_two_channels_or_more(channels: int, groups: int) -> None:
    norm = group_norm(channels)
    assert norm.num_groups == groups
    assert norm(torch.arange(channels).float().view(1, -1, 1, 1)).abs().max() > 0.5  # a level of one cell


def test_the_path_starts_as_released() -> None:
    """Xavier as in Caffe2: uniform up to √(3 / inputs of a cell); no bias."""
    torch.manual_seed(0)
    step: Any = pyramid("efficientnet_lite0", 64, 2, "pan").path[0]
    for layers in (step.halved, step.fused):
        assert layers[0].weight.abs().max().item() == pytest.approx((3 / (9 * 64)) ** 0.5, rel=0.01)
        assert not layers[0].bias.any()


# --- methods


@pytest.mark.parametrize("keys", ON_DETECTORS.values(), ids=ON_DETECTORS)
def test_every_method_on_a_detector_can_take_the_path(keys: dict[str, str]) -> None:
    """And learns through it; all but the path starts as without it; by default, but for PANet itself, there is none."""

    def made(**neck: str) -> Segmenter:
        torch.manual_seed(0)
        return build(methods.variant(**keys, backbone="efficientnet_lite0", **neck)).train()

    model, plain, by_default = made(neck="pan"), made(neck="fpn"), made()
    assert type(plain.backbone) is FPN
    assert isinstance(by_default.backbone, PathAggregation) == (keys["method"] == "panet")
    own = model.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(own[name.replace("backbone.top_block.", "backbone.further.")], tensor), name
    losses = model([item(), item()])
    torch.stack(list(losses.values())).sum().backward()
    weights = dict(model.backbone.named_parameters())
    path = {name: weight for name, weight in weights.items() if name.startswith("path.")}
    assert len(path) == 8 * (2 if keys["detector"] == "fcos" else 3)
    assert not [name for name, weight in path.items() if weight.grad is None or not weight.grad.isfinite().all()]
    assert all(weight.grad.abs().max() > 0 for name, weight in path.items() if weight.ndim > 1)


def test_the_path_is_a_switch_of_its_own() -> None:
    """Mask R-CNN and BCNet with it differ from those without in nothing else."""
    for keys in ({"method": "mask_rcnn"}, {"method": "bcnet"}, {"method": "mask_scoring_rcnn"}):
        plain, path = (
            methods.variant(**keys, detector="fcos", backbone="resnet50", neck=neck).as_trained()
            for neck in ("fpn", "pan")
        )
        assert {key for key in plain if plain[key] != path[key]} == {"neck"}


@pytest.mark.parametrize("keys", [{}, {"neck": "pan"}])
def test_a_model_file_says_which_neck_it_has(keys: dict[str, str], tmp_path: Path) -> None:
    """Files from before there were two do not: FPN."""
    made = methods.variant(method="bcnet", detector="faster_rcnn", backbone="efficientnet_lite0", **keys)
    about = {
        "variant": made.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": PREDICT.model_dump(mode="json"),
        "categories": [{"id": 1}],
        "provenance": {},
    }
    assert about["variant"].get("neck") == keys.get("neck")
    save_model(tmp_path / "m.safetensors", build(made, SIZES, PREDICT, 1).state_dict(), about)
    backbone = load_model(tmp_path / "m.safetensors").module.backbone
    assert type(backbone) is (PathAggregation if keys else FPN)
