"""Which objects were found, and how recall falls with occlusion."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.data.convert import COLUMNS, MEASURES
from bcnet.evaluation.matching import IOU_THRESHOLDS
from bcnet.evaluation.outcomes import Objects, Outcomes

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
        **dict.fromkeys(MATCHED, pa.bool_()),
    }
)


def object_table(annotations: list[dict[str, Any]], objects: Objects, outcomes: Outcomes) -> pa.Table:
    """One row an annotation that is no crowd, in their order: how occluded it is and how well it was found.

    `matched_50` … `matched_95`: whether COCO's matching gives it a detection (best-scored first, one detection an
    object, 100 detections an image and category, any area). `iou` and `score`: of the one among these detections that
    overlaps it most, matched to it or not; 0 and null if none overlaps it. The occlusion columns are null for
    annotations that were not converted.

    Args:
        annotations: those of the file that `objects` are of, with `occlusion` where there is one.
    """
    rows = np.argsort(objects.place)  # of `objects`, by place in the file
    rows = rows[~objects.crowd[rows]]
    solid = [annotation for annotation in annotations if not annotation["iscrowd"]]
    occlusion = [annotation.get("occlusion") or {} for annotation in solid]
    score = outcomes.score[rows]
    columns: dict[str, Any] = {
        **{key: [each[key] for each in solid] for key in ("image_id", "category_id")},
        "annotation_id": [each["id"] for each in solid],
        "area": objects.area[rows],
        **{name: [each.get(name) for each in occlusion] for name in OCCLUSION},
        "iou": outcomes.iou[rows],
        "score": pa.array(score, pa.float64(), mask=np.isnan(score)),
        **dict(zip(MATCHED, (outcomes.detection[rows] >= 0).T, strict=True)),
    }
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def recall_by_cover(table: pa.Table, edges: Sequence[float]) -> list[dict[str, float | int | None]]:
    """Recall of the objects whose `box_cover` lies in each bin, over all categories together.

    Args:
        table: an object table with `box_cover`.
        edges: rising from 0 to 1; a bin holds its lower edge, the last one also its upper.

    Returns:
        One a bin: `from`, `to`, `objects`, and `AR` (mean over the ten IoU thresholds of the share of objects matched),
        `AR50`, `AR75`, 0 to 1, None in a bin without objects.
    """
    matched = np.column_stack([table[name].to_numpy() for name in MATCHED])
    bins = np.digitize(table["box_cover"].to_numpy(), edges[1:-1])
    rows: list[dict[str, float | int | None]] = []
    for index, (low, high) in enumerate(pairwise(edges)):
        inside = matched[bins == index]
        shares = inside.mean(axis=0).tolist() if len(inside) else None
        rows.append(
            {
                "from": low,
                "to": high,
                "objects": len(inside),
                "AR": float(inside.mean()) if shares else None,
                "AR50": shares[MATCHED.index("matched_50")] if shares else None,
                "AR75": shares[MATCHED.index("matched_75")] if shares else None,
            }
        )
    return rows
