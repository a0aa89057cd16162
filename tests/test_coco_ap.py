"""COCO's twelve numbers are those of the COCO API."""

import json

import hotcoco
import numpy as np
import pytest
from evaluation_factory import boxes, coco_api, made, rle, shared

from bcnet.evaluation.coco_ap import NAMES, boxes_around, coco_numbers, match

EXACT = 1e-12
PUBLISHED = {
    "segm": (0.320, 0.562, 0.299, 0.387, 0.310, 0.327, 0.268, 0.415, 0.417, 0.469, 0.377, 0.381),
    "bbox": (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564),
}
PUBLISHED_AP = {"segm": 0.3195452758576433, "bbox": 0.5045806987249628}


def assert_same(numbers: dict, stats: np.ndarray) -> None:
    assert tuple(numbers) == NAMES
    assert [-1 if value is None else value for value in numbers.values()] == pytest.approx(list(stats), abs=EXACT)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_published_numbers_of_the_coco_api(iou_type):
    folder = shared("evaluator-fixture")
    truth = hotcoco.COCO(json.loads((folder / "instances_val2014_100.json").read_text()))
    predictions = json.loads((folder / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    numbers = coco_numbers(truth, predictions, iou_type)
    assert tuple(round(value, 3) for value in numbers.values()) == PUBLISHED[iou_type]
    assert numbers["AP"] == pytest.approx(PUBLISHED_AP[iou_type], abs=EXACT)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_real_detections_in_total_and_by_category(iou_type):
    folder = shared("coco-sample")
    truth = json.loads((folder / "annotations/instances_val2017.json").read_text())
    predictions = json.loads((folder / "predictions_yolov8n_seg_val2017.json").read_text())
    for prediction in predictions:
        del prediction["bbox" if iou_type == "segm" else "segmentation"]
    reference = coco_api(truth, predictions, iou_type)
    assert_same(coco_numbers(hotcoco.COCO(truth), predictions, iou_type), reference.stats)
    ours = match(hotcoco.COCO(truth), predictions, iou_type)
    ours.accumulate()
    for name in ("precision", "recall"):  # the last but two and one: category, area
        np.testing.assert_allclose(ours.eval[name], reference.eval[name], rtol=0, atol=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_rle_crowds_and_tied_scores(seed):
    truth, predictions = made(seed)
    assert any(annotation["iscrowd"] for annotation in truth["annotations"])
    ground_truth = hotcoco.COCO(truth)
    assert_same(coco_numbers(ground_truth, predictions, "segm"), coco_api(truth, predictions, "segm").stats)
    around = boxes_around(predictions)
    assert_same(coco_numbers(ground_truth, around, "bbox"), coco_api(truth, boxes(predictions), "bbox").stats)


def test_a_box_beside_a_mask_changes_nothing():
    truth, predictions = made(0)
    huge = [{**prediction, "bbox": [0, 0, 1000, 1000]} for prediction in predictions]
    ground_truth = hotcoco.COCO(truth)
    assert coco_numbers(ground_truth, huge, "segm") == coco_numbers(ground_truth, predictions, "segm")
    trap = coco_api(truth, huge, "segm").stats != coco_api(truth, predictions, "segm").stats
    assert [name for name, differs in zip(NAMES, trap, strict=True) if differs] == [
        "APs",
        "APm",
        "APl",
    ]  # the trap is real


def test_no_object_of_a_size_is_none_and_no_prediction_is_zero():
    truth, _ = made(0)
    truth["annotations"] = [a for a in truth["annotations"] if a["area"] >= 96**2 or a["iscrowd"]][:3]
    assert any(not annotation["iscrowd"] for annotation in truth["annotations"])
    numbers = coco_numbers(hotcoco.COCO(truth), [], "segm")
    empty = {"APs", "APm", "ARs", "ARm"}
    assert {name: value for name, value in numbers.items() if name not in empty} == dict.fromkeys(set(NAMES) - empty, 0)
    assert all(numbers[name] is None for name in empty)
    assert set(coco_numbers(hotcoco.COCO({**truth, "annotations": []}), [], "bbox").values()) == {None}


def test_boxes_around_masks():
    around = boxes_around([{"segmentation": rle(box, (20, 30)), "score": 1} for box in [(3, 4, 5, 6), (0, 0, 0, 0)]])
    assert [each["bbox"] for each in around] == [[3, 4, 5, 6], [0, 0, 0, 0]]
    assert boxes_around([]) == []
