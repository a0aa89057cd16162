"""The metrics of predictions, and the tables of objects and detections that they come from."""

import gc
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.data.coco.prediction_format import Predictions
from bcnet.data.occlusion.convert import convert_content
from bcnet.data.occlusion.converted import check_converted
from bcnet.evaluation.matching.arrays import (
    AnnotationMasks,
    Detections,
    Objects,
    detections_of,
    image_ids,
    order_of,
)
from bcnet.evaluation.matching.detection_table import detection_table
from bcnet.evaluation.matching.object_table import object_table
from bcnet.evaluation.matching.outcomes import CROWD, KINDS, Outcomes, outcomes, with_boxes
from bcnet.evaluation.metrics.benchmark import by_occlusion, drawn_precisions, errors, failure_shares, leak_rate
from bcnet.evaluation.metrics.coco_ap import NAMES, category_numbers, coco_numbers
from bcnet.evaluation.metrics.confusion import false_detections
from bcnet.evaluation.metrics.occlusion.equal_size import cells_of
from bcnet.evaluation.metrics.occlusion.invisible import invisible, is_amodal
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.metrics.occlusion.order import has_order, order
from bcnet.evaluation.metrics.occlusion.separated import separated
from bcnet.evaluation.remarks import all_remarks
from bcnet.evaluation.statistics import kept_draws
from bcnet.evaluation.statistics.drawn import Drawn, drawn_numbers
from bcnet.evaluation.statistics.intervals import equal_size, intervals, name_of
from bcnet.evaluation.statistics.resampling import Run, run_of
from bcnet.evaluation.statistics.significance import draw_images
from bcnet.evaluation.statistics.summary import summary
from bcnet.files import InputError
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate


@dataclass(frozen=True)
class Truth:
    """The ground truth of an evaluation, checked."""

    path: Path  # its file, or what errors call it
    content: dict[str, Any]  # COCO's format
    split: dict[str, Any]  # what it says of itself: its name, and of a split also rule, threshold, masks
    left_out: Set[int]  # ids of images that the split leaves out, whose predictions are no mistake
    ids: np.ndarray  # (I,) int64, rising, of the images
    sizes: list[tuple[int, int]]  # height and width of each image, pixels
    convert: dict[str, Any] | None  # the settings that it was converted with here; None: it was so already
    amodal: bool  # whether masks are amodal, with the visible ones beside


@dataclass(frozen=True)
class Evaluation:
    """What `measure` finds; docs/formats.md lists the keys of `metrics` and the columns of both tables."""

    metrics: dict[str, Any]  # numbers from 0 to 1, None where one is not defined
    objects: pa.Table  # a row for each annotation that is no crowd, in file order
    detections: pa.Table  # a row for each image, by rising id
    drawn: Mapping[Metric, Drawn]  # numbers on the draws of the bootstrap, for the table of draws

    def summary(self) -> str:
        """The main numbers in percent with their 95 % intervals and counts, a line each under a header."""
        return summary(self.metrics)


