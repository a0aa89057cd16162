"""Which cells learn an object, cell by cell; and targets that are resized as OpenCV does it."""

from collections.abc import Sequence

import numpy as np
import places
import pytest
import torch

from bcnet.models.masks.grid_targets import GridObjects, Learned, assign, ranges_of
from bcnet.models.masks.image_masks import resized_as_opencv

SIZE, GRIDS, RANGES = (256, 320), (40, 36, 24, 16, 12), ranges_of((96, 192, 384, 768, 2048))


def test_ranges_overlap_as_in_the_authors_configurations() -> None:
    assert RANGES == [(1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)]
    light = ranges_of((56, 112, 224, 448, 896))
    assert light == [(1, 56), (28, 112), (56, 224), (112, 448), (224, 896)]


def objects(boxes: Sequence[Sequence[float]], centres: Sequence[Sequence[float]] | None = None) -> GridObjects:
    """Categories are 0, 1, 2 …; centres those of the boxes if there are no others."""
    sides = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    middle = (sides[:, :2] + sides[:, 2:]) / 2 if centres is None else torch.tensor(centres, dtype=torch.float32)
    return GridObjects(sides, torch.arange(len(sides)), middle, torch.ones(len(sides), dtype=torch.bool))


def cell_at(place: np.float32, extent: int, grid: int) -> int:
    """The authors' cell of a place: floor division by 1 / grid, in single precision (of NumPy here)."""
    return int(np.floor_divide(place / np.float32(extent), np.float32(1 / grid)))


def by_cells(objects: GridObjects, size: tuple[int, int], grids: Sequence[int], ranges: Sequence[tuple]) -> Learned:
    """Each cell asks each object whether it learns it."""
    classes, cells, learned, before = [], [], [], 0
    for grid, (least, most) in zip(grids, ranges, strict=True):
        of_level = [-1] * grid**2
        for index, (box, (x, y)) in enumerate(zip(objects.boxes.numpy(), objects.centres.numpy(), strict=True)):
            width, height = box[2] - box[0], box[3] - box[1]
            if not objects.visible[index] or not least <= np.sqrt(width * height) <= most:
                continue
            bounds = []
            for centre, side, extent in ((y, height, size[0]), (x, width, size[1])):
                half = np.float32(0.5) * side * np.float32(0.2)
                middle = cell_at(centre, extent, grid)
                first, last = cell_at(centre - half, extent, grid), cell_at(centre + half, extent, grid)
                bounds.append((max(first, middle - 1), min(last, middle + 1)))
            for cell in range(grid**2):
                row, column = divmod(cell, grid)
                if bounds[0][0] <= row <= bounds[0][1] and bounds[1][0] <= column <= bounds[1][1]:
                    cells.append(before + cell)
                    learned.append(index)
                    of_level[cell] = int(objects.classes[index])
        classes += of_level
        before += grid**2
    return Learned(torch.tensor(classes), torch.tensor(cells), torch.tensor(learned))


def check(given: GridObjects, size: tuple[int, int] = SIZE) -> Learned:
    result, expected = assign(given, size, GRIDS, RANGES), by_cells(given, size, GRIDS, RANGES)
    for ours, theirs in zip(result, expected, strict=True):
        assert ours.tolist() == theirs.tolist()
    return result


def test_random_objects_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    for size in ((256, 320), (96, 64), (800, 1344)):
        corners = rng.uniform(0, 1, (40, 2, 2)) * (size[1], size[0])
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        centres = boxes[:, :2] + rng.uniform(0, 1, (40, 2)) * (boxes[:, 2:] - boxes[:, :2])
        result = check(objects(boxes.tolist(), centres.tolist()), size)
        assert len(result.cells) > len(set(result.cells.tolist()))  # some are shared


