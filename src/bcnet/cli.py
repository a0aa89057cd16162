"""The command-line program: one verb a stage, each a function from files to files."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bcnet import __version__
from bcnet import params as parameters
from bcnet.files import InputError

DATA, REPORTS = Path("data"), Path("reports")


def fetch(args: argparse.Namespace) -> None:
    from bcnet.data.fetch import bring, fetch, fetch_test

    params = parameters.load()
    folder = DATA / args.dataset
    if args.predictions:
        bring(params.brought(args.predictions), args.predictions, folder)
    elif args.test:
        fetch_test(params.dataset_named(args.dataset), args.dataset, folder)
    else:
        fetch(params.dataset_named(args.dataset), args.dataset, folder)


def check(args: argparse.Namespace) -> None:
    from bcnet.data.check import check

    check(args.annotations, args.images, args.fix, args.all)


def convert(args: argparse.Namespace) -> None:
    from bcnet.data.convert import convert, gather

    if args.gather:
        gather(args.annotations, args.gather, args.out)
    else:
        convert(args.annotations, args.out, parameters.load().convert, args.jobs, args.format, args.shard)


def synthesize(args: argparse.Namespace) -> None:
    from bcnet.data.synthetic import synthesize

    params = parameters.load()
    synthesize(params.synthetic_named(args.name), args.name, DATA / params.dataset, args.jobs)


def split(args: argparse.Namespace) -> None:
    from bcnet.data.explain import explain
    from bcnet.data.splits import split

    if args.explain:
        print(explain(args.annotations, args.ids, args.count, args.out))
    else:
        split(args.annotations, args.out, args.rule, parameters.load().split_named(args.rule))


def weights(args: argparse.Namespace) -> None:
    from bcnet.models.weights import write_weights

    write_weights(args.backbone, args.out, DATA / "downloads")


def train(args: argparse.Namespace) -> None:
    from bcnet.training.loop import train

    train(parameters.load(), args.variant, args.seed, DATA)


def predict(args: argparse.Namespace) -> None:
    from bcnet.predict import predict_images, predict_split

    if args.model:
        predict_images(args.model, [Path(image) for image in args.names], args.out)
    else:
        (variant,) = args.names
        predict_split(parameters.load(), variant, args.seed, args.split, DATA)


def evaluate(args: argparse.Namespace) -> None:
    from bcnet.evaluation.evaluate import evaluate

    evaluate(args.annotations, args.predictions, args.out, parameters.load().evaluate)


def compare(args: argparse.Namespace) -> None:
    from bcnet.report.tables import compare

    compare(parameters.load(), REPORTS)


def report(args: argparse.Namespace) -> None:
    from bcnet.report.page import report

    report(parameters.load(), DATA, REPORTS)


def sync(args: argparse.Namespace) -> None:
    from bcnet.sync import sync

    sync()


def preset(args: argparse.Namespace) -> None:
    from bcnet.presets import put_preset

    put_preset(args.name)


@dataclass(frozen=True)
class Verb:
    """A verb's function, its line in the help, an example, and its arguments as (flags, options) of argparse."""

    run: Callable[[argparse.Namespace], None]
    help: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict], ...] = ()


def _path(flag: str, text: str, required: bool = True) -> tuple[tuple[str, ...], dict]:
    return (flag,), {"type": Path, "required": required, "help": text, "metavar": "FILE"}


def _shard(text: str) -> tuple[int, int]:
    k, n = text.split("/")
    return int(k), int(n)


