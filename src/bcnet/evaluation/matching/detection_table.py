"""The table of detections: all that COCO's AP of any choice of images is computed from."""

import numpy as np
import pyarrow as pa

from bcnet.data.coco.prediction_format import IouType
from bcnet.evaluation.matching.arrays import Detections
from bcnet.evaluation.matching.coco_matching import AREAS
from bcnet.evaluation.matching.outcomes import KINDS, Outcomes


def flag(kind: str, name: str, area: str) -> str:
    """The column of a flag, `matched` or `ignored`, for what detections and objects are matched by and an area."""
    return f"{kind}_{name}_{area}"


def schema(iou_type: IouType) -> pa.Schema:
    """Of the table of detections that are masks or boxes."""
    flags = [flag(kind, name, area) for kind in KINDS[iou_type] for area in AREAS for name in ("matched", "ignored")]
    columns = {"image_id": pa.int64(), "category_id": pa.list_(pa.int64()), "score": pa.list_(pa.float64())}
    return pa.schema(columns | dict.fromkeys(flags, pa.list_(pa.uint16())))


def detection_table(images: np.ndarray, detections: Detections, outcomes: Outcomes, iou_type: IouType) -> pa.Table:
    """One row an image, rising by id, with all that COCO's AP has to know of its detections, as lists.

    The lists go by category and falling score, equal scores in the predictions' order, and have at most 100 detections
    of a category. `K_matched_A` and `K_ignored_A`: COCO's matching for objects of area A (all, small, medium, large) by
    K, one of `outcomes.KINDS`, bit k (of value 2^k) for the IoU threshold .50 + .05 k; ignored are those that match a
    crowd or an object of another area, and those that match nothing and have another area themselves. A detection that
    is neither is wrong.

    Args:
        images: (I,) their ids.
        iou_type: whether the detections are masks or boxes.
    """
    columns = {"category_id": detections.category, "score": detections.score}
    for k, kind in enumerate(KINDS[iou_type]):
        for a, area in enumerate(AREAS):
            columns[flag(kind, "matched", area)] = np.ascontiguousarray(outcomes.matched[k, :, a])
            columns[flag(kind, "ignored", area)] = np.ascontiguousarray(outcomes.ignored[k, :, a])
    starts = pa.array(np.concatenate([[0], detections.ends]), pa.int32())
    lists = {name: pa.ListArray.from_arrays(starts, values) for name, values in columns.items()}
    return pa.table({"image_id": images, **lists}, schema=schema(iou_type))
