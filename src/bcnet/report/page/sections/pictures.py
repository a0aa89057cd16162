"""The page's section of pictures: ground truth and each method's predictions, drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bcnet.data.coco.images import read_image
from bcnet.drawing.figures import Look, data_uri
from bcnet.progress import progress
from bcnet.report.figures import pictures
from bcnet.report.figures.pictures import Panel
from bcnet.report.page.context import Context
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, predict_command

PICTURES = 8
LONGEST = 640  # side of a shown picture, pixels
RULE = pictures.RULE.format(n=PICTURES)
OF_BOXES = Panel((), "the predictions are boxes, none is drawn")
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
    command = f"bcnet split --annotations {context.data / 'bilayer' / 'val.json'} --rule val --out {path}"
    if not is_there(path, command, context.missing):
        return []
    truth = context.val
    names = {category["id"]: category["name"] for category in truth["categories"]}
    chosen = pictures.most_occluded(truth["images"], truth["annotations"], PICTURES)
    ids = [image["id"] for image, _ in chosen]
    annotations = pictures.by_image(truth["annotations"], ids)
    predictions = _predictions(context, ids)
    shown = []
    for image, overlap in progress(chosen, "pictures"):
        size = image["height"], image["width"]
        file = context.pictures / image["file_name"]
        if not is_there(file, f"bcnet fetch {context.params.dataset}", context.missing):
            continue
        own = annotations[image["id"]]
        panels: list[tuple[str, Look | None, Panel]]
        panels = [("ground truth", None, pictures.truth_panel(own, names, size))]
        for method, drawn in predictions.items():
            panel = OF_BOXES if drawn is None else pictures.method_panel(own, drawn[image["id"]], names, size)
            panels.append((method.label, context.looks[method], panel))
        shown.append(ShownPicture(image, own, overlap, data_uri(read_image(file, size), LONGEST), panels))
    return shown


def _predictions(context: Context, ids: list[int]) -> Mapping[Method, dict[int, Entries] | None]:
    """Of each method whose predictions are there those that are drawn, by image; None if they are boxes."""
    return {
        method: _drawn(pictures.read_predictions(context.predictions(method), ids), ids)
        for method in progress(context.looks, "predictions", len(context.looks))
        if is_there(context.predictions(method), predict_command(method, context.params.dataset), context.missing)
    }


def _drawn(predictions: Entries, ids: list[int]) -> dict[int, Entries] | None:
    """Of each picture those predictions that are drawn; None if they are boxes."""
    if predictions and "segmentation" not in predictions[0]:
        return None
    drawn = [prediction for prediction in predictions if prediction["score"] >= pictures.MIN_SCORE]
    return pictures.by_image(drawn, ids)
