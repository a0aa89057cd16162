"""The page's section of pictures: ground truth and each method's predictions, drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from bcnet.data.coco.images import read_image
from bcnet.drawing.figures import Look, data_uri
from bcnet.evaluation.metrics.curves import SCORES, best
from bcnet.files import InputError
from bcnet.progress import progress
from bcnet.report.figures import pictures
from bcnet.report.figures.pictures import Panel
from bcnet.report.figures.predictions import ImagePredictions, by_image, predictions_of
from bcnet.report.page.context import Context
from bcnet.report.page.sections.analysis import curves
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, predict_command

PICTURES = 8
LONGEST = 448  # side of a shown picture, pixels
RULE = pictures.RULE.format(n=PICTURES)
OF_BOXES = Panel((), "predictions without masks are not drawn")
Entries = list[dict[str, Any]]  # annotations or predictions


@dataclass(frozen=True)
class ShownPicture:
    """A picture as a data URI, its objects' mean `max_box_iou`, and the panels over it, each with title and look."""

    image: dict[str, Any]  # of a COCO file, as the annotations are
    annotations: Entries
    overlap: float
    uri: str
    panels: list[tuple[str, Look | None, Panel]]


@dataclass(frozen=True)
class Pictures:
    """The pictures, and by what rule they are chosen."""

    pictures: list[ShownPicture]
    rule: str = RULE


def most_occluded_pictures(context: Context) -> Pictures:
    """The pictures of `RULE`, each with a panel for the ground truth and for each method's first run.

    Raises:
        InputError: the annotations, predictions or a picture are none.
    """
    return Pictures(context.once(shown_pictures))


def shown_pictures(context: Context) -> list[ShownPicture]:
    """The pictures of `RULE` that are there."""
    path = context.val_file
    if not is_there(path, context.files.split_command("val"), context.missing):
        return []
    truth = context.val
    names = {category["id"]: category["name"] for category in truth["categories"]}
    chosen = pictures.most_occluded(truth["images"], truth["annotations"], PICTURES)
    ids = [image["id"] for image, _ in chosen]
    annotations = by_image(truth["annotations"], ids)
    predictions = _predictions(context, annotations)
    shown = []
    for image, overlap in progress(chosen, "pictures"):
        size = image["height"], image["width"]
        file = context.pictures / image["file_name"]
        if not is_there(file, context.files.fetch_command, context.missing):
            continue
        own = annotations[image["id"]]
        panels: list[tuple[str, Look | None, Panel]]
        panels = [("ground truth", None, pictures.truth_panel(own, names, size))]
        for method, evaluated in predictions.items():
            panel = OF_BOXES
            if not evaluated.predictions.are_boxes:
                entries = evaluated.predictions.by_image[image["id"]]
                panel = pictures.method_panel(own, entries, evaluated.detections, names, size, evaluated.least)
            panels.append((method.label, context.looks[method], panel))
        shown.append(ShownPicture(image, own, overlap, data_uri(read_image(file, size), LONGEST), panels))
    return shown


class _Evaluated(NamedTuple):
    """A method's predictions of the pictures, and what is drawn of them.

    `detections`: by annotation id the place of the one that is given to it at IoU .5. `least`: the score from which on
    predictions are drawn.
    """

    predictions: ImagePredictions
    detections: dict[int, int]
    least: float


def _predictions(context: Context, annotations: Mapping[int, Entries]) -> dict[Method, _Evaluated]:
    """The predictions of these pictures, of the methods whose predictions are there and were evaluated."""
    found, scores = {}, context.once(curves.scores)
    for method in progress(context.looks, "predictions", len(context.looks)):
        file = context.predictions(method)
        if not is_there(file, predict_command(method, context.params.dataset), context.missing):
            continue
        objects = context.objects(method, ["annotation_id", "image_id", "detection"])
        if objects is None or (method not in scores and not context.boxes(method)):
            continue
        predictions = predictions_of(file, annotations)
        least = float(SCORES[best(scores[method])]) if method in scores else 0.0  # boxes are not drawn
        found[method] = _Evaluated(predictions, _detections(objects, annotations, predictions, context, method), least)
    return found


def _detections(
    objects: pd.DataFrame,
    annotations: Mapping[int, Entries],
    predictions: ImagePredictions,
    context: Context,
    method: Method,
) -> dict[int, int]:
    """By annotation id the place of its detection, if the table is of these annotations and predictions."""
    own = objects[objects["image_id"].isin(list(annotations))]
    drawn = {entry["id"] for entries in annotations.values() for entry in entries if not entry["iscrowd"]}
    if strange := drawn ^ set(own["annotation_id"].tolist()):
        raise InputError(
            f"{context.object_file(method)}: other objects than in {context.val_file}, the first is annotation"
            f" {min(strange)}: run `bcnet evaluate` again"
        )
    given = own[own["detection"].notna()].astype({"detection": int})
    columns = (given[name].tolist() for name in ("annotation_id", "image_id", "detection"))
    detections = {}
    for annotation_id, image_id, place in zip(*columns, strict=True):
        predictions.at(image_id, place)
        detections[annotation_id] = place
    return detections
