"""COCO's numbers are those of the COCO API."""

import json

import numpy as np
import pytest
from evaluation_factory import boxes, coco_api, made, run_on, shared

from bcnet.data import coco
from bcnet.evaluation.coco_ap import NAMES, category_numbers, coco_numbers

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
    truth = coco.read(folder / "instances_val2014_100.json")
    predictions = json.loads((folder / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    numbers = coco_numbers(run_on(truth, predictions, iou_type))
    assert tuple(round(value, 3) for value in numbers.values()) == PUBLISHED[iou_type]
    assert numbers["AP"] == pytest.approx(PUBLISHED_AP[iou_type], abs=EXACT)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_real_detections_in_total_and_by_category(iou_type):
    folder = shared("coco-sample")
    truth = coco.read(folder / "annotations/instances_val2017.json")
    predictions = json.loads((folder / "predictions_yolov8n_seg_val2017.json").read_text())
    for prediction in predictions:
        del prediction["bbox" if iou_type == "segm" else "segmentation"]
    reference = coco_api(truth, predictions, iou_type)
    run = run_on(truth, predictions, iou_type)
    assert_same(coco_numbers(run), reference.stats)
    precision = reference.eval["precision"][..., -1]  # thresholds, recalls, categories, areas; the most detections
    numbers = iter(category_numbers(run))
    for place in range(len(reference.params.catIds)):
        shares = np.where(precision[:, 0, place] < 0, np.nan, precision[:, :, place].mean(axis=1))  # threshold, area
        if np.isnan(shares[0, 0]):  # no object: not among ours
            continue
        found = [np.nan if value is None else value for value in next(numbers).values()]
        expected = [shares[:, 0].mean(), shares[0, 0], shares[5, 0], *shares[:, 1:].mean(axis=0)]
        assert found == pytest.approx(expected, abs=EXACT, nan_ok=True)
    assert not list(numbers)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_rle_crowds_and_tied_scores(seed):
    truth, predictions = made(seed)
    assert any(annotation["iscrowd"] for annotation in truth["annotations"])
    assert_same(coco_numbers(run_on(truth, predictions)), coco_api(truth, predictions, "segm").stats)
    around = coco_api(truth, boxes(predictions), "bbox").stats
    assert_same(coco_numbers(run_on(truth, predictions, kind="bbox")), around)
    assert_same(coco_numbers(run_on(truth, boxes(predictions), "bbox")), around)


def test_a_box_beside_a_mask_would_change_the_coco_apis_numbers():
    truth, predictions = made(0)
    huge = [{**prediction, "bbox": [0, 0, 1000, 1000]} for prediction in predictions]
    trap = coco_api(truth, huge, "segm").stats != coco_api(truth, predictions, "segm").stats
    assert [name for name, differs in zip(NAMES, trap, strict=True) if differs] == ["APs", "APm", "APl"]


def test_no_object_of_a_size_is_none_and_no_prediction_is_zero():
    truth, _ = made(0)
    truth["annotations"] = [a for a in truth["annotations"] if a["area"] >= 96**2 or a["iscrowd"]][:3]
    assert any(not annotation["iscrowd"] for annotation in truth["annotations"])
    numbers = coco_numbers(run_on(truth, []))
    empty = {"APs", "APm", "ARs", "ARm"}
    assert {name: value for name, value in numbers.items() if name not in empty} == dict.fromkeys(set(NAMES) - empty, 0)
    assert all(numbers[name] is None for name in empty)
    assert set(coco_numbers(run_on({**truth, "annotations": []}, [])).values()) == {None}
