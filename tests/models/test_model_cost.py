import pytest
import torch
from model_cost import operations
from torch import nn


@pytest.mark.parametrize(
    ("layer", "per_output"),
    [
        (nn.Conv2d(8, 16, 3, stride=2), 2 * 8 * 9),
        (nn.Conv2d(8, 16, 3, stride=2, groups=2), 2 * 4 * 9),
        (nn.Conv2d(8, 8, 3, groups=8), 2 * 9),
    ],
    ids=["dense", "grouped", "depthwise"],
)
def test_a_convolution_costs_its_products_and_each_gradient_as_much_again(layer: nn.Module, per_output: int) -> None:
    picture = torch.rand(2, 8, 17, 16)
    once = per_output * layer(picture).numel() / 1e9
    assert operations(lambda: layer(picture)) == pytest.approx(once)
    assert operations(lambda: layer(picture).sum().backward()) == pytest.approx(2 * once)  # the picture needs none
    assert operations(lambda: layer(picture.requires_grad_()).sum().backward()) == pytest.approx(3 * once)
