"""Thumbnails, and the picture that they are packed into."""

import base64
import io

import numpy as np
from PIL import Image

from bcnet.report.figures.sprite import COLUMNS, SIDE, STEPS, packed, shrunk, thumbnail


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


def sheet_of(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).astype(int)


def test_the_nth_square_lies_in_its_row_and_column():
    squares = [np.full((SIDE, SIDE, 3), k % 250, np.uint8) for k in range(COLUMNS + 3)]
    sprite = packed(squares, 10**7)
    assert sprite[1:] == (len(squares), SIDE, COLUMNS)
    sheet = sheet_of(sprite.uri)
    assert sheet.shape == (2 * SIDE, SIDE * COLUMNS, 3)
    for place in (0, 7, COLUMNS - 1, COLUMNS, COLUMNS + 2):
        row, column = divmod(place, COLUMNS)
        tile = sheet[SIDE * row : SIDE * row + SIDE, SIDE * column : SIDE * column + SIDE]
        assert abs(tile - place % 250).max() <= 8
    assert sheet_of(packed(squares[:3], 10**7).uri).shape == (SIDE, 3 * SIDE, 3)


def test_with_less_room_thumbnails_are_smaller_before_any_is_left_out():
    random = np.random.default_rng(0)
    squares = [random.integers(0, 255, (SIDE, SIDE, 3), np.uint8) for _ in range(40)]
    whole = packed(squares, 10**7)
    less = packed(squares, len(whole.uri) // 3)
    assert len(less.uri) <= len(whole.uri) // 3
    assert (less.kept, less.side < whole.side) == (40, True)
    few = packed(squares, len(whole.uri) // 200)
    assert 0 < few.kept < 40
    assert few.side == STEPS[-1][0]
    assert len(few.uri) <= len(whole.uri) // 200
    assert packed(squares, 10).kept == packed([], 10).kept == 0


def test_a_picture_is_made_smaller_but_never_larger():
    assert shrunk(np.zeros((100, 50, 3), np.uint8), 40).shape == (40, 20, 3)
    assert shrunk(np.zeros((10, 20, 3), np.uint8), 40).shape == (10, 20, 3)
