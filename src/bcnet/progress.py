"""The progress line of long work."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing `what` and how far along it is on stderr.

    On a terminal the line moves; in a log file it is a line every ten seconds. Work under a second shows nothing.
    """
    terminal = sys.stderr.isatty()
    with tqdm(
        items,
        desc=what,
        total=total,
        delay=1,
        leave=terminal,
        ascii=not terminal,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else 10,
        maxinterval=10,
    ) as bar:
        if not terminal:
            bar.bar_format = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]\n"
        yield from bar
