"""Which objects were found, and how recall falls with occlusion."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hotcoco import COCO, mask

from bcnet.data.convert import COLUMNS, MEASURES
from bcnet.data.results import SHAPE, IouType
from bcnet.evaluation.coco_ap import IOU_THRESHOLDS, Matching

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


def object_table(truth: COCO, annotations: list[dict[str, Any]], matching: Matching, iou_type: IouType) -> pa.Table:
    """One row an annotation that is no crowd, in their order: how occluded it is and how well it was found.

    `matched_50` … `matched_95`: whether COCO's matching gives it a prediction (best-scored first, one prediction an
    object, 100 predictions an image and category, any area). `iou` and `score`: of the one among these predictions that
    overlaps it most, matched to it or not; 0 and null if none overlaps it. The occlusion columns are null for
    annotations that were not converted.

    Args:
        truth: the ground truth that `annotations` are in.
        annotations: with `occlusion` where there is one.
        matching: of predictions with these annotations.
        iou_type: what the overlap is of.
    """
    found = _found(truth, matching, iou_type)
    rows = []
    for annotation in annotations:
        if annotation.get("iscrowd"):
            continue
        iou, score, matched = found[annotation["id"]]
        occlusion = annotation.get("occlusion") or {}
        rows.append(
            {
                "annotation_id": annotation["id"],
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "area": annotation["area"],
                **{name: occlusion.get(name) for name in OCCLUSION},
                "iou": iou,
                "score": score,
                **dict(zip(MATCHED, matched, strict=True)),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _found(truth: COCO, matching: Matching, iou_type: IouType) -> dict[int, tuple[float, float | None, list[bool]]]:
    """Annotation id -> highest IoU, score of the prediction that has it, and whether matched at each threshold."""
    shape = SHAPE[iou_type]
    found: dict[int, tuple[float, float | None, list[bool]]] = {}
    for pairs in matching.of_area("all"):
        objects, detections = pairs["gtIds"], pairs["dtIds"]
        best: list[tuple[float, float | None]] = [(0.0, None)] * len(objects)
        if detections:
            theirs = [
                truth.ann_to_rle(each) if iou_type == "segm" else each["bbox"] for each in truth.load_anns(objects)
            ]
            ours = [matching.predictions[detection - 1][shape] for detection in detections]
            ious = mask.iou(ours, theirs, [0] * len(objects))
            which = ious.argmax(axis=0)  # the first, that is the best-scored, of equals
            best = [
                (float(ious[row, column]), pairs["dtScores"][row]) if ious[row, column] > 0 else (0.0, None)
                for column, row in enumerate(which)
            ]
        matched = np.array(pairs["gtMatched"]).T.tolist()
        for annotation_id, (iou, score), flags in zip(objects, best, matched, strict=True):
            found[annotation_id] = (iou, score, flags)
    return found


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
