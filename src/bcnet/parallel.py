"""Work on several processes, in order and with bounded memory, and on several machines, in shards."""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from bcnet.files import InputError

AHEAD = 4  # packets of items for each process that wait, run, or whose results have not been taken

T = TypeVar("T")
R = TypeVar("R")
Shard = tuple[int, int]  # (k, n): the kth of n equal parts, k from 1


def in_processes(
    function: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    together: int = 4,
    start: Callable[[], None] = lambda: None,
) -> Iterator[R]:
    """`function` of each item, in order, by `jobs` processes; items are taken only as results are.

    (`ProcessPoolExecutor.map` takes all items at once; `multiprocessing.Pool` waits for ever for a process that was
    killed, and can hang when an error ends it.)

    Args:
        together: items that a process gets at once; more where an item takes less than a millisecond.
        start: called in each process before its first item.

    Raises:
        InputError: a process was killed.
    """
    if jobs == 1:
        start()
        yield from map(function, items)
        return
    left, running = iter(items), deque[Future[list[R]]]()
    gc.freeze()  # or else the processes' garbage collectors would touch, and so copy, all that they inherit
    with ProcessPoolExecutor(jobs, initializer=start) as pool:
        try:
            while packet := list(islice(left, together)):
                if len(running) == AHEAD * jobs:
                    yield from running.popleft().result()
                running.append(pool.submit(_each, function, packet))
            while running:
                yield from running.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(f"one of {jobs} processes was killed, probably out of memory: use fewer") from error
        finally:
            gc.unfreeze()
            for future in running:
                future.cancel()


def _each(function: Callable[[T], R], items: list[T]) -> list[R]:
    return [function(item) for item in items]


def of_shard(items: Sequence[T], shard: Shard) -> Sequence[T]:
    """The items of a shard, in order: every nth.

    Raises:
        InputError: there is no such shard.
    """
    k, n = shard
    if not 1 <= k <= n:
        raise InputError(f"--shard {k}/{n}: expected two whole numbers K/N with 1 <= K <= N")
    return items[k - 1 :: n]
