"""Which detections count as right: what COCO's AP of any choice of images is computed from."""

from typing import Any

import numpy as np
import pyarrow as pa
from hotcoco import mask

from bcnet.data.results import DETECTIONS, SHAPE, IouType, Predictions
from bcnet.evaluation.coco_ap import AREAS, IOU_THRESHOLDS, Matching

ALL_THRESHOLDS = (1 << len(IOU_THRESHOLDS)) - 1
BITS = 1 << np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)
FLAGS = tuple(f"{flag}_{area}" for area in AREAS for flag in ("matched", "ignored"))
SCHEMA = pa.schema(
    {
        "image_id": pa.int64(),
        "category_id": pa.list_(pa.int64()),
        "score": pa.list_(pa.float64()),
        **dict.fromkeys(FLAGS, pa.list_(pa.uint16())),
    }
)


def detection_table(
    images: list[dict[str, Any]], predictions: Predictions, matching: Matching, iou_type: IouType
) -> pa.Table:
    """One row an image, rising by id, with all that COCO's AP has to know of its detections, as lists.

    The lists go by category and falling score, equal scores in the predictions' order, and have at most 100 detections
    of a category. `matched_A` and `ignored_A`: COCO's matching for objects of area A (all, small, medium, large), bit k
    (of value 2^k) for the IoU threshold .50 + .05 k; ignored are those that match a crowd or an object of another area,
    and those that match nothing and have another area themselves. A detection that is neither is wrong.

    Args:
        images: of the annotation file.
        predictions: all of them, with the shape that `iou_type` compares.
        matching: theirs with the objects.
        iou_type: what the overlap is of.
    """
    image, category, score = (
        np.array([prediction[key] for prediction in predictions], dtype)
        for key, dtype in (("image_id", np.int64), ("category_id", np.int64), ("score", np.float64))
    )
    order = np.lexsort((-score, category, image))  # stable
    order = order[rank(image[order], category[order]) < DETECTIONS]
    place = np.full(len(predictions), -1)
    place[order] = np.arange(len(order))

    flags = {name: np.zeros(len(order), np.uint16) for name in FLAGS}
    areas = _areas(predictions, iou_type)[order]
    for name, (low, high) in AREAS.items():
        flags[f"ignored_{name}"][(areas < low) | (areas > high)] = ALL_THRESHOLDS
    for name in AREAS:
        for pairs in matching.of_area(name):
            if not pairs["dtIds"]:
                continue
            rows = place[[matching.places[detection - 1] for detection in pairs["dtIds"]]]
            matched, ignored = np.array(pairs["dtMatched"]), np.array(pairs["dtIgnore"])  # (thresholds, rows) bool
            flags[f"matched_{name}"][rows] = BITS @ (matched & ~ignored)
            flags[f"ignored_{name}"][rows] = BITS @ ignored

    ids = np.sort([each["id"] for each in images])
    starts = pa.array(np.searchsorted(image[order], [*ids, np.inf]), pa.int32())
    columns = {"category_id": category[order], "score": score[order], **flags}
    lists = {name: pa.ListArray.from_arrays(starts, values) for name, values in columns.items()}
    return pa.table({"image_id": ids, **lists}, schema=SCHEMA)


def rank(image: np.ndarray, category: np.ndarray) -> np.ndarray:
    """How many come before each in its run of equal (image, category)."""
    index = np.arange(len(image))
    first = np.ones(len(image), bool)
    first[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    return index - np.maximum.accumulate(np.where(first, index, 0))


def _areas(predictions: Predictions, iou_type: IouType) -> np.ndarray:
    """Of the predicted masks, or boxes, pixels."""
    shapes = [prediction[SHAPE[iou_type]] for prediction in predictions]
    if iou_type == "segm":
        return np.array(mask.area(shapes), float)
    return np.prod(np.reshape(shapes, (-1, 4))[:, 2:], axis=1, dtype=float)
