"""The page's charts as files: each with a title and its methods' legend, which on the page stand beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from bcnet.drawing.figures import Look, fitted, text_width
from bcnet.files import atomic_output
from bcnet.report.page.sections.ablations import Ablations
from bcnet.report.page.sections.differences import Against
from bcnet.report.page.sections.occlusion import Occlusion
from bcnet.report.page.sections.size import SPLIT, Costs
from bcnet.report.tables.rows import Method

Curves = Sequence[tuple[str, Sequence[Method], Markup]]  # what training_section.section gives
MARGIN, TITLE, SMALL, SPACING = 12, 12, 9, 1.5  # pixels of the drawing, whose charts have letters of 9; lines' distance
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True)
class Figure:
    """A chart of the page: its file's name without ending, its title, the lines below that, and the methods in it."""

    name: str
    title: str
    chart: Markup
    methods: tuple[Method, ...]
    notes: tuple[str, ...] = ()


def figures(
    looks: Mapping[Method, Look],
    differences: Sequence[Against],
    occlusion: Occlusion,
    ablations: Ablations | None,
    costs: Costs | None,
    training: Curves,
    seeds: int,
) -> Iterator[Figure]:
    """The charts of the page.

    Args:
        looks: of the run's methods.
        differences, occlusion, ablations, costs, training: what the sections have drawn.
        seeds: how many the run has.
    """
    for place, against in enumerate(differences):
        for chart in against.charts:
            name, title = f"difference-{chart.split}-{place}", f"Difference to {against.baseline} on {chart.split}"
            yield Figure(name, title, chart.drawing, chart.methods, ("95 % intervals",))
    bands = ("bands: one sample standard deviation over seeds",) if seeds > 1 else ()
    for measure in (*occlusion.measures, occlusion.same):
        for split, drawing in measure.charts:
            title = f"Recall by {measure.name} on {split}"
            yield Figure(f"recall-{measure.name}-{split}", title, drawing, tuple(looks), bands)
    for chart in ablations.charts if ablations else ():
        notes = "what one switch changes, with 95 % intervals", "in the look of the second variant"
        yield Figure(f"ablations-{chart.split}", f"Ablations on {chart.split}", chart.drawing, chart.methods, notes)
    for each in costs.charts if costs else ():
        yield Figure(each.name, f"Accuracy on {SPLIT} against {each.caption}", each.drawing, each.methods)
    dashes = ("seeds differ in dashes, the first is solid",) if seeds > 1 else ()
    for place, (loss, methods, drawing) in enumerate(training):
        name, title = (f"training-{loss}", loss) if place else ("training", "sum of the losses")
        yield Figure(name, f"Training: {title}", drawing, tuple(methods), dashes)


def render(environment: Environment, figure: Figure, looks: Mapping[Method, Look], dataset: str) -> str:
    """A figure as a file: SVG that is dark on white, and needs no other file.

    Args:
        environment: with the package's templates.
        figure: what is drawn.
        looks: of the run's methods.
        dataset: for the line below the title, with what a reader should know of it.
    """
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.chart)
    assert found, "figures._svg keeps the viewBox"
    width, height = float(found[1]), float(found[2])
    lines = (dataset, *figure.notes)
    small = (*lines, *(f"{looks[method].symbol} {method.label}" for method in figure.methods))
    longest = max(text_width(figure.title, TITLE, "bold"), *(text_width(line, SMALL) for line in small))
    text = environment.get_template("figures/figure.svg.j2").render(
        figure=figure,
        lines=lines,
        looks=looks,
        fitted=lambda text, size, weight="normal": fitted(text_width(text, size, weight)),
        chart_width=width,
        chart_height=height,
        width=2 * MARGIN + max(width, longest),
        margin=MARGIN,
        title=TITLE,
        small=SMALL,
        step=SPACING * SMALL,
    )
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the folder's SVG files; those of charts that are no longer there go.

    Args:
        folder: made where it is missing.
        files: their texts, by name without ending.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.stem not in files:
            path.unlink()
    for name, text in files.items():
        with atomic_output(folder / f"{name}.svg") as temporary:
            temporary.write_text(text, encoding="utf-8")
