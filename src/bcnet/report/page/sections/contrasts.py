"""The page's section about single objects: those on which methods differ most, with what each method makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from bcnet import layout
from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import to_rle
from bcnet.drawing.figures import data_uri
from bcnet.evaluation.metrics.failures import NAMES
from bcnet.files import InputError
from bcnet.layout import DatasetFiles, ReportFiles
from bcnet.params import Params
from bcnet.progress import progress
from bcnet.report.figures import rois
from bcnet.report.figures.contrasts import OBJECTS, SHOWN, drawn, most_different, window
from bcnet.report.figures.pictures import read_predictions
from bcnet.report.tables.measured import is_there, read_table_of
from bcnet.report.tables.rows import Method, bcnets, evaluate_command

SIDE = 240  # of a shown part of a picture, pixels
COLUMNS = ["annotation_id", "box_cover", "iou", "score", "failure"]


@dataclass(frozen=True)
class Drawing:
    """What a method makes of an object: its best mask as the `d` of a path, empty for none, with its IoU and score."""

    method: int
    iou: float
    score: float | None
    failure: str
    path: str


@dataclass(frozen=True)
class Contrast:
    """An object: its surroundings as a data URI of `width` by `height` pixels, its mask and its occluder's as paths."""

    annotation: Mapping[str, Any]
    category: str
    file_name: str
    cover: float
    bin: str
    uri: str
    width: int
    height: int
    path: str
    occluder: str
    drawings: tuple[Drawing, ...]
    maps: Mapping[str, str]  # BCNet's, as data URIs by name
    shown: bool  # among the first `SHOWN` of the two methods that are chosen first


@dataclass(frozen=True)
class Contrasts:
    """The methods compared, the two chosen first, and the objects, those on which these two differ most first."""

    methods: tuple[Method, ...]
    chosen: tuple[int, int]
    objects: tuple[Contrast, ...]


def section(
    params: Params, methods: Sequence[Method], data: Path, reports: Path, missing: list[str]
) -> Contrasts | None:
    """The objects of val on which the first runs of any two methods differ most; None for fewer than two methods.

    A method takes part when its masks of val were evaluated and its predictions are there.

    Args:
        params: the run.
        methods: of the run.
        data, reports: the folders of its dataset.
        missing: gets a line for each table or picture that is missing.

    Raises:
        InputError: tables of objects do not fit together or to val.
    """
    files = DatasetFiles(data)
    split = files.split("val")
    found = {}
    for method in methods:
        file = _table(reports, method)
        metrics = _metrics(reports, method)  # where they are missing, the page says so elsewhere
        command = evaluate_command(metrics, method, params.dataset)
        if _predicted(data, method).exists() and metrics.exists() and is_there(file, command, missing):
            table = read_table_of(file, COLUMNS, command).to_pandas()
            if not table["failure"].isna().any():  # else the predictions are boxes
                found[method] = table
    if len(found) < 2 or not split.exists():
        return None
    able, tables = list(found), list(found.values())
    for method, table in zip(able, tables, strict=True):
        if not table["annotation_id"].equals(tables[0]["annotation_id"]):
            first = _table(reports, able[0])
            raise InputError(f"{_table(reports, method)}: other objects than those of {first}: `bcnet evaluate` both")
    chosen = _chosen(params, able)
    ious = np.stack([table["iou"].to_numpy() for table in tables])
    rows = sorted(most_different(ious, OBJECTS), key=lambda row: -abs(ious[chosen[0], row] - ious[chosen[1], row]))
    truth = annotation_file.read(split)
    annotations = {each["id"]: each for each in truth["annotations"]}
    if strange := set(tables[0]["annotation_id"]) - set(annotations):
        raise InputError(
            f"{_table(reports, able[0])}: annotation_id {min(strange)}: not in {split}: `bcnet evaluate` it"
        )
    images = {image["id"]: image for image in truth["images"]}
    names = {category["id"]: category["name"] for category in truth["categories"]}
    mine = [annotations[tables[0]["annotation_id"][row]] for row in rows]
    paths = [_paths(_predicted(data, method), mine, images) for method in progress(able, "contrasts", len(able))]
    maps = _maps(params, data, [(images[each["image_id"]], each) for each in mine[:SHOWN]])
    objects = []
    for place, (row, annotation) in enumerate(zip(rows, mine, strict=True)):
        image = images[annotation["image_id"]]
        size = image["height"], image["width"]
        file = files.images("val") / image["file_name"]
        if not is_there(file, files.fetch_command, missing):
            continue
        part = window(annotation["bbox"], *size)
        left, top, right, bottom = part
        cover = float(tables[0]["box_cover"][row])
        drawings = tuple(
            Drawing(index, *_numbers(table, row), paths[index][place]) for index, table in enumerate(tables)
        )
        objects.append(
            Contrast(
                annotation,
                names[annotation["category_id"]],
                image["file_name"],
                cover,
                _bin(cover, params.evaluate.cover_bins),
                data_uri(read_image(file, size)[top:bottom, left:right], SIDE),
                right - left,
                bottom - top,
                drawn(annotation["segmentation"], *size, part),
                drawn(annotation["occluder"], *size, part) if annotation.get("occluder") else "",
                drawings,
                maps.get(place, {}),
                place < SHOWN and bool(ious[chosen[0], row] != ious[chosen[1], row]),
            )
        )
    return Contrasts(tuple(able), chosen, tuple(objects))


