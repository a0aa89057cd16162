"""The page's sections of pictures: ground truth and predictions drawn, and the maps of the mask head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.drawing.figures import Look, data_uri
from bcnet.layout import DatasetFiles
from bcnet.params import Params
from bcnet.progress import progress
from bcnet.report.figures import pictures, rois
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, bcnets, predict_command

PICTURES = 8
LONGEST = 640  # side of a shown picture, pixels
RULE = pictures.RULE.format(n=PICTURES)


def section(looks: Mapping[Method, Look], data: Path, dataset: str, missing: list[str]) -> list[dict[str, Any]]:
    """The pictures shown: each with its data URI and a panel for the ground truth and for each method's first run.

    Args:
        looks: of the run's methods.
        data: the folder of the run's dataset.
        dataset: its name.
        missing: gets a line for each file that is missing.
    """
    files = DatasetFiles(data)
    path = files.split("val")
    if not is_there(path, files.split_command("val"), missing):
        return []
    truth = annotation_file.read(path)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    chosen = pictures.most_occluded(truth["images"], truth["annotations"], PICTURES)
    ids = [image["id"] for image, _ in chosen]
    annotations = pictures.by_image(truth["annotations"], ids)
    predictions = {
        method: _drawn(pictures.read_predictions(_predicted(data, method), ids), ids)
        for method in progress(looks, "predictions", len(looks))
        if is_there(_predicted(data, method), predict_command(method, dataset), missing)
    }
    shown = []
    for image, overlap in progress(chosen, "pictures"):
        size = image["height"], image["width"]
        file = files.images("val") / image["file_name"]
        if not is_there(file, files.fetch_command, missing):
            continue
        panels: list[tuple[str, Look | None, pictures.Panel]]
        panels = [("ground truth", None, pictures.truth_panel(annotations[image["id"]], names, size))]
        for method, drawn in predictions.items():
            panel = pictures.Panel((), "the predictions are boxes, none is drawn")
            if drawn is not None:
                panel = pictures.method_panel(annotations[image["id"]], drawn[image["id"]], names, size)
            panels.append((method.label, looks[method], panel))
        uri = data_uri(read_image(file, size), LONGEST)
        shown.append(
            {"image": image, "annotations": annotations[image["id"]], "overlap": overlap, "uri": uri, "panels": panels}
        )
    return shown


def maps(params: Params, data: Path, shown: list[dict[str, Any]], missing: list[str]) -> dict[str, Any] | None:
    """The first BCNet's maps of the most covered objects in the pictures shown; None for a run without a BCNet."""
    if not bcnets(params):
        return None
    name = bcnets(params)[0]
    run = DatasetFiles(data).run(name, str(params.seeds[0]))
    if not is_there(run.model, run.model_command, missing) or not shown:
        return None
    images = [(each["image"], each["annotations"]) for each in shown]
    return {
        "label": params.variants[name].label or name,
        "rois": rois.most_covered(run.model, DatasetFiles(data).images("val"), images),
    }


def _predicted(data: Path, method: Method) -> Path:
    """The predictions of a method's first run."""
    return DatasetFiles(data).run(method.name, method.runs[0]).predictions()


def _drawn(predictions: list[dict[str, Any]], ids: list[int]) -> dict[int, list[dict[str, Any]]] | None:
    """Of each picture those predictions that are drawn; None if they are boxes."""
    if predictions and "segmentation" not in predictions[0]:
        return None
    return pictures.by_image([each for each in predictions if each["score"] >= pictures.MIN_SCORE], ids)
