"""Which objects count as found, against a matcher written out in plain Python, and recall by occlusion."""

import numpy as np
import pyarrow as pa
import pytest
from evaluation_factory import CATEGORIES, boxes, coco_api, made, rle, tables
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnet.evaluation.matching.object_table import MATCHED, SCHEMA

SIZE = (12, 12)
BOX = st.tuples(*[st.integers(0, 7)] * 2, *[st.integers(1, 5)] * 2)
CATEGORY = st.sampled_from(CATEGORIES[:2])
OBJECTS = st.lists(st.tuples(BOX, CATEGORY, st.sampled_from([False, False, False, True])), min_size=1, max_size=6)
DETECTIONS = st.lists(st.tuples(BOX, CATEGORY, st.sampled_from([0.2, 0.5, 0.9])), max_size=8)


def overlap(one: tuple, other: tuple) -> float:
    """IoU of two filled rectangles of whole pixels, pixel by pixel."""
    pixels = [{(x, y) for x in range(b[0], b[0] + b[2]) for y in range(b[1], b[1] + b[3])} for b in (one, other)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def matched_slowly(objects: list[tuple], detections: list[tuple], threshold: float) -> dict[int, int]:
    """By place of an object that of its detection: best-scored first, each takes the free one that it overlaps most."""
    taken: dict[int, int] = {}
    for number, (box, category, _) in sorted(enumerate(detections), key=lambda each: -each[1][2]):
        best, chosen = threshold, None
        for place, (theirs, kind, crowd) in enumerate(objects):
            if kind == category and not crowd and place not in taken and overlap(box, theirs) >= best:
                best, chosen = overlap(box, theirs), place
        if chosen is not None:
            taken[chosen] = number
    return taken


def files(objects: list[tuple], detections: list[tuple]) -> tuple[dict, list[dict]]:
    """One picture's ground truth and predictions."""
    annotations = [
        {
            "id": 100 - place,  # not in order
            "image_id": 1,
            "category_id": category,
            "segmentation": rle(box, SIZE),
            "bbox": list(box),
            "area": box[2] * box[3],
            "iscrowd": int(crowd),
        }
        for place, (box, category, crowd) in enumerate(objects)
    ]
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": annotations,
        "categories": [{"id": category, "name": str(category)} for category in CATEGORIES],
    }
    return truth, [
        {"image_id": 1, "category_id": category, "score": score, "segmentation": rle(box, SIZE)}
        for box, category, score in detections
    ]


def table_of(truth: dict, predictions: list[dict], iou_type: str = "segm") -> pa.Table:
    return tables(truth, predictions, iou_type)[1]


@settings(max_examples=150)
@given(OBJECTS, DETECTIONS, st.sampled_from(["segm", "bbox"]))
def test_matching_is_the_obvious_one(objects, detections, iou_type):
    truth, predictions = files(objects, detections)
    table = table_of(truth, boxes(predictions) if iou_type == "bbox" else predictions, iou_type)
    solid = [place for place, (_, _, crowd) in enumerate(objects) if not crowd]
    assert table["annotation_id"].to_pylist() == [100 - place for place in solid]
    for name, threshold in zip(MATCHED, np.linspace(0.5, 0.95, 10), strict=True):
        expected = matched_slowly(objects, detections, threshold)
        assert table[name].to_pylist() == [place in expected for place in solid], name
        if threshold == 0.5:
            assert table["detection"].to_pylist() == [expected.get(place) for place in solid]


@settings(max_examples=100)
@given(OBJECTS, DETECTIONS)
def test_iou_and_score_are_of_the_prediction_that_overlaps_most(objects, detections):
    table = table_of(*files(objects, detections))
    for row, (box, category, _) in zip(table.to_pylist(), [each for each in objects if not each[2]], strict=True):
        rivals = [(overlap(box, theirs), score) for theirs, kind, score in detections if kind == category]
        iou, score = max(rivals, default=(0, None))
        assert (row["iou"], row["score"]) == (pytest.approx(iou), score if iou > 0 else None)
        best = row["best_detection"]
        assert (best is None) == (iou == 0)
        if best is not None:
            assert overlap(box, detections[best][0]) == pytest.approx(iou)
            assert detections[best][1:] == (category, score)


def test_a_detection_is_counted_among_the_predictions_of_its_image():
    """In the order of the file, whose images may lie between each other's, whatever their scores and categories."""
    box, elsewhere, category = (0, 0, 5, 5), (6, 6, 4, 4), CATEGORIES[0]
    truth, predictions = files([(box, category, False)], [(elsewhere, CATEGORIES[1], 0.9), (box, category, 0.2)])
    truth["images"].append({**truth["images"][0], "id": 7})
    truth["annotations"].append({**truth["annotations"][0], "id": 101, "image_id": 7})
    of_other = [{**each, "image_id": 7} for each in predictions]
    table = table_of(truth, [of_other[0], predictions[0], of_other[1], {**of_other[1], "score": 0.8}, predictions[1]])
    assert table["detection"].to_pylist() == [1, 2]
    assert table["best_detection"].to_pylist() == [1, 2]
    assert (
        table_of(truth, [])["detection"].to_pylist() == table_of(truth, [])["best_detection"].to_pylist() == [None] * 2
    )


@pytest.mark.parametrize("seed", range(3))
def test_share_matched_is_coco_recall(seed):
    truth, predictions = made(seed)
    table = table_of(truth, predictions).to_pandas()
    recall = coco_api(truth, predictions, "segm").eval["recall"]  # threshold, category, area, detections
    for place, category in enumerate(CATEGORIES):
        ours = table[table["category_id"] == category][list(MATCHED)].mean().to_numpy()
        np.testing.assert_allclose(ours, recall[:, place, 0, 2], rtol=0, atol=1e-12)
        assert 0 < ours[0] < 1


def test_only_the_hundred_best_predictions_of_a_category_count():
    box, elsewhere, category = (0, 0, 5, 5), (6, 6, 4, 4), CATEGORIES[0]
    objects = [(box, category, False)]
    for others, found in ((99, True), (100, False)):
        detections = [(elsewhere, category, 0.9)] * others + [(box, category, 0.1)]
        (row,) = table_of(*files(objects, detections)).to_pylist()
        assert (row["matched_95"], row["iou"], row["score"]) == ((True, 1.0, 0.1) if found else (False, 0.0, None))


def test_occlusion_columns_are_the_annotations_own():
    truth, predictions = made(1)
    table = table_of(truth, predictions)
    assert table.schema == SCHEMA
    solid = [annotation for annotation in truth["annotations"] if not annotation["iscrowd"]]
    assert table["box_cover"].to_pylist() == [annotation["occlusion"]["box_cover"] for annotation in solid]
    assert table["same_category"].to_pylist() == [False] * len(solid)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    assert table_of(truth, predictions)["box_cover"].null_count == len(solid)
