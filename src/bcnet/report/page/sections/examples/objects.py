"""The page's browser of objects: all of val that any method missed or confused, with pictures of as many as fit."""

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pandas as pd
from pycocotools import mask as coco_mask

from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import to_rle
from bcnet.drawing.outlines import rings
from bcnet.evaluation.matching.coco_matching import AREAS
from bcnet.evaluation.metrics.failures import FOUND, NAMES
from bcnet.progress import in_threads, progress
from bcnet.report.figures.contrasts import seen, window
from bcnet.report.figures.predictions import predictions_of
from bcnet.report.figures.sprite import MANY, SIDE, SMALL_SIDE, jpeg_uri, packed, shrunk, thumbnail
from bcnet.report.page.context import Context
from bcnet.report.page.object_tables import bin_labels, bin_places, chosen_two, object_tables
from bcnet.report.tables.measured import is_there
from bcnet.report.tables.rows import Method

TILE = 64  # side of a thumbnail on the page, pixels of CSS
TILES = 40_000  # at most
LONGEST = 320  # side of a picture, pixels
SPRITE_BYTES, PICTURE_BYTES, MASK_BYTES = 4_500_000, 1_800_000, 1_300_000  # that the page has for them at most
SIZES = [name for name in AREAS if name != "all"]
Entry = Mapping[str, Any]  # an annotation or an image of a COCO file


@dataclass(frozen=True)
class MissedObjects:
    """What the page's script reads, how many objects that is, of how many, and how many have a picture with masks."""

    content: dict[str, Any]
    count: int
    objects: int
    drawn: int

    @property
    def packed(self) -> str:
        """The content as JSON, compressed (zlib) and in base64: of many methods it would be most of the page."""
        return base64.b64encode(zlib.compress(orjson.dumps(self.content, option=orjson.OPT_NON_STR_KEYS))).decode()


def missed_objects(context: Context) -> MissedObjects | None:
    """The objects of val that the first run of any method missed or confused: those on which methods part go first.

    `content` has columns of the objects, and by method how each fared and its best IoU in percent. `tile` is the place
    in the sprite of thumbnails, -1: none. Pictures and masks, in the pictures' pixels, are those of the first objects,
    as many as `PICTURE_BYTES` and `MASK_BYTES` allow.

    Returns:
        None where no method's masks of val were evaluated.

    Raises:
        InputError: tables, predictions or pictures do not fit together, or are none.
    """
    tables = context.once(object_tables)
    if not tables:
        return None
    first = next(iter(tables.values()))
    fates = np.stack([table["failure"].to_numpy() for table in tables.values()])
    ious = np.stack([table["iou"].to_numpy() for table in tables.values()])
    failed = np.flatnonzero((fates != FOUND).any(axis=0))
    order = failed[np.argsort(-np.ptp(ious, axis=0)[failed], kind="stable")]
    rows = first.iloc[order].reset_index(drop=True)
    categories = {category["id"]: category["name"] for category in context.val["categories"]}
    images = {image["id"]: image for image in context.val["images"]}
    names = sorted(set(first["category_id"]))
    files = list(dict.fromkeys(rows["image_id"]))
    there = _there(rows, images, context)
    pictures = _pictures(there, images, context)
    sprite = packed(_thumbnails(rows, there, images, context), SPRITE_BYTES)
    tiles = {place: tile for tile, place in enumerate(chain.from_iterable(there.values()))}
    masks = _masks(rows, order, tables, pictures, images, context)
    content = {
        "methods": _methods(tables, context),
        "chosen": chosen_two(context, list(tables)) if len(tables) > 1 else (0, -1),
        "fates": [name.replace("_", " ") for name in NAMES],
        "categories": [categories[name] for name in names],
        "takenFor": [[str(name), categories[name]] for name in categories] + [["-1", "nothing"]],
        "sizes": SIZES,
        "bins": bin_labels(context.params.evaluate.cover_bins),
        "files": [images[image]["file_name"] for image in files],
        "objects": {
            **_columns(rows, names, files, context.params.evaluate.cover_bins),
            **_fared(tables.values(), order),
        },
        "tile": TILE,
        "columns": sprite.columns,
        "tiles": [tile if (tile := tiles.get(place, -1)) < sprite.kept else -1 for place in range(len(rows))],
        "sprite": sprite.uri,
        "pictures": {
            files.index(image): {"uri": picture.uri, "width": picture.width, "height": picture.height}
            for image, picture in pictures.items()
        },
        "masks": masks,
    }
    return MissedObjects(content, len(rows), len(first), len(masks))


def _methods(methods: Iterable[Method], context: Context) -> list[dict[str, Any]]:
    """How the page's script shows each method."""
    keys = {method: key for key, method in enumerate(context.looks)}
    looks = [(method, context.looks[method]) for method in methods]
    return [
        {"key": keys[method], "label": method.label, "symbol": look.symbol, "colour": look.colour}
        for method, look in looks
    ]


def _columns(
    rows: pd.DataFrame, names: Sequence[int], files: Sequence[int], edges: Sequence[float]
) -> dict[str, list[int]]:
    """What the objects are, whatever methods make of them.

    Args:
        names, files: ids of categories and images, in whose place they are named.
        edges: of the bins of cover.
    """
    area = rows["area"].to_numpy()
    return {
        "category": [names.index(name) for name in rows["category_id"]],
        "size": [max(k for k, name in enumerate(SIZES) if value >= AREAS[name][0]) for value in area.tolist()],
        "bin": bin_places(rows["box_cover"].to_numpy(float), edges).tolist(),
        "cover": _percent(rows["box_cover"].fillna(-0.01).to_numpy(float)),
        "file": [files.index(image) for image in rows["image_id"]],
    }


