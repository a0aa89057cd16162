"""Masks as runs of pixels, and their unions, differences, intersections and parts, compiled.

The runs of a mask are an int64 array [start0, end0, start1, end1, …], rising, ends exclusive, of pixel numbers counted
down the columns as COCO counts them: pixel (row, column) of an image is column * height + row.
"""

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks.rle_text import read_lengths


@njit(cache=True)
def decode(text: np.ndarray) -> np.ndarray:
    """Runs of a compressed RLE string, (bytes,) uint8, that is sound (`masks.segmentation_problem`)."""
    runs = np.empty(len(text), np.int64)
    return runs[: decode_to(text, 0, len(text), runs)]


@njit(cache=True, nogil=True)
def decode_to(text: np.ndarray, start: int, end: int, runs: np.ndarray) -> int:
    """Write the runs of the string from `start` to `end` to (end - start,) int64 or more; how many numbers they are."""
    count = read_lengths(text, start, end, runs)
    for k in range(1, count):
        runs[k] += runs[k - 1]  # where background ends, then foreground, and so on
    return count - count % 2


@njit(cache=True)
def encode(runs: np.ndarray, size: int) -> np.ndarray:
    """Compressed RLE string, (bytes,) uint8, of the runs of an image of `size` pixels: what `decode` takes."""
    text = np.empty(7 * (len(runs) + 1), np.uint8)  # 35 bits for each number
    used = position = last = last_but_one = 0
    for count in range(len(runs) + 1):
        end = runs[count] if count < len(runs) else size
        if count == len(runs) and end == position:
            break  # the last run reaches the image's end
        length = end - position
        number = length - last_but_one if count > 2 else length
        position, last_but_one, last = end, last, length
        more = True
        while more:
            group = number & 31
            number >>= 5
            more = number != (-1 if group & 16 else 0)
            text[used] = 48 + group + (32 if more else 0)
            used += 1
    return text[:used]


