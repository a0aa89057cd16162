"""Many small pictures as one: the thumbnails of objects, packed side by side."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

COLUMNS = 50
QUALITY = 70  # of JPEG: a thumbnail shows where to look, not how a mask ends


def thumbnail(picture: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """A picture within a square, as large as it fits, on grey, with the edge of a mask in white.

    Args:
        picture: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        side: of the square, pixels.

    Returns:
        (side, side, 3) uint8.
    """
    image = Image.fromarray(picture)
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = np.array(image.resize(size, Image.Resampling.LANCZOS))
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    small[inside & ~binary_erosion(inside, border_value=1)] = 255
    square = np.full((side, side, 3), 127, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def packed(tiles: Sequence[np.ndarray]) -> str:
    """Squares of one size, (S, S, 3) uint8 RGB, in rows of `COLUMNS`, as a JPEG data URI; at least one."""
    side = len(tiles[0])
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.zeros((rows * side, COLUMNS * side, 3), np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    return jpeg_uri(sheet)


def shrunk(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture, (H, W, 3) uint8 RGB, made smaller where a side is over `longest` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture, (H, W, 3) uint8 RGB, as a JPEG data URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
