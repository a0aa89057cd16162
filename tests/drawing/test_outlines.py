"""Outlines of masks: they follow their masks, with the points that their lines need."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from bcnet.drawing.outlines import Outline, needed, outline


@pytest.mark.parametrize("tolerance", [0.1, 0.4, 2.0])
@pytest.mark.parametrize("blur", [0.6, 2.0, 6.0])
def test_the_points_that_a_line_needs_are_those_of_scikit_image(blur, tolerance):
    """Points are moved a little: on a grid many are equally far away, and rounding would choose."""
    random = np.random.default_rng(0)
    contours = find_contours(ndimage.gaussian_filter(random.normal(size=(60, 60)), blur) > 0, 0.5)
    assert contours
    for contour in contours:
        points = contour + random.uniform(-0.05, 0.05, contour.shape)
        points[-1] = points[0] if (contour[-1] == contour[0]).all() else points[-1]
        np.testing.assert_array_equal(points[needed(points, tolerance)], approximate_polygon(points, tolerance))


def test_of_points_on_a_line_the_ends_are_needed():
    line = np.stack([np.arange(5.0), 2 * np.arange(5.0)], axis=1)
    assert needed(line, 0.1).tolist() == [True, False, False, False, True]
    assert needed(line[:1], 0.1).tolist() == [True]
    assert needed(np.array([[0.0, 0], [0, 9], [0, 4]]), 0.1).tolist() == [True, True, True]  # beyond the end


def inside(path: str, x: float, y: float) -> bool:
    """Whether a point is inside an SVG path of straight lines, by the evenodd rule: crossings of a ray to the right."""
    crossings = 0
    for ring in path.split("M")[1:]:
        points = [tuple(map(float, point.split())) for point in ring.rstrip("Z").split("L")]
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            crossings += (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return crossings % 2 == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_follows_its_mask(seed):
    """Blobs with holes that touch the picture's border: exact but for pixels on a mask's edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 40)), 2.5)
    mask = noise > 0
    drawn = outline(mask)
    shown = np.array([[inside(drawn.path, x + 0.5, y + 0.5) for x in range(40)] for y in range(30)])
    square = np.ones((3, 3))
    assert shown[ndimage.binary_erosion(mask, square, border_value=1)].all()
    assert not shown[~ndimage.binary_dilation(mask, square)].any()
    assert np.mean(shown != mask) < 0.01
    outside = np.argwhere(~np.pad(mask, 1)) - 0.5  # pixel centres, (y, x)
    assert mask[int(drawn.y), int(drawn.x)]
    assert drawn.radius == pytest.approx(np.hypot(*(outside - (drawn.y, drawn.x)).T).min())


def test_an_empty_mask_has_an_empty_outline():
    assert outline(np.zeros((4, 5), bool)) == Outline("", -0.5, -0.5, 0.0)
