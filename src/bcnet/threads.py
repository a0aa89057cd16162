"""How many processors this process may use, and how threads wait for each other."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

TURN = 1e-4  # seconds that a thread has Python's lock when another one waits for it; 0.005 otherwise
SPIN = "1000"  # turns of a loop, some microseconds; GNU's OpenMP takes 300,000 where it believes to be alone


def processors() -> int:
    """How many processors this process may use: on a cluster those that its job was given, not all of the node."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """How many threads compute: the first number of OMP_NUM_THREADS, as in `4,2`; else one for each processor."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, int(first)) if first.isdecimal() else processors()


def wait_asleep() -> None:
    """Let PyTorch's threads sleep soon after they begin to wait, not spin; before PyTorch is loaded.

    On a machine that others use, a thread that spins keeps the processor from the one that it waits for. An environment
    that says how to wait is left as it is.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)


@contextmanager
def thread_beside() -> Iterator[ThreadPoolExecutor]:
    """A thread for work beside that of this one, most of which is compiled: it waits for Python's lock only shortly.

    If this one fails or is interrupted, what waits there is not begun.
    """
    turn = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        with ThreadPoolExecutor(1) as beside:
            try:
                yield beside
            except BaseException:
                beside.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        sys.setswitchinterval(turn)
