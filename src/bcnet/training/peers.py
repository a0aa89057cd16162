"""Processes that train together: the end of one ends the others in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed

from bcnet.files import InputError


@contextmanager
def while_peers_live(command: str) -> Iterator[None]:
    """Say in one line that another process of this training has ended, which is seen where they meet.

    Args:
        command: what the line calls the work.

    Raises:
        InputError: in place of what gloo and NCCL raise.
    """
    try:
        yield
    except RuntimeError as error:
        if not distributed.is_initialized() or not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        others = f"one of the {distributed.get_world_size()} processes of this training has ended"
        rank = os.environ.get("RANK", "0")
        raise InputError(f"process {rank}: {others}: see what it said; `{command}` again resumes") from error
