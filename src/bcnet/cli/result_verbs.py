"""The verbs that make results of predictions: metrics, tables, the report, a submission."""

from argparse import Namespace

from bcnet.cli import settings
from bcnet.cli.verb import DEMO, SEED, Verb, argument, file
from bcnet.files import InputError
from bcnet.layout import DATA, REPORTS, TEST_DEV, DatasetFiles, ReportFiles


def evaluate(args: Namespace) -> None:
    from bcnet.evaluation.evaluate import evaluate
    from bcnet.params.data import Convert
    from bcnet.params.results import Evaluate

    chosen = settings.section(args, "evaluate", Evaluate, settings.EVALUATE)
    conversion = settings.beside(args, "convert", Convert, settings.EVALUATE)
    print(evaluate(args.annotations, args.predictions, args.out, chosen, conversion))


def compare(args: Namespace) -> str:
    from bcnet import params
    from bcnet.report.tables.compare import compare

    run = params.load()
    if missing := compare(run, REPORTS):
        print(f"Some metrics are missing: {len(missing)} rows of comparison.csv have no numbers, `why` names them")
    return f"wrote the tables in {ReportFiles(REPORTS / run.dataset).tables}"


def report(args: Namespace) -> str:
    from bcnet import params

    run = params.load()
    from bcnet.report.page.page import report  # which loads all that models need

    if missing := report(run, DATA, REPORTS):
        print(f"Files of the run are missing: {len(missing)}. The page lists them.")
    return f"wrote {ReportFiles(REPORTS / run.dataset).page}"


def submit(args: Namespace) -> None:
    from bcnet import params
    from bcnet.data.coco.submit import submit
    from bcnet.data.sources.coco2017 import test_dev_images

    run = params.load()
    files = DatasetFiles(DATA / run.dataset)
    images = test_dev_images(files.folder)
    if args.predictions:
        predictions, name = args.predictions, args.name
    else:
        own = files.run(args.name, run.run(args.name, args.seed))
        predictions, name = own.predictions(TEST_DEV), f"{own.name}-{own.run}"
        if not predictions.exists():
            raise InputError(f"{predictions}: no such file (`{own.predictions_command(TEST_DEV)}` makes it)")
    print(submit(predictions, images, name, files.submissions))


RUN = ReportFiles(REPORTS / "D")  # of help texts

VERBS = {
    "evaluate": Verb(
        evaluate,
        "compute the metrics of any COCO-format predictions",
        f"bcnet evaluate --annotations {DEMO.split('val')} --predictions mine.json --out mine-metrics.json",
        (
            file("--annotations", "the ground truth: a split, or any COCO-format file, converted or not"),
            file("--predictions", "predictions in COCO's result format, from any framework"),
            file("--out", "the metrics as JSON; tables of objects and detections (.parquet) are written beside it"),
            *settings.EVALUATE,
        ),
        more=settings.more("evaluate", settings.EVALUATE)
        + """
Annotations without `occlusion` are converted on the fly, by the section convert likewise; a line says so.""",
    ),
    "compare": Verb(
        compare,
        "write the tables that compare all methods of the run",
        "bcnet compare",
        more=f"""
It reads the metrics of the dataset D of params.yaml in {RUN.all_metrics}, and writes CSV files, and a Parquet file
with all numbers, to {RUN.tables} (docs/formats.md).""",
    ),
    "report": Verb(
        report,
        "write the report of the run, one self-contained page",
        "bcnet report",
        more=f"""
It writes the page to {RUN.page} and its charts to {RUN.figures}, D being the dataset of params.yaml.""",
    ),
    "submit": Verb(
        submit,
        "write the zip of test-dev predictions for COCO's evaluation server",
        "bcnet predict bcnet-r50 --split test-dev && bcnet submit bcnet-r50",
        (
            argument(
                "name",
                metavar="VARIANT",
                help="a variant or imported model of params.yaml; with --predictions any name",
            ),
            SEED,
            file("--predictions", "other predictions on test-dev, in COCO's result format", required=False),
        ),
    ),
}