@njit(cache=True)
def cut(runs: np.ndarray, corners: np.ndarray, height: int) -> np.ndarray:
    """The part of a mask in a box, (4,) int64: left, top, right, bottom, of an image of that height."""
    left, top, right, bottom = corners
    part, count = np.empty(len(runs) + 2 * max(0, right - left), np.int64), 0
    if not len(runs) or runs[-1] <= left * height:
        return part[:0]
    for k in range(0, len(runs), 2):
        start, end = runs[k], runs[k + 1]
        if start >= right * height:
            break
        for column in range(max(start // height, left), min((end - 1) // height + 1, right)):
            low, high = max(start, column * height + top), min(end, column * height + bottom)
            if low < high:
                if count and part[count - 1] == low:  # on from the column before
                    part[count - 1] = high
                else:
                    part[count], part[count + 1] = low, high
                    count += 2
    return part[:count]


@njit(cache=True)
def union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pixels of either mask."""
    both, count, i, j = np.empty(len(a) + len(b), np.int64), 0, 0, 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] <= b[j]):
            start, end = a[i], a[i + 1]
            i += 2
        else:
            start, end = b[j], b[j + 1]
            j += 2
        if count and start <= both[count - 1]:
            both[count - 1] = max(both[count - 1], end)
        else:
            both[count], both[count + 1] = start, end
            count += 2
    return both[:count]


@njit(cache=True, nogil=True)
def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pixels of the first mask that are not the second's."""
    rest, count, j = np.empty(len(a) + len(b), np.int64), 0, 0
    for i in range(0, len(a), 2):
        start, end = a[i], a[i + 1]
        while j < len(b) and b[j + 1] <= start:
            j += 2
        k = j  # the last of these may reach into the next run of the first mask
        while k < len(b) and b[k] < end:
            if start < b[k]:
                rest[count], rest[count + 1] = start, b[k]
                count += 2
            start = b[k + 1]
            k += 2
        if start < end:
            rest[count], rest[count + 1] = start, end
            count += 2
    return rest[:count]


@njit(cache=True)
def area(runs: np.ndarray) -> int:
    """Number of pixels."""
    pixels = 0
    for k in range(0, len(runs), 2):
        pixels += runs[k + 1] - runs[k]
    return pixels


@njit(cache=True)
def shared_area(a: np.ndarray, b: np.ndarray) -> int:
    """Number of pixels of both masks."""
    if not len(a) or not len(b) or a[-1] <= b[0] or b[-1] <= a[0]:
        return 0
    pixels = 0
    i, j = _first_beyond(a, b[0]), _first_beyond(b, a[0])
    while i < len(a) and j < len(b):
        pixels += max(0, min(a[i + 1], b[j + 1]) - max(a[i], b[j]))
        if a[i + 1] < b[j + 1]:
            i += 2
        else:
            j += 2
    return pixels


@njit(cache=True)
def _first_beyond(runs: np.ndarray, pixel: int) -> int:
    """Where the first run that ends at this pixel or beyond stands."""
    low, high = 0, len(runs) // 2
    while low < high:
        middle = (low + high) // 2
        if runs[2 * middle + 1] < pixel:
            low = middle + 1
        else:
            high = middle
    return 2 * low


@njit(cache=True, nogil=True)
def append(all_runs: np.ndarray, count: int, runs: np.ndarray) -> np.ndarray:
    """Write the runs of a mask behind the first `count` numbers of an array; a longer one if they do not fit."""
    if count + len(runs) > len(all_runs):
        longer = np.empty(2 * (count + len(runs)), np.int64)
        for k in range(count):
            longer[k] = all_runs[k]
        all_runs = longer
    for k in range(len(runs)):
        all_runs[count + k] = runs[k]
    return all_runs


@njit(cache=True, nogil=True)
def parts(runs: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a mask that do not even touch at a corner (8-connected components).

    Returns:
        (S, 2) int64, starts and ends of the runs, cut at the ends of columns; and (S,) int64, which part each is of,
        numbered from 0 by their first runs.
    """
    runs = difference(runs, runs[:0])  # files may hold runs of no pixels
    runs = union(runs, runs[:0])
    size = 0
    for k in range(0, len(runs), 2):
        size += (runs[k + 1] - 1) // height - runs[k] // height + 1
    pieces, above, count = np.empty((size, 2), np.int64), np.arange(size), 0  # `above`: a forest, roots their own
    column = before = first = 0  # pieces from `before` to `first` are the column's to the left of `column`
    for k in range(0, len(runs), 2):
        for at in range(runs[k] // height, (runs[k + 1] - 1) // height + 1):
            if at != column:
                before, first, column = first if at == column + 1 else count, count, at
            start, end = max(runs[k], at * height), min(runs[k + 1], (at + 1) * height)
            pieces[count, 0], pieces[count, 1] = start, end
            while before < first and pieces[before, 1] + height < start:  # too high up for all that follow, too
                before += 1
            left = before
            while left < first and pieces[left, 0] + height <= end:
                a, b = _root(above, left), _root(above, count)
                above[max(a, b)] = min(a, b)
                left += 1
            count += 1
    part, count = np.empty(size, np.int64), 0
    for k in range(size):
        if above[k] == k:
            part[k] = count
            count += 1
        else:
            part[k] = part[above[k]]  # which comes before
    return pieces, part


@njit(cache=True, nogil=True)
def _root(above: np.ndarray, piece: int) -> int:
    while above[piece] != piece:
        above[piece] = above[above[piece]]
        piece = above[piece]
    return piece


@njit(cache=True, nogil=True)
def pixels(runs: np.ndarray, corners: np.ndarray, height: int) -> np.ndarray:
    """What of a mask is seen in a box (as of `cut`): (bottom - top, right - left) bool."""
    left, top, right, bottom = corners
    seen = np.zeros((right - left, bottom - top), np.bool_)
    part = cut(runs, corners, height)
    for k in range(0, len(part), 2):
        for pixel in range(part[k], part[k + 1]):
            seen[pixel // height - left, pixel % height - top] = True
    return seen.T
