"""The verbs that make data: images, annotations, splits."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bcnet.cli import settings
from bcnet.cli.verb import DEMO, JOBS, SHARD, Verb, argument, file
from bcnet.layout import DATA, lock
from bcnet.locks import alone

if TYPE_CHECKING:
    from bcnet.params.data import Split


def fetch(args: Namespace) -> str:
    from bcnet import params
    from bcnet.data.sources.fetch import bring, fetch, fetch_test

    run, folder = params.load(), DATA / args.dataset
    if args.predictions:
        brought = run.brought(args.predictions)
        with alone(lock("fetch", args.dataset, args.predictions), f"bcnet fetch --predictions {args.predictions}"):
            return bring(brought, args.predictions, folder)
    dataset, part = run.dataset_named(args.dataset), "test" if args.test else "parts"
    with alone(lock("fetch", args.dataset, part), f"bcnet fetch {args.dataset}"):
        return (fetch_test if args.test else fetch)(dataset, args.dataset, folder)


def fetch_wrong(args: Namespace) -> str | None:
    return "expected --predictions or --test, not both" if args.predictions and args.test else None


def check(args: Namespace) -> None:
    from bcnet.data.check.check import check

    check(args.annotations, args.images, args.fix, args.all, args.drop)


def check_wrong(args: Namespace) -> str | None:
    return "--drop goes with --fix" if args.drop and not args.fix else None


def convert(args: Namespace) -> str:
    from bcnet.data.occlusion.convert import convert, gather
    from bcnet.params.data import Convert

    if args.gather:
        return gather(args.annotations, args.gather, args.out)
    chosen = settings.section(args, "convert", Convert, settings.CONVERT)
    return convert(args.annotations, args.out, chosen, args.jobs, args.format, args.shard or (1, 1))


def convert_wrong(args: Namespace) -> str | None:
    if args.gather and (args.shard or args.format != "bilayer" or settings.given(args, settings.CONVERT)):
        return "--gather takes no --shard, no --format and no settings: they are in the shards"
    return None


def synthesize(args: Namespace) -> str:
    from bcnet import params
    from bcnet.data.synthetic.synthesize import synthesize

    run = params.load()
    settings = run.synthetic_named(args.name)
    with alone(lock("synthesize", run.dataset, args.name), f"bcnet synthesize {args.name}"):
        return synthesize(settings, args.name, DATA / run.dataset, args.jobs)


def split(args: Namespace) -> str | None:
    from bcnet.data.splits.explain import explain
    from bcnet.data.splits.split import split

    if args.explain:
        print(explain(args.annotations, args.ids, args.count, args.out))
        return None
    name, rule, origin = _split_rule(args)
    return split(args.annotations, args.out, name, rule) + origin


def _split_rule(args: Namespace) -> tuple[str, "Split", str]:
    """The name and the rule of a split, and for a line where the rule is from if that is params.yaml.

    `--rule` is a key of params.yaml's splits. It is a rule itself where there is no such file, with a flag of a rule,
    and where no split has that name; then the split is named after its file.

    Raises:
        InputError: neither a split nor a rule has that name, or params.yaml or a flag is not legal.
    """
    from bcnet import params
    from bcnet.params.data import Split

    values = settings.given(args, settings.SPLIT)
    if not values and params.PARAMS.exists():
        run = params.load()
        if args.rule in run.splits or args.rule not in get_args(Split.model_fields["rule"].annotation):
            rule = run.split_named(args.rule)
            at = "" if rule.threshold is None else f" at threshold {rule.threshold:g}"
            return args.rule, rule, f" ({rule.rule}{at}: splits.{args.rule} of {params.PARAMS.resolve()})"
    return args.out.stem, settings.from_flags(Split, {"rule": args.rule, **values}), ""


def split_wrong(args: Namespace) -> str | None:
    if not args.explain and not (args.rule and args.out):
        return "expected --rule and --out, or --explain"
    of_rule = args.rule or settings.given(args, settings.SPLIT)
    if of_rule if args.explain else args.ids or args.count is not None:
        return "--ids and --count go with --explain, --rule and its settings without it"
    return None


VERBS = {
    "fetch": Verb(
        fetch,
        "prepare a dataset, or imported predictions, in data/",
        "bcnet fetch demo",
        (
            argument("dataset", help="a dataset of params.yaml"),
            argument("--predictions", metavar="NAME", help="fetch these predictions of params.yaml instead"),
            argument(
                "--test", action="store_true", help="fetch the part `test`, or COCO's test images (6.6 GB), instead"
            ),
        ),
        fetch_wrong,
    ),
    "check": Verb(
        check,
        "list all problems of an annotation file, or write a fixed copy",
        "bcnet check train.json --images images --fix fixed.json",
        (
            argument("annotations", type=Path, metavar="FILE", help="any COCO-format file; it is not changed"),
            argument("--images", type=Path, metavar="FOLDER", help="its images: decode them and check their sizes"),
            file("--fix", "write a copy with all problems fixed that have one right answer", required=False),
            argument("--drop", action="store_true", help="with --fix: write it even if over a tenth would be lost"),
            argument("--all", action="store_true", help="print all lines, not only the first 20 of each kind"),
        ),
        check_wrong,
    ),
    "convert": Verb(
        convert,
        "add the occluder mask and measures of occlusion to every annotation",
        f"bcnet convert --annotations {DEMO.annotations('val')} --out {DEMO.bilayer('val')}",
        (
            file("--annotations", "any COCO-format file"),
            file("--out", "the converted annotations; a table of occlusion (.parquet) goes beside them"),
            *settings.CONVERT,
            JOBS,
            argument(
                "--format",
                choices=("bilayer", "released"),
                default="bilayer",
                help="released: the polygon format of the released code",
            ),
            SHARD,
            argument("--gather", type=Path, nargs="+", metavar="FILE", help="merge the outputs of all shards"),
        ),
        convert_wrong,
        settings.more("convert", settings.CONVERT),
    ),
    "synthesize": Verb(
        synthesize,
        "create training images with objects of other images pasted over theirs",
        "bcnet synthesize pasted",
        (argument("name", help="an entry of `synthetic` in params.yaml"), JOBS),
    ),
    "split": Verb(
        split,
        "select the images of a split, or show how many images each rule would select",
        DEMO.split_command("occluded"),
        (
            file("--annotations", "converted annotations"),
            argument("--rule", help="a split of params.yaml, or a rule such as box_iou (see below)"),
            file("--out", "a COCO-format file of the selected images; with --explain a .csv file", required=False),
            *settings.SPLIT,
            argument("--explain", action="store_true", help="print a table of how many images each rule selects"),
            file("--ids", "with --explain: images to come close to, COCO-format .json or text", required=False),
            argument("--count", type=int, metavar="N", help="with --explain: a number of images to come close to"),
        ),
        split_wrong,
        """
--rule names a split of params.yaml. It names a rule of config/README.md (all, box_iou, mask_cover, ...) if the
working directory has no params.yaml, if params.yaml has no split of that name, or if you give one of
--threshold, --same-category, --file, --masks. The split is then named after --out:
  bcnet split --annotations bilayer.json --rule box_iou --threshold 0.2 --out crowded.json""",
    ),
}
