"""Targets and losses of mask heads, against slow and independent ways to the same."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.segmentation import find_boundaries

from bcnet.models.losses import binary_cross_entropy, contour, occluder_rois

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


@given(st.lists(st.booleans(), max_size=12))
def test_occluder_rois_are_the_occluded_and_as_many_from_the_start(occluded: list[bool]) -> None:
    masks = torch.zeros(len(occluded), 4, 4, dtype=torch.bool)
    masks[:, 1, 2] = torch.tensor(occluded, dtype=torch.bool)
    with_occluder = [index for index, value in enumerate(occluded) if value]
    assert occluder_rois(masks).tolist() == with_occluder + list(range(len(with_occluder)))


def test_binary_cross_entropy_against_its_formula() -> None:
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(0, 3, (5, 1, 7, 7)), generator.random((5, 7, 7)) < 0.3
    probability = 1 / (1 + np.exp(-logits[:, 0]))
    expected = -np.where(targets, np.log(probability), np.log(1 - probability)).mean()
    loss = binary_cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_binary_cross_entropy_of_nothing_is_zero_and_has_a_gradient() -> None:
    logits = torch.zeros(4, 1, 7, 7, requires_grad=True)
    loss = binary_cross_entropy(logits[:0], torch.zeros(0, 7, 7, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
