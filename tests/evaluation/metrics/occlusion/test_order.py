"""Occlusion order: by its definition on whole masks, and in cases made by hand."""

from itertools import permutations

import numpy as np
import pytest
from evaluation_factory import columns, evaluated, made, rle

from bcnet.data.masks.segmentation import decode
from bcnet.evaluation.metrics.occlusion.order import has_order, order
from bcnet.files import InputError

SIZE = (60, 80)


def numbers_of(truth: dict, predictions: list[dict]) -> dict:
    sizes = [(each["height"], each["width"]) for each in sorted(truth["images"], key=lambda each: each["id"])]
    return order(truth, columns(predictions), *evaluated(truth, predictions), sizes)


def box_around(mask: np.ndarray) -> np.ndarray:
    filled = np.zeros_like(mask)
    rows, across = np.nonzero(mask)
    if len(rows):
        filled[rows.min() : rows.max() + 1, across.min() : across.max() + 1] = True
    return filled


def slowly(truth: dict, predictions: list[dict]) -> dict:
    """The same from (H, W) masks, one pair after the other."""
    detections, objects, became = evaluated(truth, predictions)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    found = {
        truth["annotations"][place]["id"]: predictions[detections.place[detection]]
        for place, detection in zip(objects.place, became.detection[:, 0], strict=True)
        if detection >= 0
    }
    known, told, alone = 0, [], []
    for behind, front in permutations(truth["annotations"], 2):
        if behind["image_id"] != front["image_id"] or behind["iscrowd"] or front["iscrowd"]:
            continue
        size = sizes[behind["image_id"]]
        wholes = [decode(each["amodal_segmentation"], *size) for each in (behind, front)]
        if not behind.get("depth", -1) > front.get("depth", 99) or (wholes[0] & wholes[1]).sum() < 20:
            continue
        known += 1
        if behind["id"] not in found or front["id"] not in found:
            continue
        pair = [found[each["id"]] for each in (behind, front)]
        masks = [decode(each["segmentation"], *size) for each in pair]
        occluders = [decode(each["occluder"], *size) if each.get("occluder") else masks[0] & False for each in pair]
        told.append(int((occluders[0] & masks[1]).sum()) - int((occluders[1] & masks[0]).sum()))
        alone.append(int((box_around(masks[0]) & masks[1]).sum()) - int((box_around(masks[1]) & masks[0]).sum()))
    return {"known": known, "pairs": len(told), **shares(np.array(told)), "masks_alone": shares(np.array(alone))}


def shares(told: np.ndarray) -> dict:
    right, decided = (told > 0).sum(), (told != 0).sum()
    return {
        "decided": pytest.approx(decided / len(told)),
        "accuracy_decided": pytest.approx(right / decided),
        "accuracy": pytest.approx(right / len(told)),
    }


@pytest.mark.parametrize("seed", range(4))
def test_whole_masks_say_the_same(seed):
    truth, predictions = made(seed, images=10)
    random = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    for one in truth["annotations"]:
        one["amodal_segmentation"] = one["segmentation"]
        if random.random() < 0.8:
            one["depth"] = int(random.integers(0, 4))
    for each in predictions:
        if random.random() < 0.8:
            x, y, width, height = (int(value) for value in random.integers(0, 100, 4))
            each["occluder"] = rle((x, y, width, height), sizes[each["image_id"]])
    numbers = numbers_of(truth, predictions)
    assert numbers == slowly(truth, predictions)
    assert numbers["pairs"] > 10
    assert 0 < numbers["decided"] < 1


FRONT, BEHIND = (10, 10, 20, 20), (20, 10, 30, 20)  # 200 pixels of the one behind are hidden
SEEN = (30, 10, 20, 20)


def pair(
    occluder_of_front: tuple | None, occluder_of_behind: tuple | None, depths: tuple = (0, 1), found: int = 2, **more
) -> dict:
    """Numbers of two objects whose masks are found exactly, with these boxes as occluder masks."""
    boxes = ((FRONT, FRONT, occluder_of_front), (SEEN, BEHIND, occluder_of_behind))
    annotations, predictions = [], []
    for place, ((seen, whole, occluder), depth) in enumerate(zip(boxes, depths, strict=True)):
        about = {"image_id": 1, "category_id": 1, "segmentation": rle(seen, SIZE)}
        one = {**about, "id": place, "iscrowd": 0, "bbox": list(seen), "area": seen[2] * seen[3], "depth": depth}
        annotations.append({**one, "amodal_segmentation": rle(whole, SIZE), **more})
        predictions.append({**about, "score": 0.9, "occluder": rle(occluder or (0, 0, 0, 0), SIZE)})
    image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
    truth = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    return numbers_of(truth, predictions[:found])


def told(numbers: dict) -> tuple:
    return tuple(numbers[key] for key in ("known", "pairs", "decided", "accuracy_decided", "accuracy"))


@pytest.mark.parametrize(
    ("of_front", "of_behind", "expected"),
    [
        (None, FRONT, (1, 1, 1, 1, 1)),
        (SEEN, None, (1, 1, 1, 0, 0)),
        (SEEN, (20, 10, 10, 20), (1, 1, 1, 0, 0)),  # 400 pixels of the one behind against 200
        ((30, 10, 5, 20), (20, 10, 10, 20), (1, 1, 1, 1, 1)),
        (SEEN, FRONT, (1, 1, 0, None, 0)),  # each says that the other is in front
        (None, None, (1, 1, 0, None, 0)),
    ],
)
def test_who_is_covered_more_is_in_front(of_front, of_behind, expected):
    assert told(pair(of_front, of_behind)) == expected
    backwards = told(pair(of_front, of_behind, depths=(5, 2)))
    assert backwards[:3] == expected[:3]
    assert backwards[4] == expected[2] - expected[4]


def test_pairs_without_an_order_do_not_count():
    assert told(pair(None, FRONT, depths=(1, 1))) == (0, 0, None, None, None)
    assert told(pair(None, FRONT, iscrowd=1)) == (0, 0, None, None, None)
    assert told(pair(None, FRONT, found=1)) == (1, 0, None, None, None)
    assert told(pair(None, FRONT, found=0)) == (1, 0, None, None, None)


def test_objects_that_overlap_by_fewer_than_20_pixels_have_no_order():
    touching = {"amodal_segmentation": rle((0, 0, 19, 1), SIZE)}
    assert pair(None, FRONT, **touching)["known"] == 0
    assert pair(None, FRONT, amodal_segmentation=rle((0, 0, 20, 1), SIZE))["known"] == 1


def test_masks_alone_know_the_one_that_is_seen_in_the_others_box():
    """Boxes of what is seen do not overlap here: undecided, whatever occluders say."""
    alone = pair(None, FRONT)["masks_alone"]
    assert alone == {"decided": 0, "accuracy_decided": None, "accuracy": 0}


@pytest.mark.parametrize("depth", [-1, "front", True, float("inf")])
def test_a_wrong_depth_is_told(tmp_path, depth):
    annotation = {"id": 4, "iscrowd": 0, "amodal_segmentation": [], "depth": 0}
    assert has_order(tmp_path, [annotation])
    assert not has_order(tmp_path, [{**annotation, "iscrowd": 1}, {"id": 5, "iscrowd": 0, "depth": 2}])
    with pytest.raises(InputError, match=r"truth.json: annotation 4: depth is .*, expected a number from 0"):
        has_order(tmp_path / "truth.json", [{**annotation, "depth": depth}])
