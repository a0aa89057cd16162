"""AP of invisible parts: by the COCO API with the definition's overlaps, and in cases made by hand."""

import contextlib
import copy
import io

import numpy as np
import pytest
from evaluation_factory import evaluated, made, rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bcnet.data.masks.segmentation import decode, encode
from bcnet.evaluation.metrics.occlusion.invisible import invisible, is_amodal
from bcnet.files import InputError

SIZE = (60, 80)


def hide(truth: dict, seed: int) -> dict:
    """The ground truth as amodal: of each object a part is invisible, of some none, a scrap or all."""
    random = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    for one in truth["annotations"]:
        size = sizes[one["image_id"]]
        seen = decode(one["segmentation"], *size)
        x, _, width, _ = one["bbox"]
        seen[:, x : x + int(width * random.choice([0, 0, 0.01, 0.3, 0.6, 1]))] = False
        one["visible_segmentation"] = encode(seen)
    return truth


class SlowEval(COCOeval):
    """The COCO API with overlaps of invisible parts; objects without one have an area beyond every range."""

    def computeIoU(self, imgId, catId):  # noqa: N802, N803
        detections = sorted(self._dts[imgId, catId], key=lambda each: -each["score"])[:100]
        objects = self._gts[imgId, catId]
        if not detections or not objects:
            return []
        image = self.cocoGt.imgs[imgId]
        size = image["height"], image["width"]
        matrix = np.zeros((len(detections), len(objects)))
        for row, one in zip(matrix, detections, strict=True):
            mask = decode(one["segmentation"], *size)
            for place, other in enumerate(objects):
                whole, seen = (decode(other[key], *size) for key in ("segmentation", "visible_segmentation"))
                union = mask.sum() if other["iscrowd"] else (mask | whole).sum()
                iou = (mask & whole).sum() / union
                if iou >= 0.5:
                    row[place] = 1 + iou if other["area"] > 1e10 else ratio(mask & ~seen, whole & ~seen)
        return matrix


