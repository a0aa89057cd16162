"""The log of a stage that DVC runs, where Snakemake writes it: `logs/DATASET/train/bcnet-0.log` of train@bcnet-0."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bcnet.files import InputError
from bcnet.layout import LOGS

# The log outlives a signal to end, so that a training can say that it keeps a checkpoint.
TEE = "trap '' HUP INT TERM USR1; exec tee \"$0\""
STAGE = re.compile(r"((\.\./)*dvc\.yaml:)?(?P<name>[A-Za-z0-9_@-]*)")  # as DVC calls one made of legal names


@contextmanager
def logged(verb: str) -> Iterator[None]:
    """Copy all that a verb says, also through C and its own processes, into its stage's log; without DVC do nothing.

    Args:
        verb: its name; `params` is no stage, but what each of them begins with. What several processes that train
            together say is in the log of the one that has started them.
    """
    path = None if verb == "params" or "WORLD_SIZE" in os.environ else log_of(os.environ.get("DVC_STAGE", ""))
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    with subprocess.Popen(["sh", "-c", TEE, str(path)], stdin=subprocess.PIPE) as tee:
        assert tee.stdin is not None
        for stream in (1, 2):
            os.dup2(tee.stdin.fileno(), stream)
        tee.stdin.close()
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, own in zip((1, 2), kept, strict=True):
                os.dup2(own, stream)
                os.close(own)


def log_of(stage: str) -> Path | None:
    """The log of a stage by its name in DVC; None: there is none, or params.yaml is wrong, as the verb will say."""
    from bcnet import params

    match = STAGE.fullmatch(stage)
    if match is None or not match["name"]:
        return None
    try:
        dataset = params.load().dataset
    except InputError:
        return None
    name, _, entry = match["name"].partition("@")
    return LOGS / dataset / name / f"{entry}.log" if entry else LOGS / dataset / f"{name}.log"
