"""The page's section about single objects: those on which methods differ most, with what each method makes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcnet.data.coco.images import read_image
from bcnet.drawing.figures import data_uri
from bcnet.evaluation.metrics.failures import FOUND, NAMES
from bcnet.progress import progress
from bcnet.report.figures import rois
from bcnet.report.figures.contrasts import OBJECTS, RULE, drawn, most_different, window
from bcnet.report.figures.predictions import predictions_of
from bcnet.report.page.context import Context
from bcnet.report.page.object_tables import chosen_two, object_tables
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method, bcnets

SIDE = 240  # of a shown part of a picture, pixels


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
    uri: str
    width: int
    height: int
    path: str
    occluder: str
    drawings: tuple[Drawing, ...]
    maps: Mapping[str, str]  # BCNet's, as data URIs by name


@dataclass(frozen=True)
class Contrasts:
    """The methods, the two that are compared, and the objects in the order of `RULE`."""

    methods: tuple[Method, ...]
    chosen: tuple[int, int]
    objects: tuple[Contrast, ...]
    rule: str = RULE


def contrasts(context: Context) -> Contrasts | None:
    """The objects of val on which the first runs of two methods differ most; None for fewer than two methods.

    Raises:
        InputError: tables of objects do not fit together or to val.
    """
    tables = context.once(object_tables)
    if len(tables) < 2:
        return None
    methods = tuple(tables)
    chosen = chosen_two(context, methods)
    two = [tables[methods[place]] for place in chosen]
    ious = np.stack([table["iou"].to_numpy() for table in two])
    found = np.stack([table["failure"].to_numpy() == FOUND for table in two])
    return Contrasts(methods, chosen, tuple(_objects(tables, most_different(ious, found, OBJECTS), context)))


def _objects(tables: Mapping[Method, pd.DataFrame], rows: Sequence[int], context: Context) -> Iterator[Contrast]:
    """The objects of these rows of the tables whose pictures are there, with BCNet's maps."""
    annotations = {annotation["id"]: annotation for annotation in context.val["annotations"]}
    images = {image["id"]: image for image in context.val["images"]}
    names = {category["id"]: category["name"] for category in context.val["categories"]}
    first = next(iter(tables.values()))
    chosen = [annotations[first["annotation_id"][row]] for row in rows]
    paths = [
        _paths(context.predictions(method), table, dict(zip(rows, chosen, strict=True)), images)
        for method, table in progress(tables.items(), "contrasts", len(tables))
    ]
    maps = _maps(context, [(images[annotation["image_id"]], annotation) for annotation in chosen])
    for place, (row, annotation) in enumerate(zip(rows, chosen, strict=True)):
        image = images[annotation["image_id"]]
        size = image["height"], image["width"]
        file = context.pictures / image["file_name"]
        if not is_there(file, context.files.fetch_command, context.missing):
            continue
        part = window(annotation["bbox"], *size)
        left, top, right, bottom = part
        cover = float(first["box_cover"][row])
        yield Contrast(
            annotation,
            names[annotation["category_id"]],
            image["file_name"],
            cover,
            data_uri(read_image(file, size)[top:bottom, left:right], SIDE),
            right - left,
            bottom - top,
            drawn(annotation["segmentation"], *size, part),
            drawn(annotation["occluder"], *size, part) if annotation.get("occluder") else "",
            tuple(
                Drawing(index, *_numbers(table, row), paths[index][place])
                for index, table in enumerate(tables.values())
            ),
            maps.get(place, {}),
        )


def _maps(context: Context, objects: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[int, dict[str, str]]:
    """The first BCNet's maps of these objects, by their place; none without its model."""
    for name in bcnets(context.params)[:1]:
        weights = context.model(name, str(context.params.seeds[0]))
        places = [place for place, (image, _) in enumerate(objects) if (context.pictures / image["file_name"]).exists()]
        if weights.exists():
            maps = rois.of_objects(weights, context.pictures, [objects[place] for place in places])
            return dict(zip(places, maps, strict=True))
    return {}


def _numbers(table: pd.DataFrame, row: int) -> tuple[float, float | None, str]:
    """A method's best IoU with an object, that mask's score, and how the object fares."""
    score = table["score"][row]
    return float(table["iou"][row]), None if pd.isna(score) else float(score), NAMES[table["failure"][row]]


def _paths(
    predictions: Path, table: pd.DataFrame, objects: Mapping[int, Mapping[str, Any]], images: Mapping[int, Mapping]
) -> list[str]:
    """For each object the mask of its category that overlaps it most, as a path in its window; empty for none.

    Args:
        predictions: a method's.
        table: of objects, which says where among these the mask is.
        objects: annotations, by their row of `table`.
        images: by id.
    """
    read = predictions_of(predictions, {annotation["image_id"] for annotation in objects.values()})
    paths = []
    for row, annotation in objects.items():
        image, place = images[annotation["image_id"]], table["best_detection"][row]
        size = image["height"], image["width"]
        mask = None if pd.isna(place) else read.at(image["id"], int(place))["segmentation"]
        paths.append(drawn(mask, *size, window(annotation["bbox"], *size)) if mask is not None else "")
    return paths