def ratio(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def slowly(truth: dict, predictions: list[dict]) -> tuple[int, list[float]]:
    """How many objects have an invisible part, and AP, AP50, AP75."""
    truth = copy.deepcopy(truth)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    counted = 0
    for one in truth["annotations"]:
        whole, seen = (decode(one[key], *sizes[one["image_id"]]) for key in ("segmentation", "visible_segmentation"))
        hides = not one["iscrowd"] and (whole & ~seen).sum() >= 20
        one["area"] = 1 if hides else 1e11
        counted += hides
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = truth
        ground_truth.createIndex()
        evaluator = SlowEval(ground_truth, ground_truth.loadRes(copy.deepcopy(predictions)), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return counted, evaluator.stats[:3].tolist()


def numbers_of(truth: dict, predictions: list[dict]) -> dict:
    detections, objects, became = evaluated(truth, predictions)
    sizes = [(each["height"], each["width"]) for each in sorted(truth["images"], key=lambda each: each["id"])]
    return invisible(truth, detections, objects, became, sizes)


@pytest.mark.parametrize("seed", range(4))
def test_the_coco_api_with_these_overlaps_says_the_same(seed):
    truth, predictions = made(seed, images=10)
    truth = hide(truth, seed)
    numbers = numbers_of(truth, predictions)
    counted, expected = slowly(truth, predictions)
    assert numbers["objects"] == counted > 10
    assert [numbers[name] for name in ("AP", "AP50", "AP75")] == pytest.approx(expected, abs=1e-12)
    assert 0.05 < numbers["AP"] < 0.9
    detections, objects, became = evaluated(truth, predictions)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    ious = []
    for place, detection in zip(objects.place, became.detection[:, 0], strict=True):
        one = truth["annotations"][place]
        size = sizes[one["image_id"]]
        whole, seen = (decode(one[key], *size) for key in ("segmentation", "visible_segmentation"))
        if detection >= 0 and (whole & ~seen).sum() >= 20:
            mask = decode(predictions[detections.place[detection]]["segmentation"], *size)
            ious.append(ratio(mask & ~seen, whole & ~seen))
    assert (numbers["matched"], numbers["IoU"]) == (len(ious), pytest.approx(np.mean(ious), abs=1e-12))


def case(objects: list[tuple], detections: list[tuple]) -> dict:
    """Numbers of an image: objects as (amodal mask, visible mask), detections as (mask, score), all of one category.

    A mask is a box, a pair of boxes (the first without the second), or None for no pixel.
    """
    annotations = [
        {
            "id": place,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [0, 0, 1, 1],
            "area": 1,
            "segmentation": drawn(whole),
            "visible_segmentation": drawn(seen),
        }
        for place, (whole, seen) in enumerate(objects)
    ]
    image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
    truth = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    found = [{"image_id": 1, "category_id": 1, "score": score, "segmentation": drawn(box)} for box, score in detections]
    return numbers_of(truth, found)


def drawn(shape: tuple | None) -> dict:
    if shape is None or not isinstance(shape[0], tuple):
        return rle(shape or (0, 0, 0, 0), SIZE)
    one, other = (decode(rle(box, SIZE), *SIZE) for box in shape)
    return encode(one & ~other)


WHOLE, SEEN = (10, 10, 20, 40), (10, 10, 20, 30)  # the lowest quarter is hidden
FREE = (50, 10, 20, 20)  # an object that nothing hides


def test_a_perfect_mask_and_one_of_what_is_seen():
    perfect = case([(WHOLE, SEEN)], [(WHOLE, 0.9)])
    assert perfect == pytest.approx({"objects": 1, "AP": 1, "AP50": 1, "AP75": 1, "matched": 1, "IoU": 1})
    seen = case([(WHOLE, SEEN)], [(SEEN, 0.9)])  # its IoU with the whole object is .75: a match, of nothing hidden
    assert (seen["AP"], seen["AP50"], seen["matched"], seen["IoU"]) == (0, 0, 1, 0)


def test_drawing_too_much_costs():
    """20 x 10 hidden pixels, 20 x 5 more are drawn: IoU 2/3."""
    numbers = case([(WHOLE, SEEN)], [((10, 10, 20, 45), 0.9)])
    assert numbers["IoU"] == pytest.approx(2 / 3)
    assert (numbers["AP50"], numbers["AP75"]) == (pytest.approx(1), 0)
    assert numbers["AP"] == pytest.approx(0.4)  # .5, .55, .6, .65


def test_detections_of_objects_without_an_invisible_part_are_left_out():
    """However they are drawn: even with pixels beyond what is seen, and at thresholds that they do not reach."""
    too_much = (50, 10, 20, 25)  # IoU .8 with the free object
    once = case([(WHOLE, SEEN), (FREE, FREE)], [(WHOLE, 0.5), (too_much, 0.9)])
    assert (once["objects"], once["AP"]) == (1, pytest.approx(1))
    twice = case([(WHOLE, SEEN), (FREE, FREE)], [(WHOLE, 0.5), (too_much, 0.9), (FREE, 0.8)])
    assert twice["AP"] == pytest.approx(0.5)
    almost = case([(WHOLE, SEEN), (FREE, (51, 10, 19, 20))], [(WHOLE, 0.9)])
    assert almost["objects"] == 2  # 20 pixels
    less = case([(WHOLE, SEEN), ((50, 10, 20, 19), (51, 10, 19, 19))], [(WHOLE, 0.9)])
    assert less["objects"] == 1  # 19 pixels


def test_a_detection_far_from_everything_is_false():
    assert case([(WHOLE, SEEN)], [(WHOLE, 0.5), ((60, 40, 10, 10), 0.9)])["AP"] == pytest.approx(0.5)


def test_an_occluder_is_no_prediction_of_what_it_hides():
    """A small object before a large one, whose invisible part is of the small one's shape."""
    front, behind = (20, 20, 20, 20), (5, 5, 60, 50)
    numbers = case([(front, front), (behind, (behind, front))], [(front, 0.9)])
    assert (numbers["objects"], numbers["AP50"], numbers["matched"]) == (1, 0, 0)


def test_an_object_that_is_seen_nowhere_is_all_invisible():
    numbers = case([(WHOLE, None)], [(WHOLE, 0.9)])
    assert (numbers["objects"], numbers["AP"]) == (1, pytest.approx(1))


def test_without_an_invisible_part_there_is_no_number():
    undefined = dict.fromkeys(("AP", "AP50", "AP75", "IoU"))
    assert case([(FREE, FREE)], [(FREE, 0.9)]) == {**undefined, "objects": 0, "matched": 0}
    nothing = case([(WHOLE, SEEN)], [])
    assert (nothing["objects"], nothing["AP"], nothing["matched"], nothing["IoU"]) == (1, 0, 0, None)


def test_all_annotations_or_none_have_visible_masks(tmp_path):
    path = tmp_path / "truth.json"
    some = [{"id": 1, "visible_segmentation": []}, {"id": 7}]
    assert is_amodal(path, some[:1])
    assert not is_amodal(path, some[1:])
    assert not is_amodal(path, [])
    with pytest.raises(
        InputError, match=r"truth.json: annotation 7: no 'visible_segmentation', but other annotations have one"
    ):
        is_amodal(path, some)
