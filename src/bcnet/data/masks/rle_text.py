"""The strings of compressed RLE, compiled: what the COCO API writes (`rleToString`).

A string holds the lengths of runs of pixels, the background's first. Each length is a number of 5-bit groups, the
lowest first, one a character; from the fourth on it is the difference to the last but one. pycocotools checks too
little here: on a cut string it reads beyond the end.
"""

import numpy as np

from bcnet.compiled import njit

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
        group = np.int64(text[place]) - 48
        if group < 0 or group > 63 or shift == LONGEST:
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
def are_masks(texts: np.ndarray, ends: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether strings, one after the other, are those of masks: lengths from 0 that sum to so many pixels.

    Args:
        texts: (bytes,) uint8, of all.
        ends: (N,) int64, where each ends.
        pixels: (N,) int64, of each mask's image.
    """
    start = longest = 0
    for end in ends:
        longest, start = max(longest, end - start), end
    lengths, start = np.empty(longest, np.int64), 0
    for mask in range(len(ends)):
        count = read_lengths(texts, start, ends[mask], lengths)
        total = 0
        for length in lengths[: max(count, 0)]:
            if length < 0:
                return False
            total += length
        if count < 0 or total != pixels[mask]:
            return False
        start = ends[mask]
    return True
