"""The verbs that make data: images, annotations, splits."""

from argparse import Namespace
from pathlib import Path

from bcnet.cli import settings
from bcnet.cli.verb import DEMO, JOBS, Verb, argument, file
from bcnet.layout import DATA


def fetch(args: Namespace) -> None:
    from bcnet import params
    from bcnet.data.sources.fetch import bring, fetch, fetch_test

    run, folder = params.load(), DATA / args.dataset
    if args.predictions:
        bring(run.brought(args.predictions), args.predictions, folder)
    elif args.test:
        fetch_test(run.dataset_named(args.dataset), args.dataset, folder)
    else:
        fetch(run.dataset_named(args.dataset), args.dataset, folder)


def fetch_wrong(args: Namespace) -> str | None:
    return "--predictions or --test, not both" if args.predictions and args.test else None


def check(args: Namespace) -> None:
    from bcnet.data.coco.check import check

    check(args.annotations, args.images, args.fix, args.all)


def convert(args: Namespace) -> None:
    from bcnet.data.occlusion.convert import convert, gather
    from bcnet.params.data import Convert

    if args.gather:
        gather(args.annotations, args.gather, args.out)
    else:
        chosen = settings.section(args, "convert", Convert, settings.CONVERT)
        convert(args.annotations, args.out, chosen, args.jobs, args.format, args.shard)


def convert_wrong(args: Namespace) -> str | None:
    if args.gather and (args.shard != (1, 1) or args.format != "bilayer" or settings.given(args, settings.CONVERT)):
        return "--gather takes no --shard, no --format and no settings: the shards have them"
    return None


def shard(text: str) -> tuple[int, int]:
    """K/N as two numbers."""
    k, n = text.split("/")
    return int(k), int(n)


def synthesize(args: Namespace) -> None:
    from bcnet import params
    from bcnet.data.synthetic.synthesize import synthesize

    run = params.load()
    synthesize(run.synthetic_named(args.name), args.name, DATA / run.dataset, args.jobs)


def split(args: Namespace) -> None:
    from bcnet.cli.split_rule import split_rule
    from bcnet.data.splits.explain import explain
    from bcnet.data.splits.split import split

    if args.explain:
        print(explain(args.annotations, args.ids, args.count, args.out))
    else:
        split(args.annotations, args.out, *split_rule(args))


def split_wrong(args: Namespace) -> str | None:
    if not args.explain and not (args.rule and args.out):
        return "--rule and --out are required, or --explain"
    of_rule = args.rule or settings.given(args, settings.SPLIT)
    if of_rule if args.explain else args.ids or args.count is not None:
        return "--ids and --count go with --explain, --rule and its settings without it"
    return None


VERBS = {
    "fetch": Verb(
        fetch,
        "get a dataset (or imported predictions) ready under data/",
        "bcnet fetch demo",
        (
            argument("dataset", help="a key of params.yaml's datasets"),
            argument("--predictions", metavar="NAME", help="get this entry of params.yaml's predictions instead"),
            argument("--test", action="store_true", help="get COCO's test images instead (6.6 GB)"),
        ),
        fetch_wrong,
    ),
    "check": Verb(
        check,
        "list everything that is wrong with an annotation file, or write a fixed copy",
        "bcnet check train.json --images pictures --fix fixed.json",
        (
            argument("annotations", type=Path, metavar="FILE", help="any COCO-format file; it is only read"),
            argument("--images", type=Path, metavar="FOLDER", help="its images: decode and measure them too"),
            file("--fix", "write a copy in which everything is fixed that has one right answer", required=False),
            argument("--all", action="store_true", help="all lines, not only the first 20 of a kind"),
        ),
    ),
    "convert": Verb(
        convert,
        "add occluder and occlusion to every annotation",
        f"bcnet convert --annotations {DEMO.annotations('val')} --out {DEMO.bilayer('val')}",
        (
            file("--annotations", "any COCO-format file"),
            file("--out", "the bilayer file; the occlusion table (.parquet) goes beside it"),
            *settings.CONVERT,
            JOBS,
            argument(
                "--format",
                choices=("bilayer", "released"),
                default="bilayer",
                help="released: the polygon key of the released code",
            ),
            argument("--shard", type=shard, default=(1, 1), metavar="K/N", help="only part K of N of the images"),
            argument("--gather", type=Path, nargs="+", metavar="FILE", help="put the outputs of all shards together"),
        ),
        convert_wrong,
        settings.more("convert", settings.CONVERT),
    ),
    "synthesize": Verb(
        synthesize,
        "make training images with objects of others pasted over theirs",
        "bcnet synthesize pasted",
        (argument("name", help="a key of params.yaml's synthetic"), JOBS),
    ),
    "split": Verb(
        split,
        "choose the images of a split, or show what every rule would choose",
        DEMO.split_command("occluded"),
        (
            file("--annotations", "converted annotations"),
            argument("--rule", help="a key of params.yaml's splits, or a rule itself such as box_iou (below)"),
            file("--out", "the COCO-format file of the chosen images; with --explain a .csv file", required=False),
            *settings.SPLIT,
            argument("--explain", action="store_true", help="a table of how many images each rule selects"),
            file("--ids", "with --explain: images to come near to, COCO-format .json or text", required=False),
            argument("--count", type=int, metavar="N", help="with --explain: a number of images to come near to"),
        ),
        split_wrong,
        """
--rule is a key of params.yaml's splits where the working directory has such a file. It is a rule itself, as
config/README.md lists them (all, box_iou, mask_cover, ...), where there is none, with one of the flags
--threshold, --same-category, --file, --masks, and where no split has that name. Then the split is named after --out:
  bcnet split --annotations bilayer.json --rule box_iou --threshold 0.2 --out crowded.json""",
    ),
}
