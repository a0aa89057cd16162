"""What each verb of the command line does: its arguments, taken to the function that does the work.

That function's module is imported here and not above, so that no verb waits for what only others need.
"""

import argparse
import os
import re
from pathlib import Path

from bcnet import params as parameters
from bcnet.files import InputError, shown
from bcnet.layout import DATA, IMPORTED, REPORTS, TEST_DEV, DatasetFiles, downloads

STAGE = re.compile(r"((\.\./)*dvc\.yaml:)?[A-Za-z0-9_@-]*")  # as DVC calls one made of legal names, from any folder


def params(args: argparse.Namespace) -> None:
    """What dvc.yaml runs before each command that it puts together from names in params.yaml."""
    parameters.load()
    # DVC read the file earlier than this did: it may have been another one. Names of stages are made of names in it.
    if not STAGE.fullmatch(stage := os.environ.get("DVC_STAGE", "")):
        raise InputError(f"DVC_STAGE: {shown(stage)}: not made of legal names; has {parameters.PARAMS} just changed?")


def fetch(args: argparse.Namespace) -> None:
    from bcnet.data.sources.fetch import bring, fetch, fetch_test

    params = parameters.load()
    folder = DATA / args.dataset
    if args.predictions:
        bring(params.brought(args.predictions), args.predictions, folder)
    elif args.test:
        fetch_test(params.dataset_named(args.dataset), args.dataset, folder)
    else:
        fetch(params.dataset_named(args.dataset), args.dataset, folder)


def check(args: argparse.Namespace) -> None:
    from bcnet.data.coco.check import check

    check(args.annotations, args.images, args.fix, args.all)


def convert(args: argparse.Namespace) -> None:
    from bcnet.data.occlusion.convert import convert, gather

    if args.gather:
        gather(args.annotations, args.gather, args.out)
    else:
        convert(args.annotations, args.out, parameters.load().convert, args.jobs, args.format, args.shard)


def synthesize(args: argparse.Namespace) -> None:
    from bcnet.data.synthetic.synthesize import synthesize

    params = parameters.load()
    synthesize(params.synthetic_named(args.name), args.name, DATA / params.dataset, args.jobs)


def split(args: argparse.Namespace) -> None:
    from bcnet.data.splits.explain import explain
    from bcnet.data.splits.split import split

    if args.explain:
        print(explain(args.annotations, args.ids, args.count, args.out))
    else:
        split(args.annotations, args.out, args.rule, parameters.load().split_named(args.rule))


def weights(args: argparse.Namespace) -> None:
    from bcnet.weights.imagenet import write_weights

    write_weights(args.backbone, args.out, downloads())


def import_weights(args: argparse.Namespace) -> None:
    from bcnet.weights.import_weights import import_weights

    if args.name is None:
        import_weights(args.file, args.out, downloads(), args.categories)
    else:
        params = parameters.load()
        files, source = DatasetFiles(DATA / params.dataset), params.imported_named(args.name).file
        import_weights(source, files.run(args.name, IMPORTED).model, downloads(), files.annotations("val"))


def train(args: argparse.Namespace) -> None:
    from bcnet.training.loop import train

    train(parameters.load(), args.variant, args.seed, DATA)


def predict(args: argparse.Namespace) -> None:
    from bcnet.inference.predict import predict_images, predict_split

    if args.model:
        predict_images(args.model, [Path(image) for image in args.names], args.out)
    else:
        (variant,) = args.names
        predict_split(parameters.load(), variant, args.seed, args.split, DATA)


def show(args: argparse.Namespace) -> None:
    from bcnet.inference.show import show

    show(args.model, args.pictures, args.out, args.score, args.objects)


def evaluate(args: argparse.Namespace) -> None:
    from bcnet.evaluation.evaluate import evaluate

    print(evaluate(args.annotations, args.predictions, args.out, parameters.load().evaluate))


def compare(args: argparse.Namespace) -> None:
    from bcnet.report.tables.compare import compare

    if missing := compare(parameters.load(), REPORTS):
        print(f"Metrics are missing, the tables say which: {len(missing)} rows of comparison.csv have no numbers")


def report(args: argparse.Namespace) -> None:
    from bcnet.report.page.page import report

    if missing := report(parameters.load(), DATA, REPORTS):
        print(f"Files of the run are missing, the page lists them: {len(missing)}")


def submit(args: argparse.Namespace) -> None:
    from bcnet.data.coco.submit import submit
    from bcnet.data.sources.coco2017 import test_dev_images

    params = parameters.load()
    files = DatasetFiles(DATA / params.dataset)
    images = test_dev_images(files.folder)
    if args.predictions:
        predictions, name = args.predictions, args.name
    else:
        run = files.run(args.name, params.run(args.name, args.seed))
        predictions, name = run.predictions(TEST_DEV), f"{run.name}-{run.run}"
        if not predictions.exists():
            raise InputError(f"{predictions}: no such file (`{run.predictions_command(TEST_DEV)}` makes it)")
    print(submit(predictions, images, name, files.submissions))


def sync(args: argparse.Namespace) -> None:
    from bcnet.sync import sync

    sync()


def preset(args: argparse.Namespace) -> None:
    from bcnet.presets import put_preset

    put_preset(args.name)
