"""JSON in the bytes of a file: spaces, whole numbers and where a value ends; compiled."""

import numpy as np

from bcnet.compiled import njit

SPACE, QUOTE, COMMA, POINT, ZERO, NINE, COLON, LETTER_N = 32, 34, 44, 46, 48, 57, 58, 110
OPEN, BACKSLASH, CLOSE, BEGIN, END, DELETE = 91, 92, 93, 123, 125, 127  # open, close: brackets; begin, end: braces
DIGITS = 18  # a number of so many has room in an int64


@njit(cache=True, nogil=True)
def after_space(text: np.ndarray, at: int, stop: int) -> int:
    """Where the next byte is that is no space; `stop`: nowhere."""
    while at < stop and (text[at] == SPACE or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@njit(cache=True, nogil=True)
def whole_number(text: np.ndarray, at: int, stop: int) -> tuple[int, int]:
    """The whole number from 0 that stands there, `.0` behind it or not, and where it ends; -1: there is none."""
    start, number = at, 0
    while at < stop and ZERO <= text[at] <= NINE:
        number = 10 * number + text[at] - ZERO
        at += 1
    if at == start or at - start > DIGITS or (text[start] == ZERO and at > start + 1):
        return 0, -1
    if at + 1 < stop and text[at] == POINT and text[at + 1] == ZERO:
        at += 2
    if at < stop and (text[at] == COMMA or text[at] == END or text[at] == CLOSE or text[at] <= SPACE):
        return number, at
    return 0, -1


@njit(cache=True, nogil=True)
def value_end(text: np.ndarray, at: int, stop: int) -> int:
    """Where a value ends, of any kind; -1: within one."""
    depth, quoted = 0, False
    while at < stop:
        letter = text[at]
        if quoted:
            if letter == BACKSLASH:
                at += 1
            quoted = letter != QUOTE
        elif letter == QUOTE:
            quoted = True
        elif letter in (OPEN, BEGIN):
            depth += 1
        elif depth and letter in (CLOSE, END):
            depth -= 1
        elif not depth and letter in (COMMA, END):
            return at
        at += 1
    return -1
