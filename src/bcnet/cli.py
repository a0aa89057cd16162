"""The command-line program: its verbs, their arguments, and how they end."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bcnet import __version__, verbs
from bcnet.files import InputError
from bcnet.quiet import quiet


@dataclass(frozen=True)
class Verb:
    """A verb's function, its line in the help, an example, and its arguments as (flags, options) of argparse."""

    run: Callable[[argparse.Namespace], None]
    help: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict], ...] = ()


def _path(flag: str, text: str, required: bool = True) -> tuple[tuple[str, ...], dict]:
    return (flag,), {"type": Path, "required": required, "help": text, "metavar": "FILE"}


def shard(text: str) -> tuple[int, int]:
    k, n = text.split("/")
    return int(k), int(n)


JOBS = ("--jobs",), {"type": int, "default": os.cpu_count(), "help": "processes (default: all cores)"}
SEED = ("--seed",), {"type": int, "default": 0, "help": "one of params.yaml's seeds (default 0)"}
VERBS = {
    "params": Verb(verbs.params, "see that params.yaml is legal; says nothing when it is", "bcnet params"),
    "fetch": Verb(
        verbs.fetch,
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
        verbs.check,
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
        verbs.convert,
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
                {"type": shard, "default": (1, 1), "metavar": "K/N", "help": "only part K of N of the images"},
            ),
            (
                ("--gather",),
                {"type": Path, "nargs": "+", "metavar": "FILE", "help": "put the outputs of all shards together"},
            ),
        ),
    ),
    "synthesize": Verb(
        verbs.synthesize,
        "make training pictures with objects of others pasted over theirs",
        "bcnet synthesize pasted",
        ((("name",), {"help": "a key of params.yaml's synthetic"}), JOBS),
    ),
    "split": Verb(
        verbs.split,
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
        verbs.weights,
        "ImageNet weights of a backbone",
        "bcnet weights efficientnet_lite0 --out data/demo/weights/bcnet.safetensors",
        (
            (("backbone",), {"help": "efficientnet_lite0, resnet50, resnet101 or resnext101"}),
            _path("--out", "a safetensors file"),
        ),
    ),
    "train": Verb(
        verbs.train,
        "train a variant; resumes by itself after a kill",
        "bcnet train bcnet --seed 0   (several GPUs: torchrun --nproc-per-node 8 -m bcnet train bcnet)",
        ((("variant",), {"help": "a key of params.yaml's variants"}), SEED),
    ),
    "import-weights": Verb(
        verbs.import_weights,
        "make a model file of a released FCOS-BCNet, or of the model zoo's Mask R-CNN or PointRend",
        "bcnet import-weights download.pth --out bcnet-released.safetensors",
        (
            (("file",), {"nargs": "?", "metavar": "FILE|URL", "help": "a .pth or .pkl; no code in it is run"}),
            _path("--out", "the model file, for `predict --model` and `show --model`", required=False),
            _path(
                "--categories", "a COCO-format file with the model's categories (default: COCO's 80)", required=False
            ),
            (("--name",), {"help": "import this entry of params.yaml's imported, with the dataset's categories"}),
        ),
    ),
    "predict": Verb(
        verbs.predict,
        "predict a split with a trained variant or an imported model, or any pictures with a model file",
        "bcnet predict --model data/demo/models/bcnet/0/model.safetensors --out found.json street.jpg",
        (
            (("names",), {"nargs": "+", "metavar": "VARIANT|IMAGE"}),
            SEED,
            (("--split",), {"choices": ("val", "test-dev"), "default": "val", "help": "whose pictures (default val)"}),
            _path("--model", "a model.safetensors; then the names are picture files", required=False),
            _path("--out", "with --model: where the predictions go", required=False),
        ),
    ),
    "show": Verb(
        verbs.show,
        "draw what a model finds in pictures, and its mask head's maps of each object",
        "bcnet show --model data/demo/models/bcnet/0/model.safetensors street.jpg",
        (
            (("pictures",), {"type": Path, "nargs": "+", "metavar": "IMAGE"}),
            _path("--model", "a model.safetensors"),
            (
                ("--out",),
                {
                    "type": Path,
                    "default": Path("shown"),
                    "metavar": "FOLDER",
                    "help": "for NAME.png and NAME.svg of each picture (default shown)",
                },
            ),
            (
                ("--score",),
                {"type": float, "default": 0.5, "help": "draw objects of at least this score (default 0.5)"},
            ),
            (
                ("--objects",),
                {
                    "type": int,
                    "default": 10,
                    "metavar": "N",
                    "help": "of a picture only the best N (default 10, at most 40)",
                },
            ),
        ),
    ),
    "evaluate": Verb(
        verbs.evaluate,
        "metrics of any COCO-format predictions",
        "bcnet evaluate --annotations data/demo/splits/val.json --predictions mine.json --out mine-metrics.json",
        (
            _path("--annotations", "ground truth: a split, or any COCO-format file"),
            _path("--predictions", "COCO's result format, ours or another framework's"),
            _path("--out", "metrics as JSON; tables of objects and detections (.parquet) go beside it"),
        ),
    ),
    "compare": Verb(verbs.compare, "tables of all metrics of the run", "bcnet compare"),
    "report": Verb(verbs.report, "the self-contained page of the run", "bcnet report"),
    "submit": Verb(
        verbs.submit,
        "the zip of predictions on test-dev that COCO's server takes",
        "bcnet predict bcnet-r50 --split test-dev && bcnet submit bcnet-r50",
        (
            (
                ("name",),
                {
                    "metavar": "VARIANT",
                    "help": "a key of params.yaml's variants or imported; with --predictions any name",
                },
            ),
            SEED,
            _path("--predictions", "results on test-dev from elsewhere, in COCO's result format", required=False),
        ),
    ),
    "sync": Verb(verbs.sync, "make Snakemake and DVC agree about what is up to date", "bcnet sync"),
    "preset": Verb(
        verbs.preset,
        "make presets/NAME.yaml the params.yaml that runs",
        "bcnet preset coco",
        ((("name",), {"help": "a file name in presets/, without .yaml"}),),
    ),
}


