"""The BCNet head against the formulas of the paper and the released code, written out in numpy and float64."""

import numpy as np
import pytest
import torch
from skimage.segmentation import find_boundaries
from slow_layers import convolve, predict
from torch import nn

from bcnet.methods.bcnet import BilayerHead, NonLocalBlock, bilayer_losses
from bcnet.params import methods
from bcnet.params.entries.bcnet import BCNet

C = 8
CLASSES = 3


def variant(**switches: object) -> BCNet:
    return methods.variant(
        **{"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet", **switches}
    )


def head(**switches: object) -> BilayerHead:
    """A head in float64 and evaluation mode, with every parameter and statistic random (none of them at its start)."""
    torch.manual_seed(0)
    chosen = variant(**switches)
    module = BilayerHead(C, chosen, 1 if chosen.one_mask else CLASSES).double().eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if "num_batches" not in name:
                tensor.copy_(torch.rand_like(tensor) * 0.4 + (0.1 if "running_var" in name else -0.2))
    return module


def non_local(x: np.ndarray, block: NonLocalBlock) -> np.ndarray:
    query, key, value = (convolve(x, part).reshape(C, -1) for part in (block.query, block.key, block.value))
    affinity = np.exp(query.T @ key / np.sqrt(C))
    affinity /= affinity.sum(1, keepdims=True)
    relation = convolve((affinity @ value.T).T.reshape(x.shape), block.output)
    norm = block.norm
    mean, variance, scale, shift = (
        t.detach().numpy()[:, None, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return x + (relation - mean) / np.sqrt(variance + 1e-4) * scale + shift


def layer(x: np.ndarray, modules: nn.Sequential) -> np.ndarray:
    """Four convolutions with ReLU, after the second one the non-local block."""
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
    blocks = [m for m in modules if isinstance(m, NonLocalBlock)]
    assert len(convolutions) == 4
    for index, convolution in enumerate(convolutions):
        x = np.maximum(convolve(x, convolution), 0)
        if index == 1 and blocks:
            x = non_local(x, blocks[0])
    return x


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"layer": "fcn"},
        {"fusion": "projection"},
        {"class_agnostic": False},
        {"structure": "single"},
        {"structure": "single", "fusion": "projection", "class_agnostic": False},
        {"structure": "single", "depth": 4},
        {"structure": "single", "depth": 4, "layer": "fcn"},
    ],
)
def test_maps_by_the_formulas(switches: dict) -> None:
    module = head(**switches)
    features = np.random.default_rng(0).normal(size=(2, C, 14, 14))
    outputs = module(torch.from_numpy(features))
    occluder_maps = [] if "structure" in switches else ["occluder_mask", "occluder_contour"]
    assert list(outputs) == [*occluder_maps, "target_mask", "target_contour"]
    for index, roi in enumerate(features):
        x, occluder = roi, None
        if "depth" not in switches:
            occluder = layer(roi, module.occluder)
            x = roi + (convolve(occluder, module.projection) if "fusion" in switches else occluder)
        target = layer(x, module.target)
        for name, map_ in outputs.items():
            expected = predict(occluder if name.startswith("occluder") else target, module.predictors[name])
            maps = CLASSES if "class_agnostic" in switches and name.startswith("target") else 1
            assert map_.shape == (2, maps, 28, 28)
            np.testing.assert_allclose(map_[index].detach().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("switches", [{}, {"class_agnostic": False, "fusion": "projection"}])
def test_in_single_precision_within_a_hundred_thousandth(switches: dict) -> None:
    """At full width, as it is trained: against the same head in float64, which the formulas check above."""
    torch.manual_seed(0)
    module, features = BilayerHead(256, variant(**switches), 1).eval(), torch.randn(2, 256, 14, 14)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if "norm.weight" in name:
                tensor.uniform_(0.5, 1.5)
        single = module.to(memory_format=torch.channels_last)(features)
        double = module.double()(features.double())
    for name, map_ in single.items():
        assert float((map_ - double[name]).abs().max() / double[name].abs().max()) < 1e-5


def test_a_bilayer_without_occluder_supervision_is_the_single_of_equal_depth() -> None:
    single, bilayer = head(structure="single"), head(occluder={"mask": False, "contour": False})
    bilayer.load_state_dict(single.state_dict())
    features = torch.randn(2, C, 14, 14, dtype=torch.float64)
    for name, map_ in single(features).items():
        assert torch.equal(map_, bilayer(features)[name])


def test_training_starts_with_non_local_blocks_that_do_nothing() -> None:
    torch.manual_seed(0)
    block, x = NonLocalBlock(C), torch.randn(3, C, 14, 14)
    assert torch.equal(block.train()(x), x)


def test_predictors_start_near_zero_and_convolutions_by_msra() -> None:
    torch.manual_seed(0)
    module = BilayerHead(64, variant(), 1)
    for predictor in module.predictors.values():
        assert float(predictor.predict.weight.detach().std()) == pytest.approx(0.001, rel=0.3)
        assert not predictor.predict.bias.any()
    assert float(module.target[0].weight.detach().std()) == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.05)  # fan-out


