"""What a verb of the command line consists of, and arguments that several verbs take.

A verb's `run` imports the modules that do the work, so that no verb waits for what only others need.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcnet.layout import DATA, DatasetFiles
from bcnet.parallel import Shard
from bcnet.threads import processors

Argument = tuple[tuple[str, ...], dict[str, Any]]  # flags and options of argparse
DEMO = DatasetFiles(DATA / "demo")  # of the examples


@dataclass(frozen=True)
class Verb:
    """A verb of the program.

    Attributes:
        run: does the work, and returns what it has written, a line for people that is shown with the seconds it took.
        help: a line for the list of verbs.
        example: a command line.
        arguments: what it takes.
        wrong: what is wrong with a combination of arguments that each are right, None if nothing is.
        more: lines of `--help` below the example.
    """

    run: Callable[[Namespace], str | None]
    help: str
    example: str
    arguments: tuple[Argument, ...] = ()
    wrong: Callable[[Namespace], str | None] = lambda args: None
    more: str = ""


def argument(*flags: str, **options: Any) -> Argument:
    """What `ArgumentParser.add_argument` takes."""
    return flags, options


def file(flag: str, text: str, required: bool = True) -> Argument:
    """A flag with a path."""
    return argument(flag, type=Path, required=required, help=text, metavar="FILE")


def shard(text: str) -> Shard:
    """K/N as two numbers."""
    k, n = text.split("/")
    return int(k), int(n)


JOBS = argument(
    "--jobs", type=int, metavar="N", default=processors(), help="number of processes (default: one for each core)"
)
SEED = argument("--seed", type=int, metavar="N", default=0, help="one of the seeds in params.yaml (default 0)")
SHARD = argument("--shard", type=shard, metavar="K/N", help="only part K of N of the images (docs/scale.md)")
