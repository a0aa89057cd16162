"""The sections of the report's page, in their order. A new one is a file with its template beside it, and an entry."""

from bcnet.report.page.context import Context
from bcnet.report.page.section import Section
from bcnet.report.page.sections.analysis import boxes, confusion, curves, equal_size, occlusion
from bcnet.report.page.sections.examples import contrasts, maps, objects, pictures
from bcnet.report.page.sections.results import ablations, comparison, differences, published, summary
from bcnet.report.page.sections.runs import definitions, provenance, size, training


def missing_files(context: Context) -> list[str] | None:
    """The files that other sections lack, a line each; None where there is none."""
    return context.missing or None


SUMMARY = Section("summary", "In short", "results/summary", summary.summary)  # the first screen
MISSING = Section("missing", "Missing files", "runs/missing", missing_files)  # below it, but made after all others
SECTIONS = (
    Section("comparison", "All numbers", "results/comparison", comparison.comparison_grid),
    Section("differences", "Differences", "results/differences", differences.against_baselines, differences.charts),
    Section("objects", "Missed objects", "examples/objects", objects.missed_objects),
    Section(
        "occlusion",
        "Occlusion",
        "analysis/occlusion",
        occlusion.coping,
        occlusion.charts,
        "Recall by other measures and on other splits; AP of each category",
    ),
    Section(
        "equal-size",
        "Equal size",
        "analysis/equal_size",
        equal_size.equal_size,
        teaser="How much recall a method keeps under occlusion, among objects of one size",
    ),
    Section(
        "same-category",
        "Occluders",
        "analysis/same_category",
        occlusion.by_occluder,
        occlusion.charts_by_occluder,
        "Are objects harder to find behind their own kind?",
    ),
    Section(
        "boxes",
        "Boxes",
        "analysis/boxes",
        boxes.boxes,
        teaser="Recall by occlusion and failures of predictions that are boxes",
    ),
    Section(
        "curves",
        "Curves",
        "analysis/curves",
        curves.curves,
        curves.charts,
        "Precision by recall, and what a score threshold does",
    ),
    Section(
        "confusion",
        "Confusion",
        "analysis/confusion",
        confusion.confusions,
        teaser="What objects are taken for, and which categories suffer when covered",
    ),
    Section(
        "ablations",
        "Ablations",
        "results/ablations",
        ablations.ablations,
        ablations.charts,
        "What one setting changes, all else being equal",
    ),
    Section(
        "published",
        "Published",
        "results/published",
        published.published_grids,
        teaser="Which numbers of the papers are reproduced",
    ),
    Section(
        "size",
        "Cost",
        "runs/size",
        size.costs,
        size.charts,
        "Parameters and time per image, against accuracy",
    ),
    Section("training", "Training", "runs/training", training.loss_charts, training.charts, "Losses by iteration"),
    Section(
        "contrasts",
        "Contrasts",
        "examples/contrasts",
        contrasts.contrasts,
        teaser="The objects on which methods differ most, with the masks of all",
    ),
    Section(
        "pictures",
        "Images",
        "examples/pictures",
        pictures.most_occluded_pictures,
        teaser="Whole images with all predictions",
    ),
    Section(
        "maps",
        "Maps",
        "examples/maps",
        maps.most_covered_maps,
        teaser="What BCNet predicts of the occluder and of the object",
    ),
    Section(
        "metrics",
        "Definitions",
        "runs/definitions",
        definitions.definitions,
        teaser="What the numbers mean",
    ),
    Section(
        "provenance",
        "Settings",
        "runs/provenance",
        provenance.provenance,
        teaser="Dataset, schedule, versions and hashes behind each number",
    ),
)
