"""Masks are pasted where they belong: RoI maps into their boxes (`test_build.py`), image maps over the picture."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bcnet.models.detections import ImageMaps, RoIMaps, WholePixelMaps, enlarged


def value_at(row: np.ndarray, place: float) -> float:
    """A row's value between its cells, whose centres are whole numbers; beyond its ends that of the last cell."""
    place = min(max(place, 0.0), len(row) - 1.0)
    low = int(place)
    high = min(low + 1, len(row) - 1)
    return float(row[low] * (1 - (place - low)) + row[high] * (place - low))


def slow(maps: np.ndarray, factor: int, corner: bool) -> np.ndarray:
    """One value after the other: where a pixel's centre lies among the cells of a map (h, w)."""

    def place(index: int) -> float:
        return (index - factor // 2) / factor if corner else (index + 0.5) / factor - 0.5

    columns = [[value_at(row, place(x)) for x in range(maps.shape[1] * factor)] for row in maps]
    wide = np.array(columns).T
    return np.array([[value_at(column, place(y)) for y in range(maps.shape[0] * factor)] for column in wide]).T


@pytest.mark.parametrize("corner", [False, True])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_enlarged_maps_against_loops(factor: int, corner: bool) -> None:
    maps = torch.rand(1, 1, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = slow(maps[0, 0].double().numpy(), factor, corner)
    np.testing.assert_allclose(enlarged(maps, factor, corner)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("corner", [False, True])
def test_image_maps_cover_the_view_without_its_padding(corner: bool) -> None:
    """The view of 20 x 12 pixels is padded to 24 x 16, and shows a picture of half its size."""
    maps = torch.rand(3, 6, 4, generator=torch.Generator().manual_seed(1))
    masks = ImageMaps(maps, stride=4, view=(20, 12), corner=corner).paste((10, 6))
    assert masks.dtype == torch.bool
    for mask, probabilities in zip(masks, maps, strict=True):
        view = slow(probabilities.double().numpy(), 4, corner)[:20, :12]
        shares = view.reshape(10, 2, 6, 2).mean((1, 3))  # half the size: between two pixels, along both axes
        sure = abs(shares - 0.5) > 1e-5
        np.testing.assert_array_equal(mask.numpy()[sure], (shares > 0.5)[sure])


def test_no_masks_are_no_masks() -> None:
    for masks in (RoIMaps(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4)), ImageMaps(torch.zeros(0, 6, 4), 4, (20, 12))):
        pasted = masks.paste((10, 6))
        assert pasted.shape == (0, 10, 6)
        assert pasted.dtype == torch.bool


def test_some_of_the_masks_in_boxes_of_the_picture() -> None:
    """Maps of RoIs are stretched over the boxes that are given, those of the picture stay where they are."""
    generator = torch.Generator().manual_seed(2)
    chosen, boxes = torch.tensor([True, False, True]), torch.tensor([[1.0, 2, 5, 9], [0, 0, 6, 4]])
    rois = RoIMaps(torch.rand(3, 1, 7, 7, generator=generator), torch.zeros(3, 4)).of(chosen, boxes)
    assert torch.equal(rois.boxes, boxes)
    assert len(rois.maps) == 2
    whole = ImageMaps(torch.rand(3, 6, 4, generator=generator), 4, (20, 12), corner=True)
    assert torch.equal(whole.of(chosen, boxes).paste((10, 6)), whole.paste((10, 6))[chosen])


@pytest.mark.parametrize("chosen", [torch.tensor([True, False, True]), torch.tensor([0, 2])], ids=["bool", "places"])
def test_some_of_the_masks_stay_where_they_are(chosen: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[1.0, 2, 5, 9], [0, 0, 6, 4], [2, 1, 6, 8]])
    maps = torch.rand(3, 1, 7, 7, generator=generator)
    whole = ImageMaps(torch.rand(3, 6, 4, generator=generator), 4, (20, 12), corner=True)
    for masks in (RoIMaps(maps, boxes), WholePixelMaps(maps, boxes), whole):
        assert torch.equal(masks.of(chosen).paste((10, 6)), masks.paste((10, 6))[chosen])