@pytest.mark.parametrize(
    ("switches", "maps"),
    [
        ({"occluder": {"mask": False}}, ["occluder_contour", "target_mask", "target_contour"]),
        ({"occluder": {"contour": False}, "target": {"contour": False}}, ["occluder_mask", "target_mask"]),
        ({"structure": "single"}, ["target_mask", "target_contour"]),
        ({"structure": "single", "depth": 4, "target": {"contour": False}}, ["target_mask"]),
    ],
)
def test_switches_take_maps_away_and_depth_sets_the_convolutions(switches: dict, maps: list[str]) -> None:
    module = head(**switches)
    assert list(module(torch.zeros(1, C, 14, 14, dtype=torch.float64))) == maps
    depth = sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in module.modules())
    assert depth == switches.get("depth", 8)


def test_no_rois_give_empty_maps_and_a_gradient_of_zero_to_every_parameter() -> None:
    module = head().train()
    maps = module(torch.zeros(0, C, 14, 14, dtype=torch.float64))
    assert [tuple(each.shape) for each in maps.values()] == [(0, 1, 28, 28)] * 4
    torch.cat(list(maps.values())).sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or p.grad.any()] == []


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    probability = 1 / (1 + np.exp(-logits.numpy()))
    return float(-np.where(targets.numpy(), np.log(probability), np.log(1 - probability)).mean())


@pytest.mark.parametrize("occluded", [[], [4], [1, 3, 4]])
@pytest.mark.parametrize("rule", ["released", "all"])
def test_losses_by_the_released_rules(occluded: list[int], rule: str) -> None:
    generator = torch.Generator().manual_seed(1)
    names = ["occluder_mask", "occluder_contour", "target_mask", "target_contour"]
    maps = {n: torch.randn(5, 1, 28, 28, generator=generator, dtype=torch.float64) for n in names}
    targets, occluders = torch.zeros(2, 5, 28, 28, dtype=torch.bool)
    targets[:, 3:20, 5:25] = True
    for roi in occluded:
        occluders[roi, roi : roi + 9, :12] = True
    losses = bilayer_losses(maps, targets, occluders, variant=variant(occluder_rois=rule))

    rois = occluded + list(range(len(occluded))) if rule == "released" else list(range(5))
    edges, occluder_edges = (
        torch.from_numpy(np.stack([find_boundaries(mask, mode="thick") for mask in masks.numpy()]))
        for masks in (targets, occluders)
    )
    expected = {
        "loss_target_mask": cross_entropy(maps["target_mask"][:, 0], targets),
        "loss_target_contour": cross_entropy(maps["target_contour"][:, 0], edges),
        "loss_occluder_mask": 0.25 * cross_entropy(maps["occluder_mask"][rois, 0], occluders[rois]) if rois else 0,
        "loss_occluder_contour": cross_entropy(maps["occluder_contour"][rois, 0], occluder_edges[rois]) if rois else 0,
    }
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(expected, rel=1e-12)


def test_loss_weights_and_the_form_of_the_contour_loss() -> None:
    names = ["occluder_mask", "occluder_contour", "target_mask", "target_contour"]
    maps = {n: torch.randn(3, 1, 28, 28) for n in names}
    masks = torch.rand(2, 3, 28, 28) < 0.5
    weights = {"target_mask": 2.0, "target_contour": 3.0, "occluder_mask": 5.0, "occluder_contour": 0.0}
    plain, weighted, dice = (
        bilayer_losses(maps, *masks, variant=variant(**switches))
        for switches in ({}, {"loss_weights": weights}, {"contour_loss": "bce_dice"})
    )
    released = {"target_mask": 1.0, "target_contour": 1.0, "occluder_mask": 0.25, "occluder_contour": 1.0}
    for name, loss in plain.items():
        name = name.removeprefix("loss_")
        assert float(weighted[f"loss_{name}"]) == pytest.approx(float(loss) / released[name] * weights[name])
        assert (dice[f"loss_{name}"] > loss + 0.1) == name.endswith("contour")
