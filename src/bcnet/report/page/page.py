"""`bcnet report`: one self-contained page of a run, from its tables, metrics, training logs and predictions."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bcnet.data.sources.image_folders import need_images
from bcnet.data.splits.rules import in_words
from bcnet.drawing.figures import fitted
from bcnet.evaluation.statistics.samples import FEW
from bcnet.files import atomic_output, read_json
from bcnet.params import Params
from bcnet.params.data import Coco, Shapes
from bcnet.report.figures import figure_files
from bcnet.report.figures.pictures import labels
from bcnet.report.page.contents import MISSING, SECTIONS, SUMMARY
from bcnet.report.page.context import Context
from bcnet.report.page.grid import origin_words
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import evaluate_command

TEMPLATES = resources.files("bcnet.report.page")
SCRIPTS = [
    TEMPLATES.joinpath("scripts", name).read_text(encoding="utf-8") for name in ("tables.js", "page.js", "objects.js")
]


def report(params: Params, data: Path, reports: Path) -> list[str]:
    """Write the page of the run; it needs no other file and no network.

    `reports/D/figures` gets each of its charts as SVG.

    Of a run that is not finished it shows what is there, and lists what is missing with the commands that make it.

    Args:
        params: the run.
        data, reports: the folders that the stages write to.

    Returns:
        What is missing, a line a file.

    Raises:
        InputError: a table is missing, or the folder of all pictures, without which the page would lack them (the line
            says which command makes it); or a file does not hold what its format says.
    """
    name = params.dataset
    context = Context(params, data / name, reports / name)
    if context.files.image_hashes("val").exists():  # fetched once, on another machine perhaps
        need_images(context.files, "val")
    _note_missing_metrics(context)
    contents = {section: section.data(context) for section in (*SECTIONS, SUMMARY, MISSING)}
    shown = [(section, contents[section]) for section in (MISSING, *SECTIONS) if contents[section] is not None]
    synthetic = isinstance(params.datasets[name], Shapes)
    environment = _environment()
    html = environment.get_template("page/templates/page.html.j2").render(
        context=context,
        params=params,
        looks=context.looks,
        source=_source(params),
        synthetic=synthetic,
        chosen_on_val=_chosen_on_val(context),
        splits={split: in_words(rule) for split, rule in params.splits.items()},
        summary=[(SUMMARY, contents[SUMMARY])] if contents[SUMMARY] is not None else [],
        sections=shown,
        scripts=[Markup(script) for script in SCRIPTS],
        # of all scripts the browser runs these only, whatever else may have got into the page
        script_sources=" ".join(f"'sha256-{_sha256(script)}'" for script in SCRIPTS),
    )
    about = f"{name}, synthetic images: not comparable with COCO" if synthetic else name
    figures = [figure for section, content in shown for figure in section.charts(content, context)]
    files = {figure.name: figure_files.render(environment, figure, context.looks, about) for figure in figures}
    figure_files.write(context.report_files.figures, files)
    with atomic_output(context.report_files.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return context.missing


def _environment() -> Environment:
    """The package's templates, which may measure and cut texts of drawings."""
    environment = Environment(
        loader=PackageLoader("bcnet.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["origin_words"] = origin_words
    environment.globals.update(fitted=fitted, labels=labels, few=FEW)
    return environment


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _source(params: Params) -> str:
    dataset = params.datasets[params.dataset]
    if isinstance(dataset, Shapes):
        counts = f"{dataset.train} train and {dataset.val} val images of {dataset.size} by {dataset.size} pixels"
        line = f"{counts}, generated with seed {dataset.seed}"
    elif isinstance(dataset, Coco):
        line = f"COCO 2017, {dataset.folder or dataset.url}"
    else:
        what = {"files": "own data in COCO format", "kins": "KINS", "cocoa": "COCOA", "cocoa_cls": "COCOA-cls or D2SA"}[
            dataset.source
        ]
        line = f"{what}: train {dataset.train.annotations}, val {dataset.val.annotations}"
    if params.train_on == "train":
        return line
    pasted = params.synthetic[params.train_on]
    with_real = ", plus the real images" if pasted.keep_real else ""
    return f"{line}; trained on {params.train_on}: {pasted.pictures} images with pasted objects{with_real}"


def _chosen_on_val(context: Context) -> bool:
    """Whether predictions of any method are those of the model with the highest AP on val, not of the last one."""
    paths = (context.metrics(method, run, "val") for method in context.looks for run in method.runs)
    return any("best" in read_json(path)["provenance"] for path in paths if path.exists())


def _note_missing_metrics(context: Context) -> None:
    for method in context.looks:
        for run in method.runs:
            for split in context.params.splits:
                path = context.metrics(method, run, split)
                is_there(path, evaluate_command(path, method, context.params.dataset), context.missing)
