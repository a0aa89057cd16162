"""The command-line program: its verbs, and how they end."""

import argparse
import sys
import time

from bcnet import __version__
from bcnet.cli import data_verbs, model_verbs, project_verbs, result_verbs
from bcnet.files import InputError
from bcnet.quiet import quiet

VERBS = {**data_verbs.VERBS, **model_verbs.VERBS, **result_verbs.VERBS, **project_verbs.VERBS}


def parser() -> argparse.ArgumentParser:
    """The argument parser of all verbs."""
    top = argparse.ArgumentParser(
        prog="bcnet", description="Instance segmentation under occlusion: train and compare methods."
    )
    top.add_argument("--version", action="version", version=f"bcnet {__version__}")
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        sub = subparsers.add_parser(
            name,
            help=verb.help,
            description=verb.help,
            epilog="\n".join([f"example: {verb.example}", *verb.more.splitlines()]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for flags, options in verb.arguments:
            sub.add_argument(*flags, **options)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit code 0: done; 2: wrong input, one line on stderr; 130: interrupted."""
    args = parser().parse_args(argv)
    quiet()
    verb = VERBS[args.verb]
    if wrong := verb.wrong(args):
        parser().error(f"{args.verb}: {wrong}")
    start = time.monotonic()
    try:
        if said := verb.run(args):
            print(f"bcnet {args.verb}: {said} ({time.monotonic() - start:.1f} s)", file=sys.stderr)
    except InputError as error:
        # a worker process of the loader puts its traceback before the line
        line = str(error).splitlines()[-1].removeprefix("bcnet.files.InputError: ")
        print(f"bcnet {args.verb}: {line}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "bcnet").partition(".")[0] == "bcnet":
            raise
        extras = "install 'bcnet[train]' for models, 'bcnet[workflow]' for everything (docs/python.md)"
        print(f"bcnet {args.verb}: the package {error.name} is not installed: {extras}", file=sys.stderr)
        return 2
    except OSError as error:  # no right to write, a file where a folder belongs, a full disk
        print(f"bcnet {args.verb}: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bcnet {args.verb}: interrupted", file=sys.stderr)
        return 130
    return 0
