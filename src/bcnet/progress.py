"""The progress line of long work."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

from bcnet.threads import processors

T = TypeVar("T")
Result = TypeVar("Result")
DELAY = 1  # seconds before the first line
LOG_EVERY = 10  # seconds between two lines of a log


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing `what` and how far along it is on stderr.

    On a terminal the line moves; in a log file it is a line every ten seconds. Work under a second shows nothing.
    """
    with _bar(what, iterable=items, total=total) as bar:
        yield from bar


def byte_progress(what: str, total: int | None = None) -> tqdm:
    """A progress line of bytes that its caller updates, as a context manager. Several may run at once, in threads."""
    return _bar(what, total=total, unit="B", unit_scale=True, unit_divisor=1024)


def note(line: str) -> None:
    """Write a line to stderr, above the progress lines that run."""
    tqdm.write(line, file=sys.stderr)


def _bar(what: str, **options: Any) -> tqdm:
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=what,
        delay=DELAY,
        leave=terminal,
        position=None if terminal else 0,  # a log has no lines above or below to move to
        bar_format=None if terminal else "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]\n",
        ascii=not terminal,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else LOG_EVERY,
        maxinterval=10,
        **options,
    )


def in_threads(function: Callable[[T], Result], items: list[T], what: str, threads: int | None = None) -> list[Result]:
    """`function` of each item, in order, with progress; for work that frees Python's lock. The first error ends it.

    Args:
        threads: how many; None: one for each processor.
    """
    with ThreadPoolExecutor(threads or processors()) as pool:
        return list(progress(pool.map(function, items), what, len(items)))
