"""Settings of the verbs that work in any folder: from params.yaml where there is one, or from flags.

A flag has the name of its key in params.yaml. Where none is given, the section of params.yaml holds. With one of them
params.yaml is not read, as where there is none: every other key then has its default.
"""

import re
from argparse import Namespace
from typing import Any, TypeVar

from bcnet.cli.verb import Argument, argument

MORE = """
Settings come from the section {section} of params.yaml in the working directory. Without that file, or with one of
{flags},
params.yaml is not read and all other settings have their defaults.
"""
SectionType = TypeVar("SectionType")


def more(section: str, flags: tuple[Argument, ...]) -> str:
    """The lines of `--help` that say where settings come from."""
    return MORE.format(section=section, flags=", ".join(names[0] for names, _ in flags)).rstrip()


CONVERT = (
    argument(
        "--min-box-iou", type=float, metavar="X", help="IoU above which a box may be an occluder's (default 0.05)"
    ),
    argument("--min-pixels", type=int, metavar="N", help="ignore occluders of N pixels or fewer (default 20)"),
    argument(
        "--in-front",
        action="store_true",
        default=None,
        help="ignore occluders that are behind by their `depth`",
    ),
)
SPLIT = (
    argument("--threshold", type=float, metavar="X", help="select images whose value is X or more"),
    argument("--same-category", action="store_true", default=None, help="only pairs of boxes of one category"),
    argument("--file", metavar="FILE", help="for image_ids: COCO-format .json, or text with one image id per line"),
    argument("--masks", metavar="KIND", help="ground truth masks: visible (default) or amodal"),
)
EVALUATE = (
    argument("--cover-bins", type=float, nargs="+", metavar="X", help="bin edges of box_cover (default 0 0.1 0.3 1)"),
    argument(
        "--mask-cover-bins", type=float, nargs="+", metavar="X", help="bin edges of mask_cover (default 0 0.02 0.1 1)"
    ),
    argument(
        "--box-iou-bins", type=float, nargs="+", metavar="X", help="bin edges of max_box_iou (default 0 0.2 0.5 1)"
    ),
    argument("--draws", type=int, metavar="N", help="bootstrap draws for intervals (default 1000)"),
    argument(
        "--file-boxes",
        action="store_true",
        default=None,
        help="of masks with a `bbox` beside them evaluate that box, not the one around the mask",
    ),
)


def given(args: Namespace, flags: tuple[Argument, ...]) -> dict[str, Any]:
    """The values of those flags that are there, by key."""
    keys = [names[0].removeprefix("--").replace("-", "_") for names, _ in flags]
    return {key: value for key in keys if (value := getattr(args, key)) is not None}


def from_flags(kind: type[SectionType], values: dict[str, Any]) -> SectionType:
    """A section of parameters with these values, the others being its defaults.

    Raises:
        InputError: a value is not legal; the line names its flag.
    """
    from pydantic import ValidationError

    from bcnet.files import InputError
    from bcnet.validation import one_line

    try:
        return kind.model_validate(values)  # type: ignore[attr-defined]
    except ValidationError as errors:
        line = one_line(errors, kind)  # type: ignore[arg-type]
        key = re.split("[.:]", line)[0]
        raise InputError(f"--{key.replace('_', '-')}{line.removeprefix(key)}") from errors


def section(args: Namespace, name: str, kind: type[SectionType], flags: tuple[Argument, ...]) -> SectionType:
    """A section of the settings, as the module says.

    Args:
        args: of the command line.
        name: of the section in params.yaml.
        kind: its class.
        flags: those that replace it.

    Raises:
        InputError: params.yaml or a flag is not legal.
    """
    from bcnet import params

    values = given(args, flags)
    if values or not params.PARAMS.exists():
        return from_flags(kind, values)
    return getattr(params.load(), name)


def beside(args: Namespace, name: str, kind: type[SectionType], flags: tuple[Argument, ...]) -> SectionType:
    """A section that has no flags of its own, for a verb with `flags` for another one; arguments as of `section`.

    Raises:
        InputError: params.yaml is not legal.
    """
    from bcnet import params

    if given(args, flags) or not params.PARAMS.exists():
        return from_flags(kind, {})
    return getattr(params.load(), name)
