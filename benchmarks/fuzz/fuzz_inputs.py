"""Thousands of spoilt params files, predictions, model files, annotation files to be mended, and datasets.

No traceback, no hang, nothing wrong accepted, no mended file that contradicts its original beyond what was said.

python benchmarks/fuzz/fuzz_inputs.py [cases] [seed] [params|predictions|model|fix|parts|amodal ...]
"""

import io
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from fuzz_datasets import judge_amodal, judge_parts
from fuzz_fix import judge_fix
from fuzz_models import judge_model
from fuzz_params import judge_params
from fuzz_predictions import judge_predictions

HANGS = 30  # seconds


class HangsError(Exception):
    """It takes too long."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise `HangsError` in what takes longer than `HANGS`."""

    def ring(*_: Any) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


JUDGES = {
    "params": judge_params,
    "predictions": judge_predictions,
    "model": judge_model,
    "fix": judge_fix,
    "parts": judge_parts,
    "amodal": judge_amodal,
}


def fuzz(what: str, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Judge spoilt files of one kind: counts of how they were taken, and what is wrong."""
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        for number in range(cases):
            try:
                with limited():
                    kind, found = JUDGES[what](random.Random(f"{what} {seed} {number}"), Path(folder))
            except Exception as error:  # whatever escapes is what this looks for
                kind, found = "crashed", [f"{type(error).__name__}: {error!s:.300}"]
            kinds[kind] += 1
            wrong += [f"{what} {number}: {it}" for it in found]
    return kinds, wrong


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    total, first_seed = (numbers + [2000, 0][len(numbers) :])[:2]
    failed = False
    for name in sys.argv[3:] or JUDGES:
        started = time.monotonic()
        taken, problems = fuzz(name, total, first_seed)
        print(
            f"{name}: {total} cases, seed {first_seed}, {time.monotonic() - started:.0f} s: {dict(taken)}", flush=True
        )
        print(*problems, f"{len(problems)} wrong", sep="\n", flush=True)
        failed = failed or bool(problems)
    sys.exit(failed)