@pytest.mark.parametrize("grid", GRIDS)
def test_centres_and_regions_that_end_on_a_border_of_cells(grid: int) -> None:
    """Rounding decides there, as the next test shows."""
    borders = [(320 * k / grid, 256 * k / grid) for k in range(grid)]
    boxes = [(x - 30, y - 24, x + 30, y + 24) for x, y in borders]
    result = check(objects(boxes, borders))
    wide = [(x - 5 * 320 / grid, y - 5 * 256 / grid, x + 5 * 320 / grid, y + 5 * 256 / grid) for x, y in borders]
    check(objects(wide, borders))
    assert len(result.cells)


def test_rounding_on_borders_is_not_that_of_exact_numbers() -> None:
    """Of the 40 cells of a row some lack their first point: 40 of 320 pixels is in cell 4, not 5."""
    assert [cell_at(np.float32(8 * place), 320, 40) for place in (4, 5, 6)] == [4, 4, 6]
    centres = objects([(0, 0, 90, 90)] * 3, [(32, 32), (40, 40), (48, 48)])
    result = assign(centres, (320, 320), GRIDS, RANGES)
    first = [result.cells[result.objects == index].min() for index in range(3)]
    assert [int(cell) % 40 for cell in first] == [3, 3, 5]


def test_objects_at_the_border_of_the_picture() -> None:
    check(objects([(-9, -9, 12, 12), (300, 240, 320, 256)], [(0, 0), (319, 255)]))


def test_sizes_at_the_ends_of_ranges_are_in_both_levels() -> None:
    given = objects([(0, 0, 48, 48), (0, 0, 96, 96), (0, 0, 192, 192), (0, 0, 1, 1), (0, 0, 1, 0.99)])
    result = check(given)
    levels = np.searchsorted(np.cumsum([grid**2 for grid in GRIDS]), result.cells.numpy(), side="right")
    of_each = [sorted(set(levels[result.objects.numpy() == index].tolist())) for index in range(5)]
    assert of_each == [[0, 1], [0, 1, 2], [1, 2, 3], [0], []]


def test_the_last_object_of_a_cell_gives_its_category_and_all_train_its_kernel() -> None:
    result = check(objects([(100, 100, 160, 160), (90, 90, 170, 170), (110, 104, 150, 156)]))
    assert set(result.objects.tolist()) == {0, 1, 2}
    middle = 130 * 40 // 256 * 40 + 130 * 40 // 320
    assert int(result.classes[middle]) == 2
    assert result.objects[result.cells == middle].tolist() == [0, 1, 2]


def test_an_object_without_a_pixel_is_learnt_nowhere_and_no_objects_are_none() -> None:
    given = objects([(100, 100, 160, 160), (90, 90, 170, 170)])
    result = check(given._replace(visible=torch.tensor([False, True])))
    assert set(result.objects.tolist()) == {1}
    nothing = assign(objects([]), SIZE, GRIDS, RANGES)
    assert nothing.classes.tolist() == [-1] * 3872
    assert (len(nothing.cells), len(nothing.objects)) == (0, 0)


def test_masks_are_resized_as_opencv_does_it() -> None:
    """Sizes of which some are no multiples of four, where its whole numbers decide otherwise than rounding."""
    golden = np.load(places.GOLDEN / "solov2/resized.npz")
    apart = 0
    for index in range(len(golden) // 2):
        masks, expected = (torch.from_numpy(golden[f"{name}_{index}"]) for name in ("mask", "small"))
        size = expected.shape[1], expected.shape[2]
        assert torch.equal(resized_as_opencv(masks, size), expected)
        values = torch.nn.functional.interpolate(masks[:, None].double(), size, mode="bilinear")[:, 0]
        apart += int(((values >= 0.5) != expected).sum())
    assert index == 11
    assert apart > 100


def test_of_four_times_the_size_two_of_the_four_pixels_in_the_middle_are_enough() -> None:
    masks = torch.rand(5, 24, 36, generator=torch.Generator().manual_seed(0)) < 0.5
    result = resized_as_opencv(masks, (6, 9))
    for mask, row, column in np.ndindex(5, 6, 9):
        middle = masks[mask, 4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3]
        assert bool(result[mask, row, column]) == (int(middle.sum()) >= 2)
