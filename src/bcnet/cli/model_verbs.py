"""The verbs that make models, and those that run one."""

import sys
from argparse import Namespace
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from bcnet.cli.verb import DEMO, SEED, SHARD, Verb, argument, file
from bcnet.layout import DATA, IMPORTED, TEST, TEST_DEV, DatasetFiles, downloads, lock
from bcnet.locks import alone

MODEL = DEMO.run("bcnet", "0").model


def weights(args: Namespace) -> str:
    backbone, out, init = args.backbone, args.out, None
    if args.name is not None:
        from bcnet import params

        run = params.load()
        variant = run.variant(args.name)
        backbone, out, init = variant.backbone, DatasetFiles(DATA / run.dataset).weights(args.name), variant.init
    from bcnet.weights.imagenet import write_weights  # which loads all that models need
    from bcnet.weights.initial import write_initial

    if init is None:
        write_weights(backbone, out, downloads())
    else:
        write_initial(init, backbone, out)
    return f"wrote {out}: {init or f'ImageNet weights of {backbone}'}"


def weights_wrong(args: Namespace) -> str | None:
    if (args.name is None) == (None in (args.backbone, args.out)):
        return "expected BACKBONE and --out, or --name"
    if args.name is not None and (args.backbone or args.out):
        return "--name already determines backbone and output"
    return None


def train(args: Namespace) -> str | None:
    from bcnet import params

    run, command = params.load(), f"bcnet train {args.variant}"
    run.variant(args.variant)
    from bcnet.training.stopping import ToldToEndError  # which loads PyTorch
    from bcnet.training.together import is_first, is_one_of_many, start, while_peers_live

    schedule, own = run.schedule_of(args.variant), lock("train", run.dataset, args.variant, str(args.seed))
    try:
        if schedule.processes > 1 and not is_one_of_many():
            with alone(own, command):  # wait here, or refuse: the processes would wait for their first one
                pass
            anyway = ["--resume-anyway"] if args.resume_anyway else []
            start(schedule.processes, ["train", args.variant, "--seed", str(args.seed), *anyway], own)
            return None
        if is_first():
            for line in run.remarks(args.variant):
                print(f"bcnet train: {line}", file=sys.stderr)
        from bcnet.training.loop import train  # which loads all that models need

        validate = None
        if schedule.validate_every is not None and is_first():
            from bcnet.inference.validation import Validation

            validate = Validation(run, args.variant, DATA)
        with alone(own, command), while_peers_live(command):
            out = train(run, args.variant, args.seed, DATA, args.resume_anyway, validate)
    except ToldToEndError as end:
        with suppress(BrokenPipeError):  # who reads the log was told, too
            sys.stderr.write(f"bcnet train: {end}\n" if str(end) else "")
        sys.exit(end.exit_code)
    return None if out is None else f"wrote {out}"


def import_weights(args: Namespace) -> str:
    source, out, categories = args.file, args.out, args.categories
    if args.name is not None:
        from bcnet import params

        run = params.load()
        files = DatasetFiles(DATA / run.dataset)
        source, out = run.imported_named(args.name).file, files.run(args.name, IMPORTED).model
        categories = files.annotations("val")
    from bcnet.weights.import_weights import import_weights  # which loads all that models need

    return import_weights(source, out, downloads(), categories)


def import_weights_wrong(args: Namespace) -> str | None:
    if (args.name is None) == (None in (args.file, args.out)):
        return "expected FILE and --out, or --name"
    if args.name is not None and (args.file or args.out or args.categories):
        return "--name already determines file, output and categories"
    return None


def predict(args: Namespace) -> str:
    return _predict_of_file(args) if args.model else _predict_of_run(args)


def _predict_of_file(args: Namespace) -> str:
    from bcnet.inference.predict import predict_annotated, predict_images

    if not args.annotations:
        return predict_images(args.model, [Path(image) for image in args.names], args.out)
    name = sha256(bytes(args.out.resolve())).hexdigest()[:16]  # a path may be longer than a name
    with alone(lock("predict", name, *_part(args)), f"bcnet predict --out {args.out}"):
        return predict_annotated(args.model, args.annotations, args.images, args.out, DATA, args.shard)


def _predict_of_run(args: Namespace) -> str:
    from bcnet import params

    (variant,) = args.names
    run = params.load()
    names = (run.dataset, variant, run.run(variant, args.seed), args.split, *_part(args))
    from bcnet.inference.predict import predict_split  # which loads all that models need

    with alone(lock("predict", *names), f"bcnet predict {variant}"):
        return predict_split(run, variant, args.seed, args.split, DATA, args.shard)


def _part(args: Namespace) -> list[str]:
    """What names a shard's lock: shards run beside each other."""
    return [] if args.shard is None else ["-of-".join(map(str, args.shard))]


