"""The progress line of long work."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
Result = TypeVar("Result")


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


def in_threads(function: Callable[[T], Result], items: list[T], what: str) -> list[Result]:
    """`function` of each item, in order, with progress; for work that frees Python's lock. The first error ends it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(progress(pool.map(function, items), what, len(items)))
