"""Masks of sub-regions, cell by cell and pixel by pixel in float64, and what they learn, by maps of the whole image."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK
from bcnet.models.masks.sub_region_loss import alignment_weights, cross_entropy, halved
from bcnet.models.masks.sub_regions import SubRegionMasks, assembled, cells_in, logits_in

SIZE = (14, 18)
BOXES = [  # left, top, right, bottom in cells: whole numbers, parts, beyond the map, tiny, turned over
    [2.0, 3, 10, 12],
    [0.5, 1.25, 16.75, 12.5],
    [-4.0, -3, 7.375, 8.75],
    [12.125, 10, 40, 30],
    [5, 5, 5.375, 5.375],
    [5.25, 5.25, 5.5, 9],
    [9, 8, 3, 2],
    [-9, -9, -2, -1],
]


def region(x: int, y: int, box: list[float], sub_regions: int) -> int | None:
    """Which sub-region of a box the cell in column x and row y lies in."""
    left, top, right, bottom = box
    if not (left <= x < right and top <= y < bottom):
        return None
    column = int((x - left) / ((right - left + 0.1) / sub_regions))
    row = int((y - top) / ((bottom - top + 0.1) / sub_regions))
    return sub_regions * row + column


def drawn(basis: np.ndarray, coefficients: np.ndarray, box: list[float], sub_regions: int) -> np.ndarray:
    """A mask, cell by cell."""
    mask = np.zeros(basis.shape[1:])
    for y, x in np.ndindex(*mask.shape):
        if (place := region(x, y, box, sub_regions)) is not None:
            mask[y, x] = 1 / (1 + np.exp(-(coefficients[place] * basis[:, y, x]).sum()))
    return mask


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sub_regions", [1, 2, 3])
def test_cells_of_sub_regions_by_loops(sub_regions: int, dtype: torch.dtype) -> None:
    cells = cells_in(torch.tensor(BOXES, dtype=dtype), SIZE, sub_regions)
    parts = cells.places.split(cells.counts)
    assert len(parts) == len(BOXES) * sub_regions**2
    for index, box in enumerate(BOXES):
        expected: dict[int, list[int]] = {place: [] for place in range(sub_regions**2)}
        for y, x in np.ndindex(*SIZE):
            if (place := region(x, y, box, sub_regions)) is not None:
                expected[place].append(y * SIZE[1] + x)
        assert [part.tolist() for part in parts[index * sub_regions**2 :][: sub_regions**2]] == list(expected.values())


@pytest.mark.parametrize("sub_regions", [1, 2, 3])
def test_the_mask_of_each_object_by_loops(sub_regions: int) -> None:
    basis, coefficients = random(5, *SIZE), random(len(BOXES), sub_regions**2, 5, seed=1)
    for box, weights in zip(BOXES, coefficients, strict=True):
        found = assembled(basis, weights, torch.tensor(box, dtype=torch.float64))
        np.testing.assert_allclose(found, drawn(basis.numpy(), weights.numpy(), box, sub_regions), atol=1e-12)


def test_sub_regions_with_equal_weights_are_one() -> None:
    basis, weights = random(5, *SIZE), random(1, 5, seed=1)
    for box in BOXES:
        corners = torch.tensor(box, dtype=torch.float64)
        whole = assembled(basis, weights, corners)
        torch.testing.assert_close(assembled(basis, weights.expand(9, -1), corners), whole, rtol=0, atol=1e-12)


def test_a_mask_moves_with_its_box_and_bases() -> None:
    basis, weights = random(5, *SIZE), random(4, 5, seed=1)
    box = torch.tensor([2.25, 1.5, 9.75, 8.125], dtype=torch.float64)
    moved = assembled(basis.roll((4, 6), (1, 2)), weights, box + torch.tensor([6, 4, 6, 4]))
    torch.testing.assert_close(moved.roll((-4, -6), (0, 1)), assembled(basis, weights, box))


def between(values: np.ndarray, place: float) -> float:
    """A row's value between its cells; beyond its ends that of the last."""
    place = min(max(place, 0.0), len(values) - 1.0)
    low = min(int(place), len(values) - 2)
    return values[low] * (1 - place + low) + values[low + 1] * (place - low)


@pytest.mark.parametrize(
    ("size", "view", "resized"),
    [
        ((24, 32), (24, 32), (28, 36)),  # no resizing; the view is padded to 28 x 36
        ((20, 26), (25, 31), (23, 30)),  # factors 5/4 and 31/26, of which the smaller counts
        ((40, 61), (24, 36), (47, 61)),
        ((17, 40), (24, 32), (35, 45)),  # what the model sees is larger along one axis only
    ],
)
@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["edges", "last pixel"])
def test_masks_in_the_image_pixel_by_pixel(
    size: tuple[int, int], view: tuple[int, int], resized: tuple[int, int], conventions: Any
) -> None:
    basis, coefficients = 2 * random(3, *SIZE), random(3, 4, 3, seed=1)
    boxes = torch.tensor([[2.0, 3, 20, 19], [0, 0, 31, 24], [9.5, 4.25, 30.5, 23]], dtype=torch.float64)
    masks = SubRegionMasks(basis, coefficients, boxes, view, conventions).paste(size).numpy()
    scale = min(view[0] / size[0], view[1] / size[1])
    end = 1 if conventions.last_pixel else 0
    for mask, box, weights in zip(masks, boxes.tolist(), coefficients.numpy(), strict=True):
        across, down = size[1] / view[1] * scale / 2, size[0] / view[0] * scale / 2
        cells = [box[0] * across, box[1] * down, (box[2] - end) * across, (box[3] - end) * down]
        small = drawn(basis.numpy(), weights, cells, 2)
        expected = np.zeros(size)
        for y, x in np.ndindex(min(size[0], resized[0]), min(size[1], resized[1])):
            column = [between(row, (x + 0.5) * SIZE[1] / resized[1] - 0.5) for row in small]
            expected[y, x] = between(np.array(column), (y + 0.5) * SIZE[0] / resized[0] - 0.5)
        assert (mask == (expected > 0.4)).all()
        assert 20 < mask.sum() < mask.size - 20


