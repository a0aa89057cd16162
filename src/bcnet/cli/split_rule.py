"""Which rule `bcnet split --rule` means."""

from argparse import Namespace
from typing import get_args

from bcnet import params
from bcnet.cli import settings
from bcnet.params.data import Split

RULES = get_args(Split.model_fields["rule"].annotation)


def split_rule(args: Namespace) -> tuple[str, Split, str]:
    """The name and the rule of a split, and for a line where the rule is from if that is params.yaml.

    `--rule` is a key of params.yaml's splits. It is a rule itself where there is no such file, with a flag of a rule,
    and where no split has that name; then the split is named after its file.

    Raises:
        InputError: neither a split nor a rule has that name, or params.yaml or a flag is not legal.
    """
    values = settings.given(args, settings.SPLIT)
    if not values and params.PARAMS.exists():
        run = params.load()
        if args.rule in run.splits or args.rule not in RULES:
            rule = run.split_named(args.rule)
            at = "" if rule.threshold is None else f" at threshold {rule.threshold:g}"
            return args.rule, rule, f" ({rule.rule}{at}: splits.{args.rule} of {params.PARAMS.resolve()})"
    return args.out.stem, settings.from_flags(Split, {"rule": args.rule, **values}), ""
