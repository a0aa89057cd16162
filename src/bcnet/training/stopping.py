"""A training that is told to end, as a cluster does before a job's time is up, ends with a checkpoint."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # a batch system sends the first, or the one that its user chose


class ToldToEndError(Exception):
    """The training ends before its last iteration, as it was told; what is done is kept.

    Attributes:
        exit_code: the one that a shell gives a command that this signal has ended.
    """

    def __init__(self, line: str, number: int) -> None:
        super().__init__(line)
        self.exit_code = 128 + number


class Told:
    """Which signal to end has come; None: none yet."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """What Python calls between two instructions of the main thread."""
        self.signal = signal.Signals(number)

    def is_told(self) -> bool:
        """Whether one has come."""
        return self.signal is not None


@contextmanager
def listening() -> Iterator[Told]:
    """Note signals that tell this process to end, in the place of ending at once; only in the main thread."""
    told = Told()
    before = {number: signal.signal(number, told.hear) for number in SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_to_parent(worker: int) -> None:
    """Let a process that loads data outlive signals to end: a batch system sends them to all processes of a job.

    The training keeps a checkpoint and then ends it. A signal of the training itself still ends it: without that, an
    error in the training would wait for its end for ever.

    Args:
        worker: its number; for `DataLoader`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait() -> None:
        while signal.sigwaitinfo(SIGNALS).si_pid != os.getppid():
            pass
        os._exit(0)

    Thread(target=wait, daemon=True).start()
