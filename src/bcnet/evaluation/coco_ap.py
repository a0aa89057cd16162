"""COCO's twelve numbers, of masks and of boxes."""

from typing import Any

import numpy as np
from hotcoco import COCO, COCOeval, mask

from bcnet.data.results import SHAPE, IouType, Predictions

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


READ = {  # what COCO's evaluation reads of a file; hotcoco would refuse odd values in what else users have there
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


def ground_truth(content: dict[str, Any]) -> COCO:
    """What predictions are matched with, of an annotation file (from `coco.read`)."""
    return COCO({name: [{key: entry[key] for key in keys} for entry in content[name]] for name, keys in READ.items()})


def match(truth: COCO, predictions: Predictions, iou_type: IouType, by_size: bool = True) -> COCOeval:
    """COCO's matching of predictions and objects.

    Any other shape in a prediction is left out: a `bbox` in a mask result would make APs, APm and APl go by box area.

    Args:
        truth: ground truth; polygons, RLE and crowds.
        predictions: results of known images and categories, each with the shape that `iou_type` compares.
        iou_type: "segm" or "bbox".
        by_size: match once more for each of small, medium and large objects, which COCO's numbers by size need.

    Returns:
        An evaluator to `accumulate()` or to read `eval_imgs` from, whose predictions are numbered from 1.
    """
    keys = ("image_id", "category_id", "score", SHAPE[iou_type])
    results = truth.load_res([{key: prediction[key] for key in keys} for prediction in predictions])
    evaluator = COCOeval(truth, results, iou_type)
    if not by_size:
        evaluator.params.area_rng, evaluator.params.area_rng_lbl = [[0, 1e10]], ["all"]
    evaluator.evaluate()
    return evaluator


def coco_numbers(truth: COCO, predictions: Predictions, iou_type: IouType) -> dict[str, float | None]:
    """The twelve numbers of COCO's summary, 0 to 1; None where COCO gives -1: no object of that size.

    Arguments as of `match`. Source: cocoapi, cocoeval.py, `summarize`.
    """
    evaluator = match(truth, predictions, iou_type)
    evaluator.accumulate()
    evaluator.summary_lines()  # fills the results, as summarize() does, but prints nothing
    results = evaluator.get_results()
    return {name: None if results[name] == -1 else float(results[name]) for name in NAMES}


def boxes_around(predictions: Predictions) -> Predictions:
    """The same predictions with `bbox`: [x, y, width, height], pixels, around the mask; all 0 if that is empty."""
    boxes = np.reshape(mask.to_bbox([prediction["segmentation"] for prediction in predictions]), (-1, 4))
    return [{**prediction, "bbox": box} for prediction, box in zip(predictions, boxes.tolist(), strict=True)]
