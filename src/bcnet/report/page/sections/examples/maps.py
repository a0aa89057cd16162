"""The page's section of RoIs: the maps of the mask head beside the ground truth."""

from dataclasses import dataclass

from bcnet.drawing.roi_maps import colour_bar
from bcnet.report.figures import rois
from bcnet.report.figures.rois import Roi
from bcnet.report.page.context import Context
from bcnet.report.page.sections.examples.pictures import shown_pictures
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import bcnets


@dataclass(frozen=True)
class Maps:
    """Of which method the RoIs are, each with its squares as data URIs by name, and by what rule they are chosen."""

    label: str
    rois: list[tuple[Roi, dict[str, str]]]
    rule: str
    colour_bar: str


def most_covered_maps(context: Context) -> Maps | None:
    """The first BCNet's maps of the most covered objects in the pictures shown; None for a run without a BCNet.

    Raises:
        InputError: the model or a picture is corrupt, or an annotation is not converted.
    """
    if not bcnets(context.params):
        return None
    name = bcnets(context.params)[0]
    run = context.files.run(name, str(context.params.seeds[0]))
    shown = context.once(shown_pictures)
    if not is_there(run.model, run.model_command, context.missing) or not shown:
        return None
    images = [(picture.image, picture.annotations) for picture in shown]
    label = context.params.variants[name].label or name
    return Maps(label, rois.most_covered(run.model, context.pictures, images), rois.RULE, colour_bar())
