"""COCO's twelve numbers, of masks and of boxes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hotcoco import COCO, COCOeval, mask

from bcnet.data.results import SHAPE, IouType, Predictions

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
AREAS = {  # of objects, pixels, both ends included
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}

READ = {  # what COCO's evaluation reads of a file; hotcoco would refuse odd values in what else users have there
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


def ground_truth(content: dict[str, Any]) -> COCO:
    """What predictions are matched with, of an annotation file (from `coco.read`)."""
    return COCO({name: [{key: entry[key] for key in keys} for entry in content[name]] for name, keys in READ.items()})


def match(truth: COCO, predictions: Predictions, iou_type: IouType) -> COCOeval:
    """COCO's matching of predictions and objects.

    Any other shape in a prediction is left out: a `bbox` in a mask result would make APs, APm and APl go by box area.

    Args:
        truth: ground truth; polygons, RLE and crowds.
        predictions: results of known images and categories, each with the shape that `iou_type` compares.
        iou_type: "segm" or "bbox".

    Returns:
        An evaluator to `accumulate()` or to read `eval_imgs` from, whose predictions are numbered from 1.
    """
    keys = ("image_id", "category_id", "score", SHAPE[iou_type])
    results = truth.load_res([{key: prediction[key] for key in keys} for prediction in predictions])
    evaluator = COCOeval(truth, results, iou_type)
    evaluator.evaluate()
    return evaluator


@dataclass(frozen=True)
class Matching:
    """COCO's matching in the images and categories that have objects; elsewhere nothing matches.

    `predictions`: those of these images and categories; `places`: where each is among all predictions; `pairs`: for an
    area, an image and a category each the matching as the COCO API gives it (`evalImgs`), predictions numbered from 1.
    """

    predictions: Predictions
    places: list[int]
    pairs: list[dict[str, Any]]

    def of_area(self, name: str) -> list[dict[str, Any]]:
        """The pairs of objects of an area (a key of AREAS)."""
        return [pair for pair in self.pairs if tuple(pair["aRng"]) == AREAS[name]]


def match_objects(
    truth: COCO, annotations: list[dict[str, Any]], predictions: Predictions, iou_type: IouType
) -> Matching:
    """`match`, of the images and categories of `annotations`: reading all pairs would take most of the time."""
    wanted = {(annotation["image_id"], annotation["category_id"]) for annotation in annotations}
    places = [place for place, each in enumerate(predictions) if (each["image_id"], each["category_id"]) in wanted]
    rivals = [predictions[place] for place in places]
    return Matching(rivals, places, [pair for pair in match(truth, rivals, iou_type).eval_imgs if pair is not None])


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
