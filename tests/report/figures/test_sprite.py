"""Thumbnails, and the picture that they are packed into."""

import base64
import io

import numpy as np
from PIL import Image

from bcnet.report.figures.sprite import COLUMNS, packed, shrunk, thumbnail


def test_a_thumbnail_has_the_whole_picture_in_its_middle_and_the_masks_edge_in_white():
    picture = np.full((20, 40, 3), 10, np.uint8)
    mask = np.zeros((20, 40), bool)
    mask[5:15, 10:30] = True
    made = thumbnail(picture, mask, 64)
    assert made.shape == (64, 64, 3)
    assert (made[:16] == 127).all()
    assert (made[48:] == 127).all()
    inside = made[16:48, :, 0]  # 32 x 64, scaled by 1.6
    assert inside[0, 0] == 10
    assert inside[16, 32] == 10
    white = np.argwhere(inside == 255)
    assert white.min(axis=0).tolist() == [8, 16]
    assert white.max(axis=0).tolist() == [23, 47]


def test_the_nth_square_lies_in_its_row_and_column():
    squares = [np.full((8, 8, 3), 4 * k, np.uint8) for k in range(COLUMNS + 3)]
    uri = packed(squares)
    assert uri.startswith("data:image/jpeg;base64,")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert sheet.shape == (16, 8 * COLUMNS, 3)
    for place in (0, 7, COLUMNS - 1, COLUMNS, COLUMNS + 2):
        row, column = divmod(place, COLUMNS)
        tile = sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].astype(int)
        assert abs(tile - 4 * place).max() <= 4


def test_a_picture_is_made_smaller_but_never_larger():
    assert shrunk(np.zeros((100, 50, 3), np.uint8), 40).shape == (40, 20, 3)
    assert shrunk(np.zeros((10, 20, 3), np.uint8), 40).shape == (10, 20, 3)
