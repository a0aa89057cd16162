"""Many small pictures as one: the thumbnails of objects, packed side by side."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

COLUMNS = 160  # at most
SIDE, SMALL_SIDE, MANY = 64, 32, 6000  # pixels of thumbnails as they are made: small ones where there are many
# Sides of thumbnails and qualities of WebP, best first: a thumbnail shows where to look, not how a mask ends.
STEPS = ((64, 60), (48, 60), (48, 40), (32, 60), (32, 40), (32, 20), (24, 20), (24, 10))
SAMPLE = 400  # thumbnails by which the size of a whole sheet is told
REDUCING = 1.01  # Pillow first takes means of blocks, down to this many times the size: much faster
DOUBT = 1.25  # a sheet is not made if the sample says that it is larger than the room by this factor
JPEG_QUALITY = 70


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
    small = np.array(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING))
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    small[inside & ~binary_erosion(inside, border_value=1)] = 255
    square = np.full((side, side, 3), 127, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


class Sprite(NamedTuple):
    """Thumbnails as one picture, a WebP data URI: the first `kept` of them, squares of `side`, in `columns`."""

    uri: str
    kept: int
    side: int
    columns: int


def packed(tiles: Sequence[np.ndarray], room: int) -> Sprite:
    """As good a sprite of all thumbnails as the room allows; of those that fit at the last of STEPS, where not all do.

    Args:
        tiles: squares of one size, (S, S, 3) uint8 RGB.
        room: characters of the data URI at most.
    """
    some = tiles[:: max(1, len(tiles) // SAMPLE)]
    whole = _sheet(tiles) if tiles else None
    for side, quality in STEPS:
        if whole and side <= len(tiles[0]):
            if len(_webp_uri(_sheet(some), side, quality)) * len(tiles) > DOUBT * room * len(some):
                continue  # a whole sheet takes seconds
            uri = _webp_uri(whole, side, quality)
            if len(uri) <= room:
                return Sprite(uri, len(tiles), side, whole.columns)
    side, quality = STEPS[-1]
    kept = len(tiles)
    while kept:
        sheet = _sheet(tiles[:kept])
        uri = _webp_uri(sheet, side, quality)
        if len(uri) <= room:
            return Sprite(uri, kept, side, sheet.columns)
        kept = min(kept - 1, int(kept * 0.95 * room / len(uri)))
    return Sprite("", 0, side, 1)


class _Sheet(NamedTuple):
    """Squares in rows of as many `columns`, as one picture."""

    picture: Image.Image
    columns: int
    rows: int


def _sheet(tiles: Sequence[np.ndarray]) -> _Sheet:
    """Squares of one size in rows of `COLUMNS`; those that the last row lacks are black."""
    columns, side = min(COLUMNS, len(tiles)), len(tiles[0])
    rows = -(-len(tiles) // columns)
    squares = np.zeros((rows * columns, side, side, 3), np.uint8)
    np.stack(tiles, out=squares[: len(tiles)])
    picture = squares.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return _Sheet(Image.fromarray(picture), columns, rows)


def _webp_uri(sheet: _Sheet, side: int, quality: int) -> str:
    """A sheet whose squares are made `side` large, as a WebP data URI."""
    file = io.BytesIO()
    size = sheet.columns * side, sheet.rows * side
    # A pixel is made of the pixels below it and of little beside them, so that squares stay apart.
    sheet.picture.resize(size, Image.Resampling.HAMMING).save(file, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def shrunk(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture, (H, W, 3) uint8 RGB, made smaller where a side is over `longest` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture, (H, W, 3) uint8 RGB, as a JPEG data URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
