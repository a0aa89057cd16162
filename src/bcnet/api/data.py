"""Annotations and evaluation, from files or from arrays. PyTorch is not imported."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bcnet.api.inputs import File, annotations_of, predictions_of, settings_of
from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.occlusion.convert import convert_content
from bcnet.evaluation.matching.arrays import detections_of, objects_of, shapes_of
from bcnet.evaluation.measure import Evaluation, measure, truth_of, without_collector
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate


def read_annotations(path: File) -> dict[str, Any]:
    """Read and check a COCO-format annotation file.

    Returns:
        Its content. What annotations may leave out is filled in: `iscrowd` with 0, `bbox` and `area` from the mask.

    Raises:
        InputError: no such file, not JSON, or not COCO's format; the line names the entry and what is wrong with it.
    """
    return annotation_file.read(Path(path))


def convert(
    annotations: File | Mapping[str, Any], *, min_box_iou: float = 0.05, min_pixels: int = 20, in_front: bool = False
) -> dict[str, Any]:
    """Annotations with their occluders and measures of occlusion, as `bcnet convert` writes them.

    Args:
        annotations: a COCO-format file, or its content; a `segmentation` may be a mask, (H, W) bool or uint8.
        min_box_iou: a neighbour is an occluder only if its box overlaps by more than this IoU, 0 to 1.
        min_pixels: an occluder mask of this many pixels or fewer counts as none.
        in_front: only neighbours that their `depth` does not put behind.

    Returns:
        The content, with `occluder` (compressed RLE or None) and `occlusion` in each annotation.

    Raises:
        InputError: the annotations are not right, or `in_front` without any `depth`, or a setting is out of its range.
    """
    settings = settings_of(Convert, min_box_iou=min_box_iou, min_pixels=min_pixels, in_front=in_front)
    path, content = annotations_of(annotations)
    convert_content(content, settings, path)
    return content


@without_collector()
def evaluate(
    annotations: File | Mapping[str, Any],
    predictions: File | Sequence[Mapping[str, Any]],
    *,
    cover_bins: Sequence[float] = (0.0, 0.1, 0.3, 1.0),
    mask_cover_bins: Sequence[float] = (0.0, 0.02, 0.1, 1.0),
    box_iou_bins: Sequence[float] = (0.0, 0.2, 0.5, 1.0),
    draws: int = 1000,
    file_boxes: bool = False,
) -> Evaluation:
    """The metrics of predictions, as `bcnet evaluate` computes them, and its tables of objects and detections.

    Args:
        annotations: ground truth: a COCO-format file, or its content. Without
            `occlusion` it is converted with the defaults of `convert`; `provenance` of the metrics then says so.
        predictions: a file in COCO's result format, or its content: `image_id`, `category_id`, `score`, and
            `segmentation` (polygons, RLE, or a mask, (H, W) bool or uint8) or `bbox` ([x, y, width, height], pixels).
        cover_bins, mask_cover_bins, box_iou_bins: edges of the bins of each measure of occlusion, rising from 0 to 1.
        draws: of the bootstrap over images that gives the 95 % intervals.
        file_boxes: evaluate each prediction's `bbox` as its box, not the box around its mask.

    Raises:
        InputError: annotations, predictions or a setting are not right.
    """
    bins = {"cover_bins": cover_bins, "mask_cover_bins": mask_cover_bins, "box_iou_bins": box_iou_bins}
    settings = settings_of(
        Evaluate, **{key: tuple(edges) for key, edges in bins.items()}, draws=draws, file_boxes=file_boxes
    )
    path, content = annotations_of(annotations)
    shapes = shapes_of(content)
    truth = truth_of(path, content, Convert(), shapes)
    if isinstance(predictions, str | PathLike):
        found = prediction_file.read(Path(predictions), truth.content, truth.left_out)
    else:
        entries = predictions_of(predictions)
        found = prediction_file.of_entries(Path("predictions"), entries, truth.content, truth.left_out)
    objects, detections = objects_of(content, truth.ids, shapes), detections_of(found, truth.ids)
    return measure(truth, objects, found, detections, settings, {"split": truth.split, "convert": truth.convert})
