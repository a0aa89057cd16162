"""`bcnet report`: one self-contained page of a run, from its tables, metrics, training logs and predictions."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bcnet.data.splits.rules import in_words
from bcnet.drawing.figures import Look, cut, fitted, look, text_width
from bcnet.drawing.roi_maps import colour_bar
from bcnet.files import atomic_output
from bcnet.layout import ReportFiles
from bcnet.params import Params
from bcnet.params.data import Coco, Shapes
from bcnet.report.figures import contrasts, figure_files, rois
from bcnet.report.page.grid import read_table
from bcnet.report.page.sections import ablations as ablations_section
from bcnet.report.page.sections import comparison as comparison_section
from bcnet.report.page.sections import contrasts as contrasts_section
from bcnet.report.page.sections import differences as differences_section
from bcnet.report.page.sections import leak as leak_section
from bcnet.report.page.sections import occlusion as occlusion_section
from bcnet.report.page.sections import pictures as pictures_section
from bcnet.report.page.sections import provenance as provenance_section
from bcnet.report.page.sections import published as published_section
from bcnet.report.page.sections import size as size_section
from bcnet.report.page.sections import summary as summary_section
from bcnet.report.page.sections import training as training_section
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, evaluate_command, methods

TEMPLATES = resources.files("bcnet.report.page")
SCRIPTS = [TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "objects.js")]


def report(params: Params, data: Path, reports: Path) -> list[str]:
    """Write the page of the run's dataset, which needs no other file and no network, and each of its charts as SVG.

    Of a run that is not finished it shows what is there, and lists what is missing with the commands that make it.

    Args:
        params: the run.
        data, reports: the folders that the stages write to.

    Returns:
        What is missing, a line a file.

    Raises:
        InputError: a table is missing (the line says which command makes it), or a file does not hold what its format
            says.
    """
    name = params.dataset
    files = ReportFiles(reports / name)
    data, reports, tables = data / name, files.folder, files.tables
    looks = {method: look(index) for index, method in enumerate(methods(params))}
    comparison = read_table(tables / "comparison.csv", comparison_section.COLUMNS, params.tables.metrics)
    differences = differences_section.section(tables / "differences.csv", looks)
    occlusion = occlusion_section.section(tables, looks)
    ablations = ablations_section.section(tables / "ablations.csv", looks)
    published = read_table(tables / "published.csv", published_section.COLUMNS)
    environment = Environment(
        loader=PackageLoader("bcnet.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    missing = _missing_metrics(looks, params, reports)
    training = training_section.section(looks, data, missing)
    shown = pictures_section.section(looks, data, name, missing)
    maps = pictures_section.maps(params, data, shown, missing)
    size = size_section.section(looks, comparison, params.tables.metrics[0], data, tables / "comparison.csv", missing)
    made = isinstance(params.datasets[name], Shapes)
    objects = contrasts_section.section(params, list(looks), data, reports, missing)
    html = environment.get_template("page/page.html.j2").render(
        params=params,
        source=_source(params),
        made=made,
        splits={split: in_words(rule) for split, rule in params.splits.items()},
        looks=looks,
        summary=summary_section.section(params, tables, looks),
        comparison=comparison_section.section(comparison),
        published=published_section.section(published),
        differences=differences,
        occlusion=occlusion,
        ablations=ablations,
        leak=leak_section.section(tables, looks),
        size=size,
        training=training,
        points=training_section.POINTS,
        rule=pictures_section.RULE,
        pictures=shown,
        cut=cut,
        fitted=fitted,
        text_width=text_width,
        maps=maps,
        maps_rule=rois.RULE,
        colour_bar=colour_bar(),
        contrasts=objects,
        contrasts_rule=contrasts.RULE,
        provenance={method: provenance_section.section(method, params.splits, reports) for method in looks},
        missing=missing,
        scripts=[Markup(script) for script in SCRIPTS],
        # of all scripts the browser runs these only, whatever else may have got into the page
        script_sources=" ".join(f"'sha256-{_sha256(script)}'" for script in SCRIPTS),
    )
    about = f"{name}, made pictures: never comparable with COCO" if made else name
    drawn = figure_files.figures(looks, differences, occlusion, ablations, size, training, len(params.seeds))
    charts = {figure.name: figure_files.render(environment, figure, looks, about) for figure in drawn}
    figure_files.write(files.figures, charts)
    with atomic_output(files.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return missing


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _source(params: Params) -> str:
    dataset = params.datasets[params.dataset]
    if isinstance(dataset, Shapes):
        counts = f"{dataset.train} train and {dataset.val} val pictures of {dataset.size} by {dataset.size} pixels"
        line = f"{counts}, made by the project with seed {dataset.seed}"
    elif isinstance(dataset, Coco):
        line = f"COCO 2017, {dataset.folder or dataset.url}"
    else:
        what = {"files": "own data in COCO format", "kins": "KINS", "cocoa": "COCOA"}[dataset.source]
        line = f"{what}: train {dataset.train.annotations}, val {dataset.val.annotations}"
    if params.train_on == "train":
        return line
    made = params.synthetic[params.train_on]
    with_real = " and the real ones" if made.keep_real else ""
    return f"{line}; trained on {params.train_on}: {made.pictures} pictures with pasted objects{with_real}"


def _missing_metrics(looks: dict[Method, Look], params: Params, reports: Path) -> list[str]:
    missing: list[str] = []
    for method in looks:
        for run in method.runs:
            for split in params.splits:
                path = ReportFiles(reports).metrics(method.name, run, split)
                is_there(path, evaluate_command(path, method, params.dataset), missing)
    return missing
