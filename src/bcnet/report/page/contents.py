"""The sections of the report's page, in their order. A new one is a file with its template beside it, and an entry."""

from bcnet.report.page.context import Context
from bcnet.report.page.section import Section
from bcnet.report.page.sections import (
    ablations,
    comparison,
    contrasts,
    definitions,
    differences,
    equal_size,
    leak,
    maps,
    occlusion,
    pictures,
    provenance,
    published,
    size,
    summary,
    training,
)


def missing_files(context: Context) -> list[str] | None:
    """The files that other sections lack, a line each; None where there is none."""
    return context.missing or None


SUMMARY = Section("summary", "Summary", "summary", summary.summary)  # stands above the contents
MISSING = Section("missing", "Missing files", "missing", missing_files)  # the first, but made after all others
SECTIONS = (
    Section("comparison", "Comparison", "comparison", comparison.comparison_grid),
    Section("published", "Published numbers", "published", published.published_grids),
    Section("differences", "Differences", "differences", differences.against_baselines, differences.charts),
    Section("occlusion", "Results under occlusion", "occlusion", occlusion.coping, occlusion.charts),
    Section("equal-size", "Recall under occlusion at equal size", "equal_size", equal_size.equal_size),
    Section("ablations", "Ablations", "ablations", ablations.ablations, ablations.charts),
    Section(
        "same-category",
        "Occlusion within and across categories",
        "same_category",
        occlusion.by_occluder,
        occlusion.charts_by_occluder,
    ),
    Section("leak", "Leak into the occluder", "leak", leak.leak_grid),
    Section("errors", "Errors by kind", "errors", occlusion.errors_grid),
    Section("order", "Invisible parts and occlusion order", "order", occlusion.amodal_grid),
    Section("size", "Accuracy, speed and size", "size", size.costs, size.charts),
    Section("training", "Training", "training", training.loss_charts, training.charts),
    Section("objects", "Objects on which methods differ most", "contrasts", contrasts.contrasts),
    Section("pictures", "Example images", "pictures", pictures.most_occluded_pictures),
    Section("maps", "Maps of the mask head", "maps", maps.most_covered_maps),
    Section("metrics", "What the numbers mean", "definitions", definitions.definitions),
    Section("provenance", "Provenance", "provenance", provenance.provenance),
)
