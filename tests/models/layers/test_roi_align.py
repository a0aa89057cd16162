"""RoIAlign against torchvision's, which takes the same samples one channel after the other."""

import pytest
import torch
from detectron2.structures import Boxes
from torchvision.ops import roi_align

from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, Conventions
from bcnet.models.layers.roi_align import RoIAlign

HEIGHT, WIDTH, STRIDE = 11, 17, 4
BOXES = {
    "inside": [8.3, 5.1, 40.7, 30.2],
    "over the upper left corner": [-13.0, -9.5, 20.0, 14.0],
    "over the lower right corner": [50.0, 30.0, 90.0, 70.0],
    "beyond the level": [100.0, 80.0, 140.0, 120.0],
    "along the border": [0.0, 0.0, 4.0 * WIDTH, 4.0 * HEIGHT],
    "far larger than the level": [-200.0, -100.0, 400.0, 300.0],
    "less than a pixel": [20.0, 20.0, 20.4, 20.2],
    "without width": [20.0, 20.0, 20.0, 35.0],
    "left after right": [30.0, 20.0, 20.0, 35.0],
}
EXACT = {"rtol": 1e-6, "atol": 1e-6}


def level(layout: torch.memory_format = torch.contiguous_format, channels: int = 5) -> torch.Tensor:
    values = torch.randn(2, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize(("samples", "aligned"), [(0, True), (0, False), (1, True), (2, False), (3, True)])
def test_features_and_gradients_are_torchvisions(samples: int, aligned: bool, layout: torch.memory_format) -> None:
    rois = torch.tensor([[number % 2, *box] for number, box in enumerate([*BOXES.values()] * 2 + [BOXES["inside"]])])
    ours, theirs = level(layout), level()
    pooled = RoIAlign(7, 1 / STRIDE, samples, aligned)(ours, rois)
    expected = roi_align(theirs, rois, 7, 1 / STRIDE, samples, aligned)
    torch.testing.assert_close(pooled, expected, **EXACT)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_one_roi_anywhere(box: list[float]) -> None:
    rois = torch.tensor([[1.0, *box]])
    ours, theirs = level(), level()
    pooled = RoIAlign(3, 1 / STRIDE, 0, aligned=True)(ours, rois)
    expected = roi_align(theirs, rois, 3, 1 / STRIDE, 0, True)
    torch.testing.assert_close(pooled, expected, **EXACT)
    pooled.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


def test_without_rois_the_gradient_is_zero() -> None:
    features = level()
    pooled = RoIAlign(7, 1 / STRIDE, 0, aligned=True)(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 5, 7, 7)
    pooled.sum().backward()
    assert features.grad is not None
    assert not features.grad.any()


def test_rois_that_overlap_add_up_alike_in_each_run() -> None:
    """Bit for bit, with any number of threads: trainings are repeated to the byte."""
    rois = torch.tensor([[0, *BOXES["inside"]]] * 50)
    gradients = []
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 2):
            torch.set_num_threads(number)
            features = level(channels=32)
            RoIAlign(7, 1 / STRIDE, 0, aligned=True)(features, rois).square().sum().backward()
            gradients.append(features.grad)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[1], gradients[2])


def test_other_numbers_than_float32_are_pooled_too() -> None:
    rois = torch.tensor([[0.0, *BOXES["inside"]]])
    pool = RoIAlign(7, 1 / STRIDE, 0, aligned=True)
    doubled = pool(level().double(), rois)
    assert doubled.dtype == torch.float64
    torch.testing.assert_close(doubled.float(), pool(level(), rois), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["detectron2", "maskrcnn-benchmark"])
def test_poolers_of_all_conventions_use_it(conventions: Conventions) -> None:
    pooler = conventions.pooler(7, [4, 8])
    assert [type(pool) for pool in pooler.level_poolers] == [RoIAlign, RoIAlign]
    levels = [torch.zeros(1, 3, 20, 20), torch.ones(1, 3, 10, 10)]
    boxes = Boxes(torch.tensor([[5.0, 5, 20, 20], [4.0, 4, 76, 76]]))
    assert pooler(levels, [boxes]).shape == (2, 3, 7, 7)
