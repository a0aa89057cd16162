"""The verbs about the project itself: its parameters, and what both tools know of it."""

import argparse
import os
import sys
from argparse import Namespace

from bcnet.cli.stage_log import STAGE
from bcnet.cli.verb import Verb, argument
from bcnet.files import InputError, shown
from bcnet.layout import DATA, REPORTS


def params(args: Namespace) -> None:
    """What dvc.yaml runs before each command that it puts together from names in params.yaml."""
    from bcnet import params

    run = params.load()
    # DVC read the file earlier than this did: it may have been another one. Names of stages are made of names in it.
    if not STAGE.fullmatch(stage := os.environ.get("DVC_STAGE", "")):
        raise InputError(f"DVC_STAGE: {shown(stage)}: not made of legal names; has {params.PARAMS} just changed?")
    if not stage:  # `train` itself says it in its stage
        for line in run.remarks():
            print(f"bcnet params: {line}", file=sys.stderr)


def sync(args: Namespace) -> None:
    from bcnet.workflow.sync import sync

    sync()


def run(args: Namespace) -> None:
    from bcnet.workflow.tools import run

    run(args.tool, args.arguments)


def preset(args: Namespace) -> str:
    from bcnet.presets import put_preset

    put_preset(args.name)
    return "wrote params.yaml"


def clean(args: Namespace) -> None:
    from bcnet.clean import clean

    clean(DATA, REPORTS, args.yes)


def completion(args: Namespace) -> None:
    import shtab

    from bcnet.cli import parser

    print(shtab.complete(parser(shtab.FILE), args.shell))


VERBS = {
    "params": Verb(params, "check params.yaml; prints nothing if it is valid", "bcnet params"),
    "run": Verb(
        run,
        "run all stages with Snakemake or DVC; the same command goes on after a kill",
        "bcnet run dvc",
        (
            argument("tool", choices=("snakemake", "dvc"), help="the tool: `snakemake` or `dvc repro`"),
            argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="more arguments for it"),
        ),
        more="""
A killed DVC can leave a lock that stops every later `dvc repro`; this removes locks whose process is gone. A plain
`snakemake` does so by itself.""",
    ),
    "sync": Verb(sync, "make Snakemake and DVC agree on what is up to date", "bcnet sync"),
    "completion": Verb(
        completion,
        "print a script that completes verbs, flags and paths in your shell",
        "bcnet completion bash > ~/.local/share/bash-completion/completions/bcnet",
        (argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell"),),
    ),
    "preset": Verb(
        preset,
        "copy presets/NAME.yaml to params.yaml",
        "bcnet preset coco",
        (argument("name", help="a file name in presets/, without .yaml"),),
    ),
    "clean": Verb(
        clean,
        "list files that finished or killed commands left in data/ and reports/, and remove them after asking",
        "bcnet clean",
        (argument("--yes", action="store_true", help="remove them without asking"),),
        more="""
It removes checkpoints, converted shards and stored partial predictions of work that is finished, or that cannot
resume because the code, an input or the settings changed; incomplete downloads; and temporary files and locks of
killed commands. It keeps models, what a finished training puts back after a new label, predictions, images, complete
downloads, and everything that changed in the last ten minutes.""",
    ),
}
