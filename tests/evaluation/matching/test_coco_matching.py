"""COCO's matching of one image's detections, against pycocotools' own."""

import copy

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bcnet.data.masks.segmentation import encode
from bcnet.evaluation.matching.coco_matching import match_at_half


@pytest.mark.parametrize("seed", range(40))
def test_matching_is_that_of_coco(seed):
    """Against pycocotools' own matching at IoU 0.5, on a few boxes of two categories."""
    random = np.random.default_rng(seed)
    truth, found = COCO(), []

    def rectangle() -> dict:
        mask = np.zeros((20, 20), np.uint8)
        x, y, w, h = random.integers((0, 0, 8, 8), (6, 6, 14, 14))
        mask[y : y + h, x : x + w] = 1
        return encode(mask)

    objects = [{"id": 1 + i, "image_id": 1, "category_id": int(random.integers(1, 3))} for i in range(4)]
    objects = [{**each, "segmentation": rectangle(), "iscrowd": 0, "area": 100} for each in objects]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    truth.dataset = {"images": [{"id": 1, "width": 20, "height": 20}], "annotations": objects, "categories": categories}
    truth.dataset["info"] = {}
    truth.createIndex()
    for score in random.permutation(6):
        found.append({"image_id": 1, "category_id": int(random.integers(1, 3)), "score": float(score)})
        found[-1]["segmentation"] = rectangle()
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), "segm")
    evaluation.evaluate()
    expected: dict[int, int | None] = {}
    for image in evaluation.evalImgs:
        if image and image["aRng"] == [0, 1e10]:
            for detection, match in zip(image["dtIds"], image["dtMatches"][0], strict=True):
                expected[detection - 1] = int(match) - 1 if match else None
    ious = mask_utils.iou([f["segmentation"] for f in found], [o["segmentation"] for o in objects], [0] * 4)
    columns = (np.array([entry[key] for entry in found]) for key in ("category_id", "score"))
    given = match_at_half(ious, *columns, np.array([entry["category_id"] for entry in objects]))
    assert given.tolist() == [-1 if expected[i] is None else expected[i] for i in range(6)]


def test_without_detections_or_objects_nothing_is_given():
    for detections, objects in ((0, 0), (0, 3), (2, 0)):
        given = match_at_half(
            np.zeros((detections, objects)), np.ones(detections), np.ones(detections), np.ones(objects)
        )
        assert given.tolist() == [-1] * detections
