"""SOLOv2's two kinds of NMS, beside loops over single cells and pairs."""

from typing import Literal

import numpy as np
import pytest
import torch

from bcnet.models.masks import matrix_nms
from bcnet.models.masks.matrix_nms import decays, ious_above, peaks
from bcnet.params.models import SOLOv2Predict


def test_peaks_of_each_cell() -> None:
    """A cell stays if none of those above, left, and above left of it has more; a tie keeps both."""
    heat = torch.randint(1, 6, (2, 3, 7, 5), generator=torch.Generator().manual_seed(0)) / 6
    result = peaks(heat)
    for picture, category, row, column in np.ndindex(*heat.shape):
        window = heat[picture, category, max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1]
        value = float(heat[picture, category, row, column])
        expected = value if value == float(window.max()) else 0.0
        assert float(result[picture, category, row, column]) == expected
    assert 0 < (result == 0).float().mean() < 1


def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks of pixels and their categories: of many sizes, with equal ones and one within the other."""
    rng = np.random.default_rng(1)
    masks = rng.random((25, 60)) < rng.uniform(0.1, 0.9, (25, 1))
    masks[:, 0] = True
    masks[9], masks[17] = masks[4], masks[4]
    masks[12] &= masks[3]
    same = np.zeros(25, np.int64)
    return [(masks, rng.integers(0, 3, 25)), (masks, same), (masks[:1], same[:1]), (masks[:0], same[:0])]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    pixels, others = set(np.flatnonzero(first)), set(np.flatnonzero(second))
    return len(pixels & others) / len(pixels | others)


@pytest.mark.parametrize("together", [7, 2**16])
def test_ious_of_pairs(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_nms, "TOGETHER", together)
    for masks, classes in scenes():
        result = ious_above(torch.from_numpy(masks), torch.from_numpy(classes))
        assert result.shape == (len(masks), len(masks))
        for above, below in np.ndindex(*result.shape):
            counts = above < below and classes[above] == classes[below]
            expected = overlap(masks[above], masks[below]) if counts else 0.0
            assert float(result[above, below]) == pytest.approx(expected, abs=1e-6)


def by_pairs(masks: np.ndarray, classes: np.ndarray, kind: str, sigma: float) -> list[float]:
    """The decay of each mask in float64, from the masks above it one at a time."""

    def kept(iou: float) -> float:
        return np.exp(-sigma * iou**2) if kind == "gaussian" else 1 - iou

    factors = []
    for below in range(len(masks)):
        least = np.inf
        for other in range(len(masks)):
            above_other = [overlap(masks[k], masks[other]) for k in range(other) if classes[k] == classes[other]]
            suppressed = max(above_other, default=0.0)
            iou = overlap(masks[other], masks[below]) if other < below and classes[other] == classes[below] else 0.0
            if suppressed == 1 and kind == "linear":  # one that is wholly suppressed suppresses nothing more
                continue
            least = min(least, kept(iou) / kept(suppressed))
        factors.append(least)
    return factors


@pytest.mark.parametrize(("kind", "sigma"), [("gaussian", 2.0), ("gaussian", 0.5), ("linear", 2.0)])
def test_decays_of_pairs(kind: Literal["gaussian", "linear"], sigma: float) -> None:
    for masks, classes in scenes():
        ious = ious_above(torch.from_numpy(masks), torch.from_numpy(classes))
        result = decays(ious, SOLOv2Predict(nms=kind, sigma=sigma))
        np.testing.assert_allclose(result, by_pairs(masks, classes, kind, sigma), rtol=1e-5, atol=1e-6)
        assert (result <= 1).all()


def test_a_mask_equal_to_a_better_one_loses_most() -> None:
    masks = torch.tensor([[True, True, False]] * 3)
    ious = ious_above(masks, torch.tensor([0, 0, 0]))
    assert decays(ious, SOLOv2Predict(nms="linear")).tolist() == [1, 0, 0]
    assert decays(ious, SOLOv2Predict()).tolist() == pytest.approx([1, np.exp(-2), np.exp(-2)])
    apart = ious_above(masks, torch.tensor([0, 1, 2]))
    assert decays(apart, SOLOv2Predict()).tolist() == [1, 1, 1]
