"""What objects are taken for: by plain questions about all detections, and counts by loops."""

import numpy as np
from evaluation_factory import made, tables
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from bcnet.api.data import evaluate
from bcnet.data.masks.segmentation import to_rle
from bcnet.evaluation.metrics.confusion import NOTHING, confusion, false_detections, found_by_bin, taken_for

SHARES = st.sampled_from([0.0, 0.29, 0.3, 0.4999, 0.5, 0.7, 1.0])


def slowly(ious, category, score, object_category):
    for place, own in enumerate(object_category):
        heard = [
            (iou[place], each == own, -number, each)
            for number, (iou, each, sure) in enumerate(zip(ious, category, score, strict=True))
            if sure >= 0.3 and iou[place] >= 0.5
        ]
        yield max(heard)[3] if heard else NOTHING


@given(st.data(), st.integers(0, 6), st.integers(0, 4))
def test_an_object_is_taken_for_what_the_definition_says(data, detections, objects):
    case = (
        data.draw(arrays(float, (detections, objects), elements=SHARES)),
        data.draw(arrays(int, detections, elements=st.integers(0, 2))),
        data.draw(arrays(float, detections, elements=SHARES)),
        data.draw(arrays(int, objects, elements=st.integers(0, 2))),
    )
    assert taken_for(*case).tolist() == list(slowly(*case))


def test_the_table_says_of_decoded_masks_what_each_object_is_taken_for():
    truth, predictions = made(3)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    _, objects = tables(truth, predictions)
    taken = dict(zip(objects["annotation_id"].to_pylist(), objects["taken_for"].to_pylist(), strict=True))
    seen = set()
    for annotation in truth["annotations"]:
        if annotation["iscrowd"]:
            continue
        size = sizes[annotation["image_id"]]
        own = [each for each in predictions if each["image_id"] == annotation["image_id"] and each["score"] >= 0.3]
        ranked = sorted(own, key=lambda each: (each["category_id"], -each["score"]))  # as they are evaluated
        mask = coco_mask.decode(to_rle(annotation["segmentation"], *size)).astype(bool)
        ious = []
        for each in ranked:
            other = coco_mask.decode(each["segmentation"]).astype(bool)
            ious.append([(mask & other).sum() / (mask | other).sum()])
        given_category = [each["category_id"] for each in ranked]
        (wanted,) = slowly(ious, given_category, [1.0] * len(ranked), [annotation["category_id"]])
        assert taken[annotation["id"]] == (None if wanted == NOTHING else wanted)
        seen.add("nothing" if wanted == NOTHING else wanted == annotation["category_id"])
    assert seen == {"nothing", True, False}


def overlaps(truth, predictions):
    """Of each prediction the IoU with each object of its image that is no crowd, and with crowds of its category."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    for each in predictions:
        other = coco_mask.decode(each["segmentation"]).astype(bool)
        objects, crowds = [0.0], [0.0]
        for annotation in truth["annotations"]:
            if annotation["image_id"] != each["image_id"]:
                continue
            rle = to_rle(annotation["segmentation"], *sizes[annotation["image_id"]])
            mask = coco_mask.decode(rle).astype(bool)
            if not annotation["iscrowd"]:
                objects.append((mask & other).sum() / (mask | other).sum())
            elif annotation["category_id"] == each["category_id"]:
                crowds.append((mask & other).sum() / max(1, other.sum()))
        yield max(objects), max(crowds)


def test_the_metrics_count_the_detections_of_nothing_of_each_category():
    seen = set()
    for seed in range(4):
        truth, predictions = made(seed)
        slow = dict.fromkeys(sorted(category["id"] for category in truth["categories"]), 0)
        for each, (iou, on_crowd) in zip(predictions, overlaps(truth, predictions), strict=True):
            if each["score"] >= 0.3 and iou < 0.5 and on_crowd < 0.5:
                slow[each["category_id"]] += 1
            seen.add((each["score"] >= 0.3, iou < 0.5))
        found = evaluate(truth, predictions).metrics["false_detections"]
        assert {row["id"]: row["count"] for row in found} == slow
    assert len(seen) >= 3


def test_what_is_on_a_crowd_or_unsure_is_no_false_detection():
    category, score = np.array([3, 3, 7, 7, 90]), np.array([0.9, 0.2, 0.3, 0.8, 0.9])
    iou, on_crowd = np.array([0.1, 0.1, 0.49, 0.5, 0.0]), np.array([False, False, False, False, True])
    assert false_detections(category, score, iou, on_crowd, np.array([3, 7, 90])).tolist() == [1, 1, 0]


def test_confusions_are_counted():
    random = np.random.default_rng(0)
    categories = np.array([3, 7, 90])
    own, taken = random.choice(categories, 60), random.choice([*categories, NOTHING], 60)
    counts = confusion(own, taken, categories)
    for row, category in enumerate(categories):
        for column, other in enumerate([*categories, NOTHING]):
            pairs = zip(own, taken, strict=True)
            assert counts[row, column] == sum(1 for a, b in pairs if (a, b) == (category, other))


def test_found_objects_are_counted_by_category_and_bin():
    random = np.random.default_rng(1)
    own, place = random.choice([3, 7], 40), random.integers(-1, 3, 40)
    found = random.random(40) < 0.5
    counts = found_by_bin(own, place, found, 3)
    assert list(counts) == [3, 7]
    for category, (objects, right) in counts.items():
        for index in range(3):
            inside = [k for k in range(40) if own[k] == category and place[k] == index]
            assert objects[index] == len(inside)
            assert right[index] == sum(found[k] for k in inside)