def parser() -> argparse.ArgumentParser:
    """The argument parser of all verbs."""
    top = argparse.ArgumentParser(prog="bcnet", description="One verb a stage, each from files to files.")
    top.add_argument("--version", action="version", version=f"bcnet {__version__}")
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        sub = subparsers.add_parser(
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
    quiet()
    if args.verb == "predict" and bool(args.model) != bool(args.out):
        parser().error("predict: --model and --out go together")
    if args.verb == "predict" and not args.model and len(args.names) != 1:
        parser().error("predict: one VARIANT, or --model with pictures")
    if args.verb == "import-weights" and (args.name is None) == (None in (args.file, args.out)):
        parser().error("import-weights: FILE and --out, or --name")
    if args.verb == "import-weights" and args.name is not None and (args.file or args.out or args.categories):
        parser().error("import-weights: --name says file, output and categories")
    if args.verb == "split" and not args.explain and not (args.rule and args.out):
        parser().error("split: --rule and --out are required, or --explain")
    if args.verb == "split" and (args.rule if args.explain else args.ids or args.count is not None):
        parser().error("split: --ids and --count go with --explain, --rule without it")
    if args.verb == "convert" and args.gather and (args.shard != (1, 1) or args.format != "bilayer"):
        parser().error("convert: --gather takes no --shard and no --format: the shards have them")
    if args.verb == "fetch" and args.predictions and args.test:
        parser().error("fetch: --predictions or --test, not both")
    try:
        VERBS[args.verb].run(args)
    except InputError as error:
        # a worker process of the loader puts its traceback before the line
        line = str(error).splitlines()[-1].removeprefix("bcnet.files.InputError: ")
        print(f"bcnet {args.verb}: {line}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "bcnet").partition(".")[0] == "bcnet":
            raise
        extras = "'bcnet[train]' has what models need, 'bcnet[workflow]' all (docs/python.md)"
        print(f"bcnet {args.verb}: the package {error.name} is not installed: {extras}", file=sys.stderr)
        return 2
    except OSError as error:  # no right to write, a file where a folder belongs, a full disk
        print(f"bcnet {args.verb}: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bcnet {args.verb}: interrupted", file=sys.stderr)
        return 130
    return 0
