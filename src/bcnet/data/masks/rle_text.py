"""The strings of compressed RLE, compiled: what the COCO API writes (`rleToString`).

A string holds the lengths of runs of pixels, the background's first. Each length is a number of 5-bit groups, the
lowest first, one a character; from the fourth on it is the difference to the last but one. pycocotools checks too
little here: on a cut string it reads beyond the end.
"""

import numpy as np

from bcnet.compiled import njit

FIRST = 48  # the character of the group 0
GROUPS = 64  # characters: 32 groups that end a number, 32 that do not
LONGEST = 30  # bits of a number, more than the pixels of an image; pycocotools reads no more than 32


def bytes_of(text: str) -> np.ndarray:
    """A string as compiled functions take it, (bytes,) uint8, which can be written to: they are compiled once."""
    return np.frombuffer(bytearray(text.encode()), np.uint8)


@njit(cache=True, nogil=True)
def read_lengths(text: np.ndarray, start: int, end: int, lengths: np.ndarray) -> int:
    """The lengths that a string from `start` to `end` holds, whatever they are.

    Args:
        text: (bytes,) uint8.
        lengths: (end - start,) int64 or more; gets the lengths.

    Returns:
        How many there are; -1 for a broken string, as one is that ends within a number.
    """
    count = 0
    number = shift = np.int64(0)
    for place in range(start, end):
        group = np.int64(text[place]) - FIRST
        if group < 0 or group >= GROUPS or shift == LONGEST:
            return -1
        number |= (group & 31) << shift
        shift += 5
        if group & 32:  # more groups follow
            continue
        if group & 16:  # negative
            number -= np.int64(1) << shift
        lengths[count] = number + lengths[count - 2] if count > 2 else number
        count += 1
        number = shift = np.int64(0)
    return -1 if shift else count


@njit(cache=True, nogil=True)
def pixels_of(text: np.ndarray, start: int, end: int) -> int:
    """How many pixels the image of a mask has, whose string goes from `start` to `end`; -1: it is no mask's."""
    lengths, total = np.empty(end - start, np.int64), 0
    count = read_lengths(text, start, end, lengths)
    for place in range(count):
        if lengths[place] < 0:
            return -1
        total += lengths[place]
    return total if count >= 0 else -1
