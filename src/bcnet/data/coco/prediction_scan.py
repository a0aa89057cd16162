"""Predictions as the COCO API writes them, from the bytes of a file into columns; compiled.

Whole numbers and the strings of masks are read here. All other values are gathered, one list of JSON for each of
TEXTS, which a parser of JSON reads: whatever is no JSON, it finds.
"""

import numpy as np

from bcnet.compiled import njit
from bcnet.data.coco.json_bytes import (
    BACKSLASH,
    BEGIN,
    CLOSE,
    COLON,
    COMMA,
    DELETE,
    END,
    LETTER_N,
    OPEN,
    QUOTE,
    SPACE,
    after_space,
    value_end,
    whole_number,
)
from bcnet.data.masks.rle_text import FIRST, GROUPS, LONGEST

IDS = ("image_id", "category_id")
MASKS = ("segmentation", "occluder")
TEXTS = ("score", "box_score", "bbox", "id", "others")  # what entries lack is null, but for `others`, a plain list
NUMBERS = ("height", "width", "length", "pixels")  # of a mask: of its image, of its string, of its runs
COLUMNS = (*IDS, *(f"{mask} {number}" for mask in MASKS for number in NUMBERS))
ABSENT = -1  # as the height of a mask that is not there
_MASK_HEIGHT, _OCCLUDER_HEIGHT = (COLUMNS.index(f"{mask} height") for mask in MASKS)
_ENTRY = 32  # bytes, fewer than the shortest prediction has

_KEYS = (*IDS, *MASKS, *TEXTS[:-1], "size", "counts")
_NAMES = np.frombuffer("".join(_KEYS).encode(), np.uint8).copy()
_ENDS = np.cumsum([len(key) for key in _KEYS])
_MASK, _OCCLUDER, _TEXT, _SIZE, _COUNTS, _OTHER = 2, 3, 4, 8, 9, 10  # places in _KEYS; the last is beyond
_NEEDED = 1 << 0 | 1 << 1 | 1 << _TEXT  # bits of the keys that a prediction must have, and with masks
_NEEDED_MASK = _NEEDED | 1 << _MASK

Room = tuple[np.ndarray, np.ndarray]  # where `scan` writes its numbers and texts