@contextmanager
def without_collector() -> Iterator[None]:
    """Without Python's garbage collector, which looks through all entries of the files as long as new ones come.

    Also as a decorator. Of what evaluation makes, nothing refers to itself and waits for the collector.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def truth_of(path: Path, content: dict[str, Any], settings: Convert, shapes: AnnotationMasks) -> Truth:
    """The ground truth of an evaluation, converted if no annotation is.

    Args:
        path: its file, for errors; without `info.split`, also its name.
        content: COCO's format, checked (`annotation_file.read`); its annotations are changed where they are converted.
        settings: of that conversion.
        shapes: the masks of its annotations.

    Raises:
        InputError: only some annotations have `occlusion`, or a wrong one; only some have `visible_segmentation`; or
            `settings` need a `depth`.
    """
    converted = any("occlusion" in annotation for annotation in content["annotations"])
    if converted:
        check_converted(path, content["annotations"])
    else:
        convert_content(content, settings, path, shapes.in_file_order())
    split = _split_of(path, content)
    images = sorted(content["images"], key=lambda image: image["id"])
    return Truth(
        path=path,
        content=content,
        split={key: value for key, value in split.items() if key != "other_images"},
        left_out=set(split.get("other_images", ())),
        ids=image_ids(content),
        sizes=[(image["height"], image["width"]) for image in images],
        convert=None if converted or not content["annotations"] else settings.model_dump(mode="json"),
        amodal=is_amodal(path, content["annotations"]),
    )


def measure(
    truth: Truth,
    objects: Objects,
    predictions: Predictions,
    detections: Detections,
    settings: Evaluate,
    provenance: dict[str, Any],
) -> Evaluation:
    """The metrics of predictions, and the tables of objects and detections.

    Masks are evaluated as masks and by the boxes around them. Boxes have no mask numbers, and their objects are
    matched and judged by box: `provenance.iou_type` says by what. Invisible parts are evaluated where the ground truth
    is amodal, the order where it has `depth` and predictions an `occluder`.

    Args:
        objects: the annotations of `truth` (`objects_of`).
        predictions: of images of `truth`.
        detections: those of them that are evaluated (`detections_of`).
        settings: the edges of the bins, and the draws of the bootstrap.
        provenance: the first keys of that of the metrics.

    Raises:
        InputError: the order is asked for, and an annotation has no right `depth`; `settings.file_boxes`, and only some
            predictions have a box.
    """
    content, sizes, kinds = truth.content, truth.sizes, KINDS[predictions.iou_type]
    ordered = len(predictions.occluder_texts) > 0 and has_order(truth.path, content["annotations"])
    with ThreadPoolExecutor(1) as beside:
        ordering = beside.submit(order_of, detections, objects)
        outcome = outcomes(detections, objects, sizes, predictions.iou_type)
        order_of_scores = ordering.result()
    own_boxes = settings.file_boxes and predictions.boxes_beside > 0
    as_boxes = _as_boxes(predictions, truth, objects, own_boxes)
    detection_rows = detection_table(truth.ids, detections, outcome, predictions.iou_type, as_boxes)
    table = object_table(content["annotations"], separated(objects, sizes), detections, objects, outcome)
    table = table.append_column("masks", pa.repeat(truth.split.get("masks", "visible"), table.num_rows))
    own_order = {"bbox": None} if as_boxes else {}
    runs = {kind: run_of(detection_rows, table, kind, own_order.get(kind, order_of_scores)) for kind in kinds}
    masks, bins = predictions.iou_type == "segm", settings.bins()
    with ThreadPoolExecutor(1) as beside:
        times = draw_images(len(truth.ids), settings.draws)
        drawing = beside.submit(drawn_numbers, runs, table, bins, kept_draws.AP, times)
        metrics = {  # most of it is computed by one thread; what needs the draws has its place here and comes below
            "provenance": {
                **provenance,
                "images": len(truth.ids),
                "objects": table.num_rows,
                "iou_type": predictions.iou_type,
                "box_scores": as_boxes is not None,
                "file_boxes": own_boxes,
                "predictions": len(predictions),
                "remarks": all_remarks(content, predictions, detections, objects, outcome, sizes, settings.file_boxes),
            },
            **{kind: coco_numbers(runs[kind]) if kind in runs else dict.fromkeys(NAMES) for kind in KINDS["segm"]},
            "recall": by_occlusion(table, bins, detections, objects, outcome),
            "equal_size": {},
            "failures": failure_shares(table),
            "leak": leak_rate(table) if masks else None,
            "amodal": _amodal(truth, detections, objects, outcome) if masks else None,
            "order": order(content, predictions, detections, objects, outcome, sizes) if ordered else None,
            **errors(detections, objects, outcome),
            "false_detections": _false_detections(content["categories"], detections, outcome),
            "intervals": {},
            "few": [],
            "categories": _of_categories(content["categories"], table, runs),
        }
        precisions = drawn_precisions(table, bins, detections, objects, outcome, runs[kinds[0]], times)
        every = drawing.result() | precisions
    drawn = {metric: number for metric, number in every.items() if metric.metric not in kept_draws.AP[1:]}
    metrics |= {
        "equal_size": equal_size(drawn, bins, cells_of(table, bins)[0]),
        "intervals": intervals(drawn),
        "few": [name_of(metric) for metric, number in drawn.items() if number.sample.few],
    }
    return Evaluation(metrics, table, detection_rows, every)


def _as_boxes(
    predictions: Predictions, truth: Truth, objects: Objects, own_boxes: bool
) -> tuple[Detections, Outcomes] | None:
    """Predicted masks as the boxes beside or around them, ranked by the scores of the boxes, and what becomes of these.

    None where boxes are those around the masks, and have their scores: they are matched beside the masks.

    Raises:
        InputError: `own_boxes`, and only some have one.
    """
    if not own_boxes and np.array_equal(predictions.box_score, predictions.score):
        return None
    if own_boxes and predictions.boxes_beside < len(predictions):
        some = f"{predictions.boxes_beside} of {len(predictions)} predictions have a right bbox"
        raise InputError(f"{truth.path}: file_boxes: {some}: expected all of them, or none")
    detections = detections_of(predictions, truth.ids, as_boxes=True)
    if not own_boxes:
        detections = with_boxes(detections, truth.sizes)
    return detections, outcomes(detections, objects, truth.sizes, "bbox")


def _amodal(
    truth: Truth, detections: Detections, objects: Objects, outcome: Outcomes
) -> dict[str, dict[str, float | int | None]] | None:
    """The numbers of invisible parts; None where the ground truth is not amodal."""
    if not truth.amodal:
        return None
    return {"invisible": invisible(truth.content, detections, objects, outcome, truth.sizes)}


def _of_categories(categories: list[dict[str, Any]], table: pa.Table, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Of each category that has objects: its id and name, how many, and the numbers of masks, boxes and boundaries."""
    names = {category["id"]: category["name"] for category in categories}
    ids, counts = np.unique(table["category_id"].to_numpy(), return_counts=True)
    rows = [
        {"id": category, "name": names[category], "objects": count}
        for category, count in zip(ids.tolist(), counts.tolist(), strict=True)
    ]
    for kind, run in runs.items():
        for row, numbers in zip(rows, category_numbers(run), strict=True):
            row[kind] = numbers
    return rows


def _false_detections(
    categories: list[dict[str, Any]], detections: Detections, outcome: Outcomes
) -> list[dict[str, int]]:
    """Of each category: its id and how many detections of it are of nothing."""
    ids = np.array(sorted(category["id"] for category in categories), np.int64)
    iou = np.maximum(outcome.same_iou, outcome.other_iou)
    counts = false_detections(detections.category, detections.score, iou, outcome.object[:, 0] == CROWD, ids)
    return [{"id": own, "count": count} for own, count in zip(ids.tolist(), counts.tolist(), strict=True)]


def left_out_of(content: dict[str, Any]) -> set[int]:
    """The ids of the images that a split leaves out, whose predictions are no mistake."""
    return set(_split_of(Path(), content).get("other_images", ()))


def _split_of(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """`info.split` of a split; for any other COCO-format file its name."""
    info = content.get("info")
    split = info.get("split") if isinstance(info, dict) else None
    return split if isinstance(split, dict) else {"name": path.stem}