def _fared(tables: Iterable[pd.DataFrame], order: np.ndarray) -> dict[str, list[Any]]:
    """How the objects fared with each method, the objects in that order."""
    chosen = [table.iloc[order] for table in tables]
    return {
        "fate": ["".join(map(str, table["failure"].to_numpy())) for table in chosen],
        "taken": [table["taken_for"].fillna(-1).astype(int).tolist() for table in chosen],
        "iou": [_percent(table["iou"].to_numpy()) for table in chosen],
    }


def _percent(values: np.ndarray) -> list[int]:
    return np.rint(100 * values).astype(int).tolist()


@dataclass(frozen=True)
class _Picture:
    """A picture as a data URI of `width` by `height` pixels, `scale` of the file's."""

    uri: str
    width: int
    height: int
    scale: float


def _there(rows: pd.DataFrame, images: Mapping[int, Entry], context: Context) -> dict[int, list[int]]:
    """The places of the first `TILES` objects, by image: of the images that are there."""
    by_image: dict[int, list[int]] = {}
    for place, image in enumerate(rows["image_id"][:TILES]):
        by_image.setdefault(image, []).append(place)
    files = {image: context.pictures / images[image]["file_name"] for image in by_image}
    command, missing = context.files.fetch_command, context.missing
    return {image: places for image, places in by_image.items() if is_there(files[image], command, missing)}


def _pixels(image: Entry, context: Context) -> np.ndarray:
    return read_image(context.pictures / image["file_name"], (image["height"], image["width"]))


def _pictures(there: Iterable[int], images: Mapping[int, Entry], context: Context) -> dict[int, _Picture]:
    """By image the first of them that are there, as far as `PICTURE_BYTES` go."""
    pictures, room = {}, PICTURE_BYTES
    for image_id in there:
        if room <= 0:
            break
        image = images[image_id]
        small = shrunk(_pixels(image, context), LONGEST)
        pictures[image_id] = _Picture(jpeg_uri(small), small.shape[1], small.shape[0], small.shape[1] / image["width"])
        room -= len(pictures[image_id].uri)
    return pictures


def _thumbnails(
    rows: pd.DataFrame, there: Mapping[int, list[int]], images: Mapping[int, Entry], context: Context
) -> list[np.ndarray]:
    """Those of the objects of images that are there, image by image, each file read once."""
    annotations = {annotation["id"]: annotation for annotation in context.val["annotations"]}
    side = SIDE if len(rows) <= MANY else SMALL_SIDE
    own = rows["annotation_id"].tolist()

    def of_image(image_id: int) -> list[np.ndarray]:
        image = images[image_id]
        pixels, size = _pixels(image, context), (image["height"], image["width"])
        squares = []
        for place in there[image_id]:
            annotation = annotations[own[place]]
            part = window(annotation["bbox"], *size)
            left, top, right, bottom = part
            mask = seen(annotation["segmentation"], *size, part)
            squares.append(thumbnail(pixels[top:bottom, left:right], mask, side))
        return squares

    return [square for squares in in_threads(of_image, list(there), "objects") for square in squares]


def _masks(
    rows: pd.DataFrame,
    order: np.ndarray,
    tables: Mapping[Method, pd.DataFrame],
    pictures: Mapping[int, _Picture],
    images: Mapping[int, Entry],
    context: Context,
) -> dict[int, list[str]]:
    """By an object's place: its mask, its occluder's, and the best mask of each method, as paths; empty for none."""
    annotations = {annotation["id"]: annotation for annotation in context.val["annotations"]}
    drawn = [place for place, image in enumerate(rows["image_id"]) if image in pictures]
    sources = [
        (predictions_of(context.predictions(method), pictures), table["best_detection"].to_numpy()[order])
        for method, table in progress(tables.items(), "masks of objects", len(tables))
    ]
    masks: dict[int, list[str]] = {}
    room = MASK_BYTES
    for place in progress(drawn, "outlines"):
        image_id = int(rows["image_id"][place])
        size, scale = (images[image_id]["height"], images[image_id]["width"]), pictures[image_id].scale
        annotation = annotations[rows["annotation_id"][place]]
        own = [annotation["segmentation"], annotation.get("occluder")]
        own += [
            None if pd.isna(best[place]) else predictions.at(image_id, int(best[place])).get("segmentation")
            for predictions, best in sources
        ]
        paths = [coarse_path(mask, size, scale) if mask else "" for mask in own]
        room -= sum(map(len, paths))
        if room < 0:
            break
        masks[place] = paths
    return masks


def coarse_path(segmentation: Any, size: tuple[int, int], scale: float) -> str:
    """A mask as the `d` of an SVG path of whole pixels of a picture that is `scale` of its size; empty for no pixel.

    Args:
        segmentation: polygons or RLE.
        size: height and width of its image.
    """
    left, top, width, height = map(int, coco_mask.toBbox(to_rle(segmentation, *size)))
    if not width:
        return ""
    part = seen(segmentation, *size, (left, top, left + width, top + height))
    return "".join(_ring(ring, (left, top), scale) for ring in rings(part))


def _ring(ring: np.ndarray, corner: Sequence[int], scale: float) -> str:
    """A ring in whole pixels, from its first point by steps, without those of no length."""
    points = np.rint((ring[:-1] + 0.5 + corner) * scale).astype(int)
    steps = np.diff(points, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    return f"M{points[0][0]} {points[0][1]}l{_numbers(steps.ravel())}z" if len(steps) > 1 else ""


def _numbers(values: Iterable[int]) -> str:
    """Numbers with as little between them as SVG asks for."""
    return " ".join(map(str, values)).replace(" -", "-")
