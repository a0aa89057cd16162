"""COCO's numbers of a split: of masks, of boxes and of boundaries; in total and of each category."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.data.coco.prediction_format import Predictions
from bcnet.evaluation.matching.arrays import (
    Detections,
    Objects,
    detections_of,
    image_ids,
    images_of,
    objects_of,
    order_of,
)
from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS
from bcnet.evaluation.matching.detection_table import detection_table
from bcnet.evaluation.matching.outcomes import outcomes
from bcnet.evaluation.statistics.resampling import PRECISION, RECALL, Run, precisions_of, resampled, run_of

NAMES = (*PRECISION, *RECALL)  # in the order of COCO's summary


def coco_numbers(run: Run) -> dict[str, float | None]:
    """The twelve numbers of COCO's summary, 0 to 1; None where COCO gives -1: no object of that size.

    Source: cocoapi, cocoeval.py, `accumulate` and `summarize`.
    """
    numbers = resampled(run, _once(run), NAMES)
    return {name: defined(numbers[name][0]) for name in NAMES}


def numbers_of(
    predictions: Predictions,
    content: dict[str, Any],
    kinds: Collection[str] = ("segm",),
    objects: Objects | None = None,
    detections: Detections | None = None,
) -> dict[str, dict[str, float | None]]:
    """`coco_numbers` of predicted masks and of the boxes and boundaries of these, by kind, and nothing else.

    Args:
        predictions: masks.
        content: the annotation file (from `coco.read`) of whose images they are.
        kinds: of `outcomes.KINDS`.
        objects, detections: the annotations of `content` and the predictions, by rising ids of images (`objects_of`,
            `detections_of`), if they are known.
    """
    images = sorted(content["images"], key=lambda image: image["id"])
    ids, sizes = image_ids(content), [(image["height"], image["width"]) for image in images]
    objects, detections = objects or objects_of(content, ids), detections or detections_of(predictions, ids)
    with ThreadPoolExecutor(1) as beside:
        ordering = beside.submit(order_of, detections, objects)
        outcome = outcomes(detections, objects, sizes, "segm", kinds)
        order = ordering.result()
    rows = detection_table(ids, detections, outcome, "segm", kinds=kinds)
    solid = ~objects.crowd
    columns = {"image_id": ids[images_of(objects.ends)], "category_id": objects.category, "area": objects.area}
    table = pa.table({name: column[solid] for name, column in columns.items()})
    return {kind: coco_numbers(run_of(rows, table, kind, order)) for kind in kinds}


def category_numbers(run: Run) -> list[dict[str, float | None]]:
    """AP, AP50, AP75, APs, APm and APl of each category that has objects, by rising id; 0 to 1, None: none so large."""
    by_area = {area: precisions_of([run], _once(run), area)[0][0] for area in AREAS}
    return [
        {
            name: defined(by_area[area][place, np.isin(IOU_THRESHOLDS, thresholds)].mean())
            for name, (area, thresholds) in PRECISION.items()
        }
        for place in range(by_area["all"].shape[0])
    ]


def _once(run: Run) -> np.ndarray:
    """Each image once: the split as it is."""
    return np.ones((1, len(run.images)), np.uint16)


def defined(value: Any) -> float | None:
    """A number as metrics have it: None where it is NaN, undefined."""
    return None if np.isnan(value) else float(value)
