"""The command-line program: its verbs, and how they end."""

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from bcnet import __version__
from bcnet.cli import data_verbs, model_verbs, project_verbs, result_verbs
from bcnet.cli.stage_log import logged
from bcnet.files import InputError
from bcnet.quiet import quiet
from bcnet.suggest import did_you_mean, legal
from bcnet.threads import wait_asleep

VERBS = {**data_verbs.VERBS, **model_verbs.VERBS, **result_verbs.VERBS, **project_verbs.VERBS}
ASKED = re.compile(r"tried to allocate (?P<size>[\d.]+ ?\w+)", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with the arguments, as of all other wrong input."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` shows what it takes)\n")


def parser(path_completion: Any = None) -> argparse.ArgumentParser:
    """The argument parser of all verbs.

    Args:
        path_completion: what completes paths in each shell, as shtab has it.
    """
    top = Parser(prog="bcnet", description="Instance segmentation under occlusion: train and compare methods.")
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
            action: Any = sub.add_argument(*flags, **options)
            if options.get("type") is Path:
                action.complete = path_completion
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit code 0: done; 2: wrong input, one line on stderr; 130: interrupted.

    A reader of the output that wants no more of it, such as `head`, is no error.
    """
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at the end
        return 0


def _parsed(argv: list[str]) -> argparse.Namespace:
    """The arguments; a verb or a flag that does not exist ends the program with the one that was probably meant."""
    top = parser()
    if argv and argv[0] not in VERBS and not argv[0].startswith("-"):
        top.error(f"{argv[0]!r} is no verb{legal(argv[0], VERBS)}")
    if argv and argv[0] in VERBS and (flag := _unknown_flag(argv)):  # before argparse asks for the one that was meant
        _wrong(argv[0], f"unrecognized: {flag}{did_you_mean(flag, _flags(argv[0]))}")
    args, unknown = top.parse_known_args(argv)
    if unknown:
        _wrong(args.verb, f"unrecognized: {' '.join(unknown)}")
    return args


def _wrong(verb: str, message: str) -> NoReturn:
    Parser(prog=f"bcnet {verb}").error(message)


def _flags(verb: str) -> list[str]:
    return ["--help", *(flag for names, _ in VERBS[verb].arguments for flag in names if flag.startswith("-"))]


def _unknown_flag(argv: list[str]) -> str | None:
    """The first word of a command that begins like a flag, and is none of its verb's, whole or shortened."""
    if any(options.get("nargs") == argparse.REMAINDER for _, options in VERBS[argv[0]].arguments):
        return None  # another program's
    words = argv[1 : argv.index("--") if "--" in argv else None]
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next((flag for flag in flags if not any(own.startswith(flag) for own in _flags(argv[0]))), None)


def _run(argv: list[str]) -> int:
    args = _parsed(argv)
    quiet()
    wait_asleep()
    verb = VERBS[args.verb]
    if wrong := verb.wrong(args):
        _wrong(args.verb, wrong)
    with logged(args.verb):
        return _ended(args)


def _ended(args: argparse.Namespace) -> int:
    """Do what a verb does; how it ends is said in a line, and the exit code."""
    start = time.monotonic()
    try:
        if said := VERBS[args.verb].run(args):
            print(f"bcnet {args.verb}: {said} ({time.monotonic() - start:.1f} s)", file=sys.stderr)
    except InputError as error:
        print(f"bcnet {args.verb}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "bcnet").partition(".")[0] == "bcnet":
            raise
        extras = "install 'bcnet[train]' for models, 'bcnet[workflow]' for everything (docs/python.md)"
        print(f"bcnet {args.verb}: the package {error.name} is not installed: {extras}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:  # no right to write, a file where a folder belongs, a full disk
        print(f"bcnet {args.verb}: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not (why := out_of_memory(error)):
            raise
        print(f"bcnet {args.verb}: {why}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bcnet {args.verb}: interrupted: run the same command again", file=sys.stderr)
        return 130
    return 0


def out_of_memory(error: BaseException) -> str | None:
    """The line for what Python or PyTorch raise where memory has run out; None: it says something else."""
    text = str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError"  # PyTorch's, which is not loaded for this
    if not (on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in text):
        return None
    asked = ASKED.search(text)
    much = f" for {asked['size']} more" if asked else ""
    where = "GPU" if on_gpu else "machine"
    return f"no memory is left on the {where}{much}: take smaller batches or images, or fewer --jobs"
