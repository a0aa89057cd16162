"""COCO's numbers are those of the COCO API."""

import numpy as np
import pytest
from evaluation_factory import CATEGORIES, boxes, coco_api, columns, made, rle, run_on
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import binary_erosion

from bcnet.evaluation.metrics.coco_ap import NAMES, category_numbers, coco_numbers, numbers_of

EXACT = 1e-12


def assert_same(numbers: dict, stats: np.ndarray) -> None:
    assert tuple(numbers) == NAMES
    assert [-1 if value is None else value for value in numbers.values()] == pytest.approx(list(stats), abs=EXACT)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(4))
def test_each_category_has_the_numbers_of_the_coco_api(seed, iou_type):
    truth, predictions = made(seed, images=20)
    # Three more: of the first nothing is there, of the second something is found that is not, the third is missed.
    truth["categories"] += [{"id": category, "name": f"kind {category}"} for category in (1, 5, 91)]
    predictions.append({**predictions[0], "category_id": 5})
    solid = next(annotation for annotation in truth["annotations"] if not annotation["iscrowd"])
    truth["annotations"].append({**solid, "id": 1000, "category_id": 91})
    predictions = boxes(predictions) if iou_type == "bbox" else predictions
    reference = coco_api(truth, predictions, iou_type)
    precision = reference.eval["precision"][..., -1]  # thresholds, recalls, categories, areas; the most detections
    found = [list(numbers.values()) for numbers in category_numbers(run_on(truth, predictions, iou_type))]
    expected = []
    for place in range(len(reference.params.catIds)):
        shares = np.where(precision[:, 0, place] < 0, np.nan, precision[:, :, place].mean(axis=1))  # threshold, area
        if not np.isnan(shares[0, 0]):  # else no object: not among ours
            expected.append([shares[:, 0].mean(), shares[0, 0], shares[5, 0], *shares[:, 1:].mean(axis=0)])
    assert len(found) == len(expected) == len(CATEGORIES) + 1
    assert expected[-1][:3] == [0, 0, 0]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx([None if np.isnan(value) else value for value in theirs], abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_rle_crowds_and_tied_scores(seed):
    truth, predictions = made(seed)
    assert any(annotation["iscrowd"] for annotation in truth["annotations"])
    assert_same(coco_numbers(run_on(truth, predictions)), coco_api(truth, predictions, "segm").stats)
    around = coco_api(truth, boxes(predictions), "bbox").stats
    assert_same(coco_numbers(run_on(truth, predictions, kind="bbox")), around)
    assert_same(coco_numbers(run_on(truth, boxes(predictions), "bbox")), around)


@pytest.mark.parametrize("kinds", [("segm",), ("segm", "bbox"), ("boundary",)])
@pytest.mark.parametrize("seed", range(2))
def test_the_numbers_alone_are_those_of_a_whole_evaluation(seed, kinds):
    truth, predictions = made(seed)
    expected = {kind: coco_numbers(run_on(truth, predictions, kind=kind)) for kind in kinds}
    assert numbers_of(columns(predictions), truth, kinds) == expected


class BoundaryEval(COCOeval):
    """The COCO API with Boundary IoU (Cheng et al., CVPR 2021): the lower of the two IoUs; a crowd has no boundary."""

    def computeIoU(self, image: int, category: int) -> np.ndarray:  # noqa: N802
        ious, size = super().computeIoU(image, category), self.cocoGt.imgs[image]
        width = max(1, round(0.02 * np.hypot(size["height"], size["width"])))

        def edge(annotation: dict) -> np.ndarray:
            mask = self.cocoGt.annToMask(annotation) > 0
            return mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)

        found = sorted(self._dts[image, category], key=lambda each: -each["score"])
        for g, theirs in enumerate(self._gts[image, category] if len(ious) else []):
            for d, ours in enumerate(() if theirs["iscrowd"] else found):
                ours_edge, their_edge = edge(ours), edge(theirs)
                ious[d, g] = min(ious[d, g], (ours_edge & their_edge).sum() / (ours_edge | their_edge).sum())
        return ious


@pytest.mark.parametrize("seed", range(2))
def test_boundary_numbers_are_those_of_the_coco_api_with_boundary_iou(seed):
    truth, predictions = made(seed)
    numbers = coco_numbers(run_on(truth, predictions, kind="boundary"))
    assert_same(numbers, coco_api(truth, predictions, "segm", BoundaryEval).stats)
    assert abs(numbers["AP"] - coco_numbers(run_on(truth, predictions))["AP"]) > 0.01


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