def room(length: int) -> Room:
    """Arrays for `scan` that hold whatever may stand in so many bytes; only what is written takes memory."""
    return np.empty((length // _ENTRY + 1, len(COLUMNS)), np.int64), np.empty((len(TEXTS), length + 8), np.uint8)


@njit(cache=True, nogil=True)
def scan(
    text: np.ndarray,
    start: int,
    stop: int,
    masks: bool,
    strings: np.ndarray,
    occluders: np.ndarray,
    numbers: np.ndarray,
    texts: np.ndarray,
) -> tuple[int, np.ndarray, np.ndarray]:
    """Read predictions, JSON objects with commas between them.

    Args:
        text: (bytes,) uint8, of a file; they are from `start` to `stop`.
        masks: whether they are masks; the masks of boxes are passed over.
        strings, occluders: (bytes,) uint8, as long as `text`; get the strings of masks, one after the other, from
            `start` on.
        numbers, texts: from `room`; get COLUMNS of each prediction, -1 as the pixels of a string that is no mask's, and
            for each of TEXTS values with a comma behind each.

    Returns:
        How many predictions there are, 0: one is written in another way, or wrong; (5,) int64, how long the texts are,
        and how many of them entries have.
    """
    lengths, counts = np.zeros(len(TEXTS), np.int64), np.zeros(len(TEXTS), np.int64)
    failed = 0, lengths, counts
    ends = np.array([start, start])
    needed = _NEEDED_MASK if masks else _NEEDED
    row, at = 0, start
    while row < len(numbers):
        at = after_space(text, at, stop)
        if at == stop or text[at] != BEGIN:
            return failed
        seen, at = _prediction(text, at, stop, masks, strings, occluders, ends, numbers[row], texts, lengths, counts)
        if at < 0 or seen & needed != needed:
            return failed
        for own in range(1, len(TEXTS) - 1):
            if not seen >> (_TEXT + own) & 1:
                for letter in (LETTER_N, 117, 108, 108, COMMA):  # null
                    texts[own, lengths[own]] = letter
                    lengths[own] += 1
        row += 1
        at = after_space(text, at, stop)
        if at == stop:
            return row, lengths, counts
        if text[at] != COMMA:
            return failed
        at += 1
    return failed


@njit(cache=True, nogil=True)
def _prediction(
    text: np.ndarray,
    at: int,
    stop: int,
    masks: bool,
    strings: np.ndarray,
    occluders: np.ndarray,
    ends: np.ndarray,
    numbers: np.ndarray,
    texts: np.ndarray,
    lengths: np.ndarray,
    counts: np.ndarray,
) -> tuple[int, int]:
    """Read the prediction that starts at `at`.

    Args:
        text, stop, masks, strings, occluders: as of `scan`.
        ends: (2,) int64, where what is written in `strings` and in `occluders` ends.
        numbers: (10,) int64, get its COLUMNS.
        texts, lengths, counts: what `scan` returns, as far as it is read.

    Returns:
        Which of _KEYS it has, a bit each, and where it ends; -1: it is written in another way, or wrong.
    """
    numbers[:] = 0
    numbers[_MASK_HEIGHT] = numbers[_OCCLUDER_HEIGHT] = ABSENT
    seen, more = 0, True
    while more:
        key, at = _key(text, at + 1, stop)
        if at < 0 or seen >> key & 1:
            return seen, -1
        seen |= (1 << key) & ((1 << _SIZE) - 1)
        if key < _MASK:
            numbers[key], at = whole_number(text, at, stop)
        elif masks and key == _MASK:
            ends[0], at = _mask(text, at, stop, strings, ends[0], numbers[_MASK_HEIGHT:_OCCLUDER_HEIGHT])
        elif masks and key == _OCCLUDER and text[at] != LETTER_N:
            ends[1], at = _mask(text, at, stop, occluders, ends[1], numbers[_OCCLUDER_HEIGHT:])
        else:
            at = _gather(text, at, stop, key, texts, lengths, counts)
        if at < 0:
            return seen, -1
        at = after_space(text, at, stop)
        more = at < stop and text[at] == COMMA
    return seen, at + 1 if at < stop and text[at] == END else -1


@njit(cache=True, nogil=True)
def _gather(
    text: np.ndarray, at: int, stop: int, key: int, texts: np.ndarray, lengths: np.ndarray, counts: np.ndarray
) -> int:
    """Add the value that stands there to those of its key in `texts`; where it ends, -1: within `text` nowhere."""
    own = key - _TEXT if _TEXT <= key < _SIZE else len(TEXTS) - 1
    end = value_end(text, at, stop)
    if end < 0:
        return -1
    for place in range(at, end):
        texts[own, lengths[own] + place - at] = text[place]
    texts[own, lengths[own] + end - at] = COMMA
    lengths[own] += end - at + 1
    counts[own] += 1
    return end


@njit(cache=True, nogil=True)
def _key(text: np.ndarray, at: int, stop: int) -> tuple[int, int]:
    """Which of _KEYS stands there, spaces before it, and where its value starts; -1: there is none."""
    at = after_space(text, at, stop)
    if at == stop or text[at] != QUOTE:
        return _OTHER, -1
    start = at = at + 1
    while at < stop and text[at] != QUOTE:
        if text[at] < SPACE or text[at] >= DELETE or text[at] == BACKSLASH:
            return _OTHER, -1
        at += 1
    key = _place(text, start, at)
    at = after_space(text, at + 1, stop)
    if at >= stop or text[at] != COLON:
        return key, -1
    at = after_space(text, at + 1, stop)
    return key, at if at < stop else -1


@njit(cache=True, nogil=True)
def _place(text: np.ndarray, start: int, end: int) -> int:
    """Which of _KEYS stands from `start` to `end`."""
    key, first = _OTHER, 0
    for place in range(len(_ENDS)):
        if key == _OTHER and _ENDS[place] - first == end - start:
            key = place
            for letter in range(end - start):
                if text[start + letter] != _NAMES[first + letter]:
                    key = _OTHER
        first = _ENDS[place]
    return key


@njit(cache=True, nogil=True)
def _mask(
    text: np.ndarray, at: int, stop: int, strings: np.ndarray, written: int, numbers: np.ndarray
) -> tuple[int, int]:
    """Read compressed RLE, an object of `size` and `counts`; its NUMBERS go to `numbers`.

    Returns:
        Where its string ends in `strings`, from `written` on, and where it ends itself; -1: it is none.
    """
    if text[at] != BEGIN:
        return written, -1
    start, seen, more = written, 0, True
    while more:
        key, at = _key(text, at + 1, stop)
        if at < 0 or seen >> key & 1:
            return start, -1
        seen |= 1 << key
        if key == _SIZE and text[at] == OPEN:
            at = _sides(text, at + 1, stop, numbers)
            if at < 0:
                return start, -1
        elif key == _COUNTS and text[at] == QUOTE:
            read, length, numbers[3] = _counts(text[at + 1 : stop], strings[written:])
            if read < 0:
                return start, -1
            at, written = at + 1 + read, written + length
        else:
            return start, -1
        at = after_space(text, at, stop)
        more = at < stop and text[at] == COMMA
    if at >= stop or text[at] != END or seen != 1 << _SIZE | 1 << _COUNTS:
        return start, -1
    numbers[2] = written - start
    return written, at + 1


@njit(cache=True, nogil=True)
def _counts(text: np.ndarray, string: np.ndarray) -> tuple[int, int, int]:
    """Write what stands before the next quote to `string`, and add up its runs, in one pass.

    Returns:
        How many bytes that and the quote are (-1: there is none), how many are written, and how many pixels the runs
        have; -1: they are no mask's.
    """
    length, escaped, sound = 0, False, True
    pixels = number = shift = last = last_but_one = np.int64(0)
    runs = 0
    for place in range(len(text)):
        letter = text[place]
        if escaped:
            if letter != BACKSLASH:
                return -1, length, -1
            escaped = False
        elif letter == QUOTE:
            return place + 1, length, int(pixels) if sound and shift == 0 else -1
        elif letter == BACKSLASH:  # of the letters of masks only this one is escaped, by itself
            escaped = True
            continue
        string[length] = letter
        length += 1
        group = np.int64(letter) - FIRST
        if group & -GROUPS or shift >= LONGEST:  # below 0 or above the last, or without room
            sound = False
        number |= (group & 31) << shift
        shift += 5
        if group & 32 and sound:  # more groups follow, for which the number has room
            continue
        if group & 16:
            number -= np.int64(1) << shift
        if runs > 2:
            number += last_but_one
        if number < 0:
            sound = False
        pixels += number
        last_but_one, last, number, shift = last, number, np.int64(0), np.int64(0)
        runs += 1
    return -1, length, -1


@njit(cache=True, nogil=True)
def _sides(text: np.ndarray, at: int, stop: int, sides: np.ndarray) -> int:
    """Read height and width, which stand before a bracket, into `sides`; the place behind it, -1: they do not."""
    sides[0], at = _side(text, at, stop, COMMA)
    if at >= 0:
        sides[1], at = _side(text, at, stop, CLOSE)
    return at


@njit(cache=True, nogil=True)
def _side(text: np.ndarray, at: int, stop: int, last: int) -> tuple[int, int]:
    """A whole number among spaces, and the place behind the letter `last`, which follows; -1: it does not."""
    number, at = whole_number(text, after_space(text, at, stop), stop)
    if at >= 0:
        at = after_space(text, at, stop)
        at = at + 1 if at < stop and text[at] == last else -1
    return number, at
