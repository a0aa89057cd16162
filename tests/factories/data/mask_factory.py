"""Runs and parts of masks, computed slowly."""

import numpy as np


def runs_of(mask):
    """Runs of a mask, (H, W) bool, where neighbours differ down its columns."""
    edges = np.diff(mask.ravel(order="F").astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges).astype(np.int64)


def flooded(mask):
    """The number of each pixel's part, down the columns, -1 for background: a plain flood to all eight neighbours."""
    number, found = np.full(mask.shape, -1), 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if not mask[row, column] or number[row, column] >= 0:
                continue
            wet = [(row, column)]
            while wet:
                y, x = wet.pop()
                if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and number[y, x] < 0:
                    number[y, x] = found
                    wet += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            found += 1
    return number