SIDE = 120  # of the pictures below
Found = tuple[float, tuple[int, int, int, int]]  # score and [x, y, width, height]


def pictures(*contents: tuple[list[tuple[int, int, int, int]], list[Found]]) -> tuple[dict, list[dict]]:
    """Ground truth and predictions of one category: of each picture the objects and what was found."""
    truth: dict = {"info": {}, "images": [], "annotations": [], "categories": [{"id": 3, "name": "kind 3"}]}
    predictions: list[dict] = []
    for image, (objects, found) in enumerate(contents, start=1):
        truth["images"].append({"id": image, "file_name": f"{image}.png", "height": SIDE, "width": SIDE})
        keys = {"image_id": image, "category_id": 3}
        for box in objects:
            place = {"id": len(truth["annotations"]) + 1, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
            truth["annotations"].append(keys | place | {"segmentation": rle(box, (SIDE, SIDE))})
        predictions += [keys | {"score": score, "segmentation": rle(box, (SIDE, SIDE))} for score, box in found]
    return truth, predictions


def assert_numbers(truth: dict, predictions: list[dict], **expected: float) -> None:
    """Ours and the COCO API's numbers, by mask and by box, are those."""
    for iou_type, given in (("segm", predictions), ("bbox", boxes(predictions))):
        numbers = coco_numbers(run_on(truth, given, iou_type))
        assert_same(numbers, coco_api(truth, given, iou_type).stats)
        assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=EXACT)


def test_an_object_and_a_detection_on_the_bound_of_two_sizes_are_of_both():
    on_bounds = (0, 0, 32, 32), (10, 10, 96, 96)
    strays = [(0.9, on_bounds[0]), (0.8, on_bounds[1])]
    hits = [(0.7, on_bounds[0]), (0.6, on_bounds[1])]
    truth, predictions = pictures(([], strays), (list(on_bounds), hits))
    # small and large: a stray and then the hit; medium: both strays, then both hits
    assert_numbers(truth, predictions, APs=1 / 2, APm=1 / 2, APl=1 / 2, ARs=1, ARm=1, ARl=1)


def test_of_objects_that_a_detection_overlaps_equally_it_is_given_the_last():
    left, between, right = (0, 0, 10, 10), (2, 0, 10, 10), (4, 0, 10, 10)  # IoU 2/3 of the middle with each side
    found = [(0.9, between), (0.8, left)]
    # Given the right one, the middle leaves the left one to its own detection: both are found up to an IoU of .65, and
    # above it one of two, after a wrong detection.
    one_of_two = 51 / 101 * 1 / 2
    assert_numbers(*pictures(([left, right], found)), AP50=1, AP75=one_of_two, AP=(4 + 6 * one_of_two) / 10)
    # Given the left one, it leaves the right one, which the other detection overlaps by 6 of 14 only.
    half = 51 / 101
    assert_numbers(*pictures(([right, left], found)), AP50=half, AP75=one_of_two, AP=(4 * half + 6 * one_of_two) / 10)


def test_an_iou_of_exactly_a_half_is_enough_and_the_ignored_come_second():
    truth, predictions = pictures(([(0, 0, 10, 10), (40, 40, 10, 5)], [(0.9, (0, 0, 10, 5)), (0.8, (40, 40, 10, 10))]))
    assert_numbers(truth, predictions, AP50=1, AP=0.1)
    # Of another size than is asked for, the object that fits exactly is taken only where the other does not suffice.
    whole, half = (0, 0, 40, 40), (0, 0, 40, 20)  # medium and small
    assert_numbers(*pictures(([whole, half], [(0.9, whole)])), APs=0.1, APm=1)


def test_of_mask_and_boundary_the_lower_iou_counts():
    box = (20, 20, 9, 9)
    truth, predictions = pictures(([box], [(0.9, box)]))
    # A hole of 3 x 4: 69 of 81 pixels, but 69 of 72 where the boundary is three pixels wide.
    predictions[0]["segmentation"] = rle(box, (SIDE, SIDE), hollow=True)
    numbers = coco_numbers(run_on(truth, predictions, kind="boundary"))
    assert_same(numbers, coco_api(truth, predictions, "segm", BoundaryEval).stats)
    assert numbers["AP"] == pytest.approx(0.8, abs=EXACT)
