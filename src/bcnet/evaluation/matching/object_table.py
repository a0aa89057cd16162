"""The table of objects: how occluded each is and how it was found."""

from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.data.occlusion.convert import COLUMNS, MEASURES
from bcnet.evaluation.matching.arrays import Detections, Objects, in_file_order
from bcnet.evaluation.matching.coco_matching import IOU_THRESHOLDS
from bcnet.evaluation.matching.outcomes import Outcomes

MATCHED = tuple(f"matched_{round(100 * threshold)}" for threshold in IOU_THRESHOLDS)
OCCLUSION = {name: COLUMNS[name] for name in MEASURES}
SCHEMA = pa.schema(
    {
        "annotation_id": pa.int64(),
        "image_id": pa.int64(),
        "category_id": pa.int64(),
        "area": pa.float64(),
        **OCCLUSION,
        "iou": pa.float64(),
        "score": pa.float64(),
        "best_detection": pa.int64(),
        **dict.fromkeys(MATCHED, pa.bool_()),
        "detection": pa.int64(),
        "failure": pa.uint8(),
        "taken_for": pa.int64(),
        "leak": pa.float64(),
        "separated": pa.bool_(),
    }
)


def object_table(
    annotations: list[dict[str, Any]],
    separated: list[bool],
    detections: Detections,
    objects: Objects,
    outcomes: Outcomes,
) -> pa.Table:
    """One row an annotation that is no crowd, in their order: how occluded it is and how well it was found.

    `matched_50` … `matched_95`: whether COCO's matching gives it a detection (best-scored first, one detection an
    object, 100 detections an image and category, any area). `detection`: which one at IoU .5, as its place, from 0,
    among the predictions of the image in their file; null for none. `iou` and `score`: of the one among these
    detections that overlaps it most, matched to it or not, which is `best_detection`, a place as well; 0 and null if
    none overlaps it. `failure`: place in `failures.NAMES`; `taken_for`: the category that the object is taken for, as
    of `confusion.taken_for`, null for none; `leak`: as of `leak.leak`, null for one without occluder or not found
    at IoU .5, and for boxes. The occlusion columns are null for annotations that were not
    converted.

    Args:
        annotations: those of the file that `objects` are of, with `occlusion` where there is one.
        separated: of each of them.
        detections, objects, outcomes: of the split.
    """
    rows = in_file_order(objects)
    solid = [annotation for annotation in annotations if not annotation["iscrowd"]]
    occlusion = [annotation.get("occlusion") or {} for annotation in solid]
    score, leak = outcomes.score[rows], outcomes.leak[rows]
    columns: dict[str, Any] = {
        **{key: [annotation[key] for annotation in solid] for key in ("image_id", "category_id")},
        "annotation_id": [annotation["id"] for annotation in solid],
        "area": objects.area[rows],
        **{name: [measures.get(name) for measures in occlusion] for name in OCCLUSION},
        "iou": outcomes.iou[rows],
        "score": pa.array(score, pa.float64(), mask=np.isnan(score)),
        "best_detection": _places(outcomes.best[rows], detections),
        **dict(zip(MATCHED, (outcomes.detection[rows] >= 0).T, strict=True)),
        "detection": _places(outcomes.detection[rows, 0], detections),
        "failure": pa.array(outcomes.failure[rows], pa.uint8()),
        "taken_for": pa.array(outcomes.taken_for[rows], pa.int64(), mask=outcomes.taken_for[rows] < 0),
        "leak": pa.array(leak, pa.float64(), mask=np.isnan(leak)),
        "separated": [apart for apart, entry in zip(separated, annotations, strict=True) if not entry["iscrowd"]],
    }
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def _places(chosen: np.ndarray, detections: Detections) -> pa.Array:
    """Places in their image of detections that are chosen by index; -1: null."""
    places = detections.place_in_image[chosen] if len(detections.place) else np.zeros(len(chosen), np.int64)
    return pa.array(places, pa.int64(), mask=chosen < 0)
