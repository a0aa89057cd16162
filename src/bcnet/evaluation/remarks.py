"""Remarks: what makes the numbers of an evaluation null, odd, or other than their names say."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bcnet.data.coco.annotation_file import is_outside
from bcnet.data.coco.annotation_rules import is_far
from bcnet.data.coco.prediction_format import Predictions, remarks
from bcnet.evaluation.matching.arrays import Detections, Objects, images_of, starts
from bcnet.evaluation.matching.outcomes import Outcomes

FOUND = 0.5  # IoU from which a detection is of an object
MOST, FEW = 0.5, 0.05  # shares of all detections
OUTSIDE = 0.1  # of the image's side: a box that reaches farther beyond it was hardly meant
ODD_AREAS = 0.01  # share of the annotations


def all_remarks(
    content: dict[str, Any],
    predictions: Predictions,
    detections: Detections,
    objects: Objects,
    outcome: Outcomes,
    sizes: list[tuple[int, int]],
    file_boxes: bool = False,
) -> list[str]:
    """All that a reader of the numbers should know: of the predictions, of the ground truth, and of both together.

    Args:
        content: of the ground truth's file.
        sizes: height and width of each image, pixels.
        file_boxes: boxes beside masks are evaluated, if there are any.
    """
    lines = [*_of_truth(objects), *_of_file(content), *remarks(predictions, len(sizes), file_boxes)]
    if len(detections.place):
        shapes = _of_masks(outcome) if predictions.iou_type == "segm" else _of_boxes(sizes, detections)
        lines += [*shapes, *_of_categories(detections, objects, outcome)]
    return lines


def _of_truth(objects: Objects) -> Iterator[str]:
    count = len(objects.place)
    if not count:
        yield "the ground truth has no annotations: every number is null"
    elif objects.crowd.all():
        yield f"all {count} annotations are crowds (iscrowd 1), which no detection can match: every number is null"
    lengths = objects.runs[1::2] - objects.runs[::2]
    totals = np.concatenate([[0], np.cumsum(lengths)])
    pixels = totals[objects.run_ends // 2] - totals[starts(objects.run_ends) // 2]
    far = sum(is_far(area, size) for area, size in zip(objects.area.tolist(), pixels.tolist(), strict=True))
    if far > ODD_AREAS * count:
        yield f"{far} of {count} annotations have an area that isn't their mask's: APs, APm and APl go by that area"


def _of_file(content: dict[str, Any]) -> Iterator[str]:
    """What only the file tells: LVIS's partial annotation, tracks' marks, and an id that pycocotools takes for none."""
    if any("neg_category_ids" in image for image in content["images"]):
        yield "LVIS annotates each image for some categories only: detections of others count as wrong here"
    if outside := sum(map(is_outside, content["annotations"])):
        yield f"{outside} annotations are marked as outside: no object is there, yet it counts as missed"
    if any(annotation["id"] == 0 for annotation in content["annotations"]):
        yield "an annotation has id 0: pycocotools counts what finds it as wrong, so its AP is lower than here"


def _of_masks(outcome: Outcomes) -> Iterator[str]:
    count = len(outcome.area)
    empty = int((outcome.area == 0).sum())
    if (outcome.area <= 1).all():
        yield f"all {count} predicted masks have one pixel or none: are their coordinates from 0 to 1, not pixels?"
    elif empty:
        yield f"{empty} of {count} predicted masks are empty: they count as wrong"


def _of_boxes(sizes: list[tuple[int, int]], detections: Detections) -> Iterator[str]:
    boxes, count = detections.boxes, len(detections.place)
    if boxes.min() >= 0 and boxes.max() <= 1:
        yield f"all {count} boxes have coordinates from 0 to 1: expected pixels"
        return
    height, width = np.array(sizes, np.float64)[images_of(detections.ends)].T
    beyond = (boxes[:, 0] < -OUTSIDE * width) | (boxes[:, 0] + boxes[:, 2] > (1 + OUTSIDE) * width)
    beyond |= (boxes[:, 1] < -OUTSIDE * height) | (boxes[:, 1] + boxes[:, 3] > (1 + OUTSIDE) * height)
    if outside := int(beyond.sum()):
        yield f"{outside} of {count} boxes reach far outside their image: expected [x, y, width, height] in pixels"


def _of_categories(detections: Detections, objects: Objects, outcome: Outcomes) -> Iterator[str]:
    """Detections that are of objects, but hardly ever of objects of their category."""
    count = len(detections.place)
    right = int((outcome.same_iou >= FOUND).sum())
    wrong = (outcome.other_iou >= FOUND) & (outcome.same_iou < FOUND)
    if wrong.sum() <= MOST * count or right > FEW * count:
        return
    steps = detections.category[wrong] - objects.category[outcome.other_object[wrong]]
    values, times = np.unique(steps, return_counts=True)
    shift = f", mostly by {values[times.argmax()]:+d}" if times.max() > MOST * len(steps) else ""
    yield (
        f"{wrong.sum()} of {count} detections are of objects of another category, {right} of their own:"
        f" category ids look shifted{shift}"
    )