JOBS = ("--jobs",), {"type": int, "default": os.cpu_count(), "help": "processes (default: all cores)"}
SEED = ("--seed",), {"type": int, "default": 0, "help": "one of params.yaml's seeds (default 0)"}
VERBS = {
    "fetch": Verb(
        fetch,
        "get a dataset (or brought predictions) ready under data/",
        "bcnet fetch demo",
        (
            (("dataset",), {"help": "a key of params.yaml's datasets"}),
            (
                ("--predictions",),
                {"metavar": "NAME", "help": "bring this entry of params.yaml's predictions instead"},
            ),
            (("--test",), {"action": "store_true", "help": "get COCO's test pictures instead (6.6 GB)"}),
        ),
    ),
    "check": Verb(
        check,
        "tell all that is wrong with an annotation file, or mend it",
        "bcnet check train.json --images pictures --fix mended.json",
        (
            (("annotations",), {"type": Path, "metavar": "FILE", "help": "any COCO-format file; it is only read"}),
            (("--images",), {"type": Path, "metavar": "FOLDER", "help": "its pictures: decode and measure them too"}),
            _path("--fix", "write a copy in which is mended what has one right answer", required=False),
            (("--all",), {"action": "store_true", "help": "all lines, not only the first 20 of a kind"}),
        ),
    ),
    "convert": Verb(
        convert,
        "add occluder and occlusion to every annotation",
        "bcnet convert --annotations data/demo/annotations/instances_val.json --out data/demo/bilayer/val.json",
        (
            _path("--annotations", "any COCO-format file"),
            _path("--out", "the bilayer file; the occlusion table (.parquet) goes beside it"),
            JOBS,
            (
                ("--format",),
                {
                    "choices": ("bilayer", "released"),
                    "default": "bilayer",
                    "help": "released: the polygon key of the released code",
                },
            ),
            (
                ("--shard",),
                {"type": _shard, "default": (1, 1), "metavar": "K/N", "help": "only part K of N of the images"},
            ),
            (
                ("--gather",),
                {"type": Path, "nargs": "+", "metavar": "FILE", "help": "put the outputs of all shards together"},
            ),
        ),
    ),
    "synthesize": Verb(
        synthesize,
        "make training pictures with objects of others pasted over theirs",
        "bcnet synthesize pasted",
        ((("name",), {"help": "a key of params.yaml's synthetic"}), JOBS),
    ),
    "split": Verb(
        split,
        "choose the images of a split, or show what every rule would choose",
        "bcnet split --annotations data/demo/bilayer/val.json --rule occluded --out data/demo/splits/occluded.json",
        (
            _path("--annotations", "converted annotations"),
            (("--rule",), {"help": "a key of params.yaml's splits"}),
            _path("--out", "the COCO-format file of the chosen images; with --explain a .csv file", required=False),
            (("--explain",), {"action": "store_true", "help": "a table of how many images each rule selects"}),
            _path("--ids", "with --explain: images to come near to, COCO-format .json or text", required=False),
            (("--count",), {"type": int, "metavar": "N", "help": "with --explain: a number of images to come near to"}),
        ),
    ),
    "weights": Verb(
        weights,
        "ImageNet weights of a backbone",
        "bcnet weights efficientnet_lite0 --out data/demo/weights/bcnet.safetensors",
        (
            (("backbone",), {"help": "efficientnet_lite0, resnet50, resnet101 or resnext101"}),
            _path("--out", "a safetensors file"),
        ),
    ),
    "train": Verb(
        train,
        "train a variant; resumes by itself after a kill",
        "bcnet train bcnet --seed 0   (several GPUs: torchrun --nproc-per-node 8 -m bcnet train bcnet)",
        ((("variant",), {"help": "a key of params.yaml's variants"}), SEED),
    ),
    "predict": Verb(
        predict,
        "predict a split with a trained variant, or any pictures with a model file",
        "bcnet predict --model data/demo/models/bcnet/0/model.safetensors --out found.json street.jpg",
        (
            (("names",), {"nargs": "+", "metavar": "VARIANT|IMAGE"}),
            SEED,
            (("--split",), {"choices": ("val",), "default": "val", "help": "whose pictures (default val)"}),
            _path("--model", "a model.safetensors; then the names are picture files", required=False),
            _path("--out", "with --model: where the predictions go", required=False),
        ),
    ),
    "evaluate": Verb(
        evaluate,
        "metrics of any COCO-format predictions",
        "bcnet evaluate --annotations data/demo/splits/val.json --predictions mine.json --out mine-metrics.json",
        (
            _path("--annotations", "ground truth: a split, or any COCO-format file"),
            _path("--predictions", "COCO's result format, ours or another framework's"),
            _path("--out", "metrics as JSON; the per-object table (.parquet) goes beside it"),
        ),
    ),
    "compare": Verb(compare, "tables of all metrics of the run", "bcnet compare"),
    "report": Verb(report, "the self-contained page of the run", "bcnet report"),
    "sync": Verb(sync, "make Snakemake and DVC agree about what is up to date", "bcnet sync"),
    "preset": Verb(
        preset,
        "make presets/NAME.yaml the params.yaml that runs",
        "bcnet preset coco",
        ((("name",), {"help": "a file name in presets/, without .yaml"}),),
    ),
}


def parser() -> argparse.ArgumentParser:
    """The argument parser of all verbs."""
    top = argparse.ArgumentParser(prog="bcnet", description=__doc__)
    top.add_argument("--version", action="version", version=f"bcnet {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=verb.help,
            description=verb.help,
            epilog=f"example: {verb.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for flags, options in verb.arguments:
            sub.add_argument(*flags, **options)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit code 0: done; 2: wrong input, one line on stderr; 130: interrupted."""
    args = parser().parse_args(argv)
    if args.verb == "predict" and bool(args.model) != bool(args.out):
        parser().error("predict: --model and --out go together")
    if args.verb == "predict" and not args.model and len(args.names) != 1:
        parser().error("predict: one VARIANT, or --model with pictures")
    if args.verb == "split" and not args.explain and not (args.rule and args.out):
        parser().error("split: --rule and --out are required, or --explain")
    if args.verb == "split" and (args.rule if args.explain else args.ids or args.count is not None):
        parser().error("split: --ids and --count go with --explain, --rule without it")
    if args.verb == "fetch" and args.predictions and args.test:
        parser().error("fetch: --predictions or --test, not both")
    try:
        VERBS[args.verb].run(args)
    except InputError as error:
        # a worker process of the loader puts its traceback before the line
        line = str(error).splitlines()[-1].removeprefix("bcnet.files.InputError: ")
        print(f"bcnet {args.verb}: {line}", file=sys.stderr)
        return 2
    except OSError as error:  # no right to write, a file where a folder belongs, a full disk
        print(f"bcnet {args.verb}: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bcnet {args.verb}: interrupted", file=sys.stderr)
        return 130
    return 0