def predict_wrong(args: Namespace) -> str | None:
    if bool(args.model) != bool(args.out):
        return "--model and --out go together"
    if bool(args.annotations) != bool(args.images) or (args.annotations and not args.model):
        return "--annotations and --images go together, and with --model"
    if args.annotations and args.names:
        return "--annotations already determines the images"
    if args.model and not (args.names or args.annotations):
        return "--model needs images, or --annotations and --images"
    if not args.model and len(args.names) != 1:
        return "expected one VARIANT, or --model with images"
    if args.shard and args.model and not args.annotations:
        return "--shard goes with a VARIANT, or with --annotations"
    return None


def show(args: Namespace) -> str:
    from bcnet.drawing.show import show

    show(args.model, args.pictures, args.out, args.score, args.objects)
    return f"wrote {args.out}: drawings of {len(args.pictures)} images"


VERBS = {
    "weights": Verb(
        weights,
        "write what a variant starts from: its `init`, or the ImageNet weights of its backbone, which are downloaded",
        "bcnet weights --name bcnet",
        (
            argument(
                "backbone", nargs="?", metavar="BACKBONE", help="efficientnet_lite0, resnet50, resnet101 or resnext101"
            ),
            file("--out", "a safetensors file for the ImageNet weights of BACKBONE", required=False),
            argument("--name", metavar="VARIANT", help="a variant of params.yaml"),
        ),
        weights_wrong,
    ),
    "train": Verb(
        train,
        "train a variant; the same command resumes a killed training",
        "bcnet train bcnet --seed 0   (several GPUs: torchrun --nproc-per-node 8 -m bcnet train bcnet)",
        (
            argument("variant", help="a variant of params.yaml"),
            SEED,
            argument(
                "--resume-anyway",
                action="store_true",
                help="resume, too, from a checkpoint of another number of processes, another device or other versions",
            ),
        ),
        more="""
Without --resume-anyway, a training only resumes where it can end with the bytes of an undisturbed one. With it, the
model's provenance says up to which iteration these differed (`resumed`).""",
    ),
    "import-weights": Verb(
        import_weights,
        "convert an official model, such as the released FCOS-BCNet, to a model file (config/README.md lists them)",
        "bcnet import-weights download.pth --out bcnet-released.safetensors",
        (
            argument("file", nargs="?", metavar="FILE|URL", help="a .pth or .pkl file; code in it is never run"),
            file("--out", "the model file, for `predict --model` and `show --model`", required=False),
            file("--categories", "a COCO-format file with the model's categories (default: COCO's 80)", required=False),
            argument("--name", help="import this imported model of params.yaml, with the categories of the dataset"),
        ),
        import_weights_wrong,
    ),
    "predict": Verb(
        predict,
        "run a trained variant or an imported model on a split, or a model file on any images",
        f"bcnet predict --model {MODEL} --annotations val.json --images val --out predictions.json",
        (
            argument("names", nargs="*", metavar="VARIANT|IMAGE", help="a variant, or with --model image files"),
            SEED,
            argument(
                "--split", choices=("val", TEST, TEST_DEV), default="val", help="the images to run on (default val)"
            ),
            file("--model", "a model file, for any images", required=False),
            file("--annotations", "with --model: a COCO-format file of the images to run on", required=False),
            argument("--images", type=Path, metavar="FOLDER", help="with --annotations: where its images are"),
            file("--out", "with --model: the file of predictions to write", required=False),
            SHARD,
        ),
        predict_wrong,
        """
With --model no params.yaml is needed: the model file holds its own settings.
With --annotations, predictions have the file's image ids, and the ids of its categories of the same names. Categories
that only the model or only the file has are named; predictions of those that the file lacks are left out.
Provenance and speed are written beside the predictions, and a killed run resumes.
--shard stores the predictions of a part. The command without it puts all parts together, and predicts what is missing.
""".rstrip(),
    ),
    "show": Verb(
        show,
        "draw the objects that a model detects in images, and the maps of its mask head",
        f"bcnet show --model {MODEL} street.jpg",
        (
            argument("pictures", type=Path, nargs="+", metavar="IMAGE", help="any image files"),
            file("--model", "a model file"),
            argument(
                "--out",
                type=Path,
                default=Path("shown"),
                metavar="FOLDER",
                help="where NAME.png and NAME.svg of each image go (default shown)",
            ),
            argument("--score", type=float, default=0.5, help="draw objects with at least this score (default 0.5)"),
            argument(
                "--objects",
                type=int,
                default=10,
                metavar="N",
                help="draw only the best N of each image (default 10, at most 40)",
            ),
        ),
        more="""
No params.yaml is needed: the model file holds its own settings.""",
    ),
}