def _chosen(params: Params, able: Sequence[Method]) -> tuple[int, int]:
    """The first baseline and the first BCNet that is none, where there are such; else the first and the second."""
    names = [method.name for method in able]
    one = next((names.index(name) for name in params.tables.compare_to or () if name in names), 0)
    others = (names.index(name) for name in bcnets(params) if name in names and names.index(name) != one)
    return one, next(others, 0 if one else 1)


def _maps(
    params: Params, data: Path, objects: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> dict[int, dict[str, str]]:
    """The first BCNet's maps of these objects, by their place; none without its model."""
    for name in bcnets(params)[:1]:
        files = DatasetFiles(data)
        weights, pictures = files.run(name, str(params.seeds[0])).model, files.images("val")
        there = [place for place, (image, _) in enumerate(objects) if (pictures / image["file_name"]).exists()]
        if weights.exists():
            rows = rois.of_objects(weights, pictures, [objects[place] for place in there])
            return dict(zip(there, rows, strict=True))
    return {}


def _predicted(data: Path, method: Method) -> Path:
    return DatasetFiles(data).run(method.name, method.runs[0]).predictions()


def _metrics(reports: Path, method: Method) -> Path:
    return ReportFiles(reports).metrics(method.name, method.runs[0], "val")


def _table(reports: Path, method: Method) -> Path:
    return layout.object_table(_metrics(reports, method))


def _numbers(table: pd.DataFrame, row: int) -> tuple[float, float | None, str]:
    """A method's best IoU with an object, that mask's score, and how the object fares."""
    score = table["score"][row]
    return float(table["iou"][row]), None if pd.isna(score) else float(score), NAMES[table["failure"][row]]


def _bin(cover: float, edges: Sequence[float]) -> str:
    place = int(np.digitize(cover, edges[1:-1]))
    return f"{edges[place]:g} to {edges[place + 1]:g}"


def _paths(
    predictions: Path, objects: Sequence[Mapping[str, Any]], images: Mapping[int, Mapping[str, Any]]
) -> list[str]:
    """For each object the mask of its category that overlaps it most, as a path in its window; empty for none."""
    wanted = {(each["image_id"], each["category_id"]) for each in objects}
    found: dict[tuple[int, int], list[Any]] = {key: [] for key in wanted}
    for prediction in read_predictions(predictions, {image_id for image_id, _ in wanted}):
        if (key := (prediction["image_id"], prediction["category_id"])) in wanted:
            found[key].append(prediction["segmentation"])
    paths = []
    for each in objects:
        image = images[each["image_id"]]
        size = image["height"], image["width"]
        masks = [to_rle(mask, *size) for mask in found[each["image_id"], each["category_id"]]]
        ious = np.ravel(coco_mask.iou(masks, [to_rle(each["segmentation"], *size)], [0])) if masks else np.zeros(1)
        best = int(np.argmax(ious))
        paths.append(drawn(masks[best], *size, window(each["bbox"], *size)) if ious[best] > 0 else "")
    return paths
