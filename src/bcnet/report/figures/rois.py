"""The RoIs that the report shows: the most covered objects that BCNet finds, its maps beside the ground truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import decode, to_rle
from bcnet.data.occlusion.layers import LAYERS, Masks
from bcnet.drawing.figures import COLOURS, data_uri
from bcnet.drawing.roi_maps import SIDE, DrawnDetection, crop, detected, heat_map, png_uri, squares
from bcnet.evaluation.matching.coco_matching import match_at_half
from bcnet.files import InputError
from bcnet.inference.detect import Detections, detect
from bcnet.progress import progress
from bcnet.report.figures.predictions import Annotations
from bcnet.weights.model_file import ModelFile, load_model

OBJECTS = 6
MIN_SCORE = 0.5  # of a detection whose maps are drawn
RULE = f"the {OBJECTS} objects with the largest box_cover among those that the model finds in the images above"


@dataclass(frozen=True)
class Roi:
    """An object that the model found, in its picture (H, W, 3) uint8."""

    image: dict[str, Any]  # of a COCO file, as the annotation is
    annotation: dict[str, Any]
    picture: np.ndarray
    found: DrawnDetection

    @property
    def cover(self) -> float:
        """Its `box_cover`."""
        return self.annotation["occlusion"]["box_cover"]


def most_covered(
    weights: Path, folder: Path, shown: Sequence[tuple[dict[str, Any], Annotations]]
) -> list[tuple[Roi, dict[str, str]]]:
    """The RoIs of `RULE`, the most covered first (ties: lower id first), each with its squares as data URIs by name.

    The model runs on the CPU, so that the report of one run is the same with and without a GPU.

    Args:
        weights: the model file of a BCNet.
        folder: of the pictures.
        shown: the images, each with its annotations of a split.

    Raises:
        InputError: the model or a picture is missing or corrupt, or an annotation is not converted.
    """
    model = load_model(weights)
    rois = [roi for image, annotations in progress(shown, "maps") for roi in _found(model, folder, image, annotations)]
    rois.sort(key=lambda roi: (-roi.cover, roi.annotation["id"]))
    return [(roi, _row(roi, model.variant.masks)) for roi in rois[:OBJECTS]]


def of_objects(
    weights: Path, folder: Path, objects: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> list[dict[str, str]]:
    """Of each object the maps in the RoI of the model's best mask of it, as data URIs by name; none without a mask.

    The best mask is the one of its category that overlaps most with the mask that the model learns, whatever its score.

    Args:
        weights, folder: as of `most_covered`.
        objects: images, each with one of its annotations.

    Raises:
        InputError: as `most_covered`.
    """
    model = load_model(weights)
    _, mask, _ = LAYERS[model.variant.masks]
    seen: dict[int, tuple[np.ndarray, Detections]] = {}
    rows: list[dict[str, str]] = []
    for image, annotation in progress(objects, "maps of objects"):
        size = image["height"], image["width"]
        if image["id"] not in seen:
            picture = read_image(folder / image["file_name"], size)
            seen[image["id"]] = picture, detect(model, picture)
        picture, detections = seen[image["id"]]
        same = [
            index
            for index, place in enumerate(detections.classes)
            if model.categories[place]["id"] == annotation["category_id"]
        ]
        truth = [to_rle(annotation[mask], *size)]
        ious = np.ravel(coco_mask.iou([detections.masks.rles[index] for index in same], truth, [0]))
        if not len(ious) or not ious.max():
            rows.append({})
            continue
        found = detected(model, detections, same[int(np.argmax(ious))], COLOURS[1])
        row = _row(Roi(image, annotation, picture, found), model.variant.masks)
        rows.append({name: square for name, square in row.items() if name not in ("RoI", "final mask")})
    return rows


def _found(model: ModelFile, folder: Path, image: dict[str, Any], annotations: Annotations) -> Iterator[Roi]:
    """The objects of a picture that the model finds: same category, IoU of 0.5 or more with the mask it learns.

    The model has been run anew, and may learn other masks than those that its predictions were evaluated with: so these
    detections are matched here, and not taken from the table of objects.
    """
    size = image["height"], image["width"]
    path = folder / image["file_name"]
    picture = read_image(path, size)
    _, mask, occluder = LAYERS[model.variant.masks]
    objects = [entry for entry in annotations if not entry["iscrowd"]]
    for entry in objects:
        if missing := sorted({mask, occluder} - set(entry)):
            raise InputError(f"{path}: its annotation {entry['id']} has no {missing[0]!r}: run `bcnet convert` first")
    detections = detect(model, picture)
    drawn = [index for index, score in enumerate(detections.scores) if score >= MIN_SCORE]
    categories = np.array([model.categories[detections.classes[index]]["id"] for index in drawn], np.int64)
    scores = np.array([detections.scores[index] for index in drawn], np.float64)
    rles = [detections.masks.rles[index] for index in drawn], [to_rle(entry[mask], *size) for entry in objects]
    ious = np.reshape(coco_mask.iou(*rles, [0] * len(objects)), (len(drawn), len(objects)))
    object_categories = np.array([entry["category_id"] for entry in objects], np.int64)
    for index, place in zip(drawn, match_at_half(ious, categories, scores, object_categories), strict=True):
        if place >= 0:
            yield Roi(image, objects[place], picture, detected(model, detections, index, COLOURS[1]))


def _row(roi: Roi, masks: Masks) -> dict[str, str]:
    """A RoI's squares, with the ground truth of a layer behind the mask that it predicts."""
    _, mask, occluder = LAYERS[masks]
    truth = {"occluder mask": roi.annotation[occluder], "target mask": roi.annotation[mask]}
    row = {}
    for name, square in squares(roi.picture, roi.found).items():
        row[name] = data_uri(square, SIDE) if name in ("RoI", "final mask") else png_uri(square)
        if name in truth:
            height, width = roi.picture.shape[:2]
            whole = decode(truth[name], height, width) if truth[name] else np.zeros((height, width), bool)
            row[f"true {name.removesuffix(' mask')}"] = png_uri(
                heat_map(crop(whole.astype(np.uint8) * 255, roi.found.box) >= 128)
            )
    return row