def test_some_of_the_masks_and_none() -> None:
    basis, coefficients = random(3, *SIZE), random(3, 4, 3, seed=1)
    boxes = torch.tensor([[2.0, 3, 20, 19], [0, 0, 31, 24], [9.5, 4.25, 30.5, 23]], dtype=torch.float64)
    masks = SubRegionMasks(basis, coefficients, boxes, (24, 32), DETECTRON2)
    chosen = torch.tensor([True, False, True])
    assert torch.equal(masks.of(chosen, boxes[chosen] / 2).paste((24, 32)), masks.paste((24, 32))[chosen])
    none = masks.of(torch.zeros(3, dtype=torch.bool), boxes[:0]).paste((24, 32))
    assert (none.shape, none.dtype) == ((0, 24, 32), torch.bool)


# --- what is learned


def test_a_cell_of_half_the_size_takes_three_of_four_pixels() -> None:
    masks = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(0)) < 0.6
    found = halved(masks)
    for index, row, column in np.ndindex(2, 4, 6):
        pixels = masks[index, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert found[index, row, column] == (pixels.sum() >= 3)


def whole_maps(basis: Tensor, coefficients: Tensor, masks: Tensor, objects: Tensor, weights: Tensor) -> Tensor:
    """The loss by the formulas: maps of the whole image for each sub-region, cropped, logarithms bounded at -100."""
    total = basis.new_zeros(())
    for index, box in enumerate(BOXES):
        maps = torch.einsum("kb,bhw->khw", coefficients[index], basis).sigmoid()
        loss = basis.new_zeros(())
        for y, x in np.ndindex(*SIZE):
            if (place := region(x, y, box, 2)) is not None:
                p = maps[place, y, x]
                loss = loss - (p if masks[objects[index], y, x] else 1 - p).log().clamp(min=-100)
        total = total + weights[index] * loss / ((box[2] - box[0]) * (box[3] - box[1])) / len(BOXES)
    return total


def test_the_loss_and_its_gradients_by_whole_maps() -> None:
    basis, coefficients = random(5, *SIZE).requires_grad_(), random(len(BOXES), 4, 5, seed=1).requires_grad_()
    masks = random(3, *SIZE, seed=2) > 0
    objects, weights = torch.tensor([0, 2, 1, 1, 0, 2, 0, 1]), random(len(BOXES), seed=3).abs()
    expected = whole_maps(basis, coefficients, masks, objects, weights)
    boxes = torch.tensor(BOXES, dtype=torch.float64)
    found = cross_entropy(basis, coefficients, boxes, masks, objects, weights)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(loss, (basis, coefficients)) for loss in (found, expected))
    for ours, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, slow)
        assert slow.abs().max() > 0


def test_mixed_precision_leaves_the_loss_as_it_is() -> None:
    basis, coefficients = random(5, *SIZE).float(), random(len(BOXES), 4, 5, seed=1).float()
    masks, weights = random(3, *SIZE, seed=2) > 0, random(len(BOXES), seed=3).abs().float()
    given = basis, coefficients, torch.tensor(BOXES), masks, torch.tensor([0, 2, 1, 1, 0, 2, 0, 1]), weights
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cross_entropy(*given)
    assert torch.equal(mixed, cross_entropy(*given))


def test_without_an_instance_the_loss_is_zero_and_has_a_gradient() -> None:
    basis, coefficients = random(5, *SIZE).requires_grad_(), random(4, 4, 5).requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    loss = cross_entropy(
        basis, coefficients[none], basis.new_zeros(0, 4), torch.zeros(0, *SIZE) > 0, none, none.double()
    )
    assert loss == 0
    for gradient in torch.autograd.grad(loss, (basis, coefficients)):
        assert gradient.abs().max() == 0


def test_logits_have_the_order_of_their_cells() -> None:
    basis, coefficients = random(5, *SIZE), random(len(BOXES), 4, 5, seed=1)
    cells = cells_in(torch.tensor(BOXES), SIZE, 2)
    logits = logits_in(basis, coefficients, cells)
    start = 0
    for part, count in enumerate(cells.counts):
        for place in range(start, start + count):
            y, x = divmod(int(cells.places[place]), SIZE[1])
            expected = float((coefficients[part // 4, part % 4] * basis[:, y, x]).sum())
            assert float(logits[place]) == pytest.approx(expected, rel=1e-9)
        start += count
    assert start == len(logits)


@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_a_mask_weighs_as_its_box_fits(epsilon: float) -> None:
    probabilities = torch.tensor([0.9, 0.2, 0.5], dtype=torch.float64)
    boxes = torch.tensor([[0.0, 0, 9, 4], [3, 3, 7, 8], [20, 20, 30, 30]], dtype=torch.float64)
    true = torch.tensor([[0.0, 0, 9, 4], [4, 1, 9, 7], [40, 40, 50, 50]], dtype=torch.float64)
    # second, with 1 added to sides: 4 x 5 cells of 5 x 6 and 6 x 7
    expected = np.array([0.9, 0.2 * 20 / (30 + 42 - 20), 0])
    found = alignment_weights(probabilities, boxes, true, epsilon)
    np.testing.assert_allclose(found, 3 * expected / (expected.sum() + epsilon), rtol=1e-12)
    if not epsilon:
        assert float(found.mean()) == pytest.approx(1)
