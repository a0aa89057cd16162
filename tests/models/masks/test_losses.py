"""Targets and losses of mask heads, against slow and independent ways to the same."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.segmentation import find_boundaries

from bcnet.models.masks.losses import contour, mask_loss, occluder_roi_weights

MASKS = arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_contour_is_scikit_images_thick_boundary(masks: np.ndarray) -> None:
    expected = np.stack([find_boundaries(mask, mode="thick") for mask in masks])
    assert np.array_equal(contour(torch.from_numpy(masks)).numpy(), expected)


def test_contour_has_one_pixel_outside_and_one_inside_and_none_along_the_border() -> None:
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, :, :3] = True
    expected = torch.zeros(1, 6, 6, dtype=torch.bool)
    expected[0, :, 2:4] = True
    assert torch.equal(contour(mask), expected)


def test_contour_of_nothing_is_nothing() -> None:
    assert contour(torch.zeros(0, 28, 28, dtype=torch.bool)).shape == (0, 28, 28)
    assert not contour(torch.ones(2, 28, 28, dtype=torch.bool)).any()


OCCLUDED = st.lists(st.booleans(), max_size=12)


def occluder_masks(occluded: list[bool]) -> torch.Tensor:
    masks = torch.zeros(len(occluded), 4, 4, dtype=torch.bool)
    masks[:, 1, 2] = torch.tensor(occluded, dtype=torch.bool)
    return masks


@given(OCCLUDED)
def test_released_rois_are_the_occluded_and_as_many_from_the_start(occluded: list[bool]) -> None:
    chosen = [index for index, value in enumerate(occluded) if value]
    chosen += range(len(chosen))
    expected = [chosen.count(index) for index in range(len(occluded))]
    assert occluder_roi_weights(occluder_masks(occluded), "released").tolist() == expected


@given(OCCLUDED, st.integers(0, 5))
def test_balanced_rois_are_the_occluded_and_as_many_of_the_others(occluded: list[bool], seed: int) -> None:
    torch.manual_seed(seed)
    weights = occluder_roi_weights(occluder_masks(occluded), "balanced").tolist()
    assert [weight for weight, value in zip(weights, occluded, strict=True) if value] == [1.0] * sum(occluded)
    others = [weight for weight, value in zip(weights, occluded, strict=True) if not value]
    assert sorted(set(others)) in ([], [0.0], [1.0], [0.0, 1.0])
    assert sum(others) == min(sum(occluded), len(others))


def test_balanced_rois_are_drawn_evenly() -> None:
    torch.manual_seed(0)
    masks = occluder_masks([True, False, False, False, False, True])
    counts = sum(occluder_roi_weights(masks, "balanced") for _ in range(2000)).tolist()
    assert counts == pytest.approx([2000, 1000, 1000, 1000, 1000, 2000], rel=0.08)


def test_all_rois_count_once() -> None:
    assert occluder_roi_weights(occluder_masks([True, False]), "all").tolist() == [1, 1]
    assert occluder_roi_weights(occluder_masks([False, False]), "all").tolist() == [1, 1]


@pytest.mark.parametrize("dice", [False, True])
def test_mask_loss_against_its_formula(dice: bool) -> None:
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(0, 3, (5, 7, 7)), generator.random((5, 7, 7)) < 0.3
    counts = [1, 0, 2, 1, 0]
    total = 0.0
    for logit, target, count in zip(logits, targets, counts, strict=True):
        p = 1 / (1 + np.exp(-logit))
        loss = -np.where(target, np.log(p), np.log(1 - p)).mean()
        if dice:
            loss += 1 - (2 * p[target].sum() + 1) / ((p**2).sum() + target.sum() + 1)
        total += count * loss
    loss = mask_loss(torch.from_numpy(logits), torch.from_numpy(targets), torch.tensor(counts), dice)
    assert float(loss) == pytest.approx(total / sum(counts), rel=1e-12)


@pytest.mark.parametrize("rois", [0, 4])
def test_mask_loss_of_nothing_is_zero_and_has_a_gradient(rois: int) -> None:
    logits = torch.zeros(rois, 7, 7, requires_grad=True)
    loss = mask_loss(logits, torch.zeros(rois, 7, 7, dtype=torch.bool), torch.zeros(rois))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
