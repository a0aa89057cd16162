"""`bcnet evaluate` of boxes: without masks, beside masks, and with scores of their own."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_factory import boxes, coco_api, made, rle, vary_occlusion
from pycocotools import mask as coco_mask

from bcnet.data.masks.segmentation import to_rle
from bcnet.evaluation.matching.detection_table import schema
from bcnet.evaluation.metrics.coco_ap import NAMES, coco_numbers
from bcnet.evaluation.statistics.resampling import run_of
from bcnet.evaluation.statistics.summary import summary
from bcnet.files import InputError
from bcnet.params.results import Evaluate


def test_boxes_without_masks_have_no_mask_numbers(run):
    truth, predictions = made(0)
    both, only = run(truth, predictions), run(truth, boxes(predictions))
    assert only["bbox"] == both["bbox"]
    assert only["segm"] == dict.fromkeys(NAMES)
    assert only["leak"] is None
    assert (both["provenance"]["iou_type"], only["provenance"]["iou_type"]) == ("segm", "bbox")


def slow_fate(truth: dict, predictions: list[dict], place: int) -> int:
    """How an object fares by boxes, by the words of `failures`: the first fate that is true of any detection."""
    target, fates = truth["annotations"][place], []
    for each in predictions:
        if each["image_id"] != target["image_id"] or each["score"] < 0.3:
            continue
        iou = float(coco_mask.iou([each["bbox"]], [target["bbox"]], [0])[0, 0])
        right = each["category_id"] == target["category_id"]
        if iou >= 0.1:
            fates.append((0 if right else 1) if iou >= 0.75 else (2 if right else 3))
    return min(fates, default=4)


def test_boxes_have_recall_and_failures_with_intervals(run, tmp_path):
    """On rectangles, boxes and masks are the same: so is all that both have."""
    truth, predictions = made(4, images=12)
    vary_occlusion(truth)
    solid = [place for place, each in enumerate(truth["annotations"]) if not each["iscrowd"]]
    filled = [{**each, "segmentation": box_mask(each, truth)} for each in predictions]
    for annotation in truth["annotations"]:
        annotation["segmentation"] = box_mask(annotation, truth)
    masks = run(truth, filled)
    only = run(truth, boxes(filled))
    assert pq.read_table(tmp_path / "out.parquet")["failure"].to_pylist() == [
        slow_fate(truth, boxes(filled), place) for place in solid
    ]
    assert len(set(pq.read_table(tmp_path / "out.parquet")["failure"].to_pylist())) == 5
    assert only["recall"] == masks["recall"]
    assert only["failures"] == masks["failures"]
    assert only["intervals"].keys() == masks["intervals"].keys() - {"AP", "boundary_AP"}
    for name, between in only["intervals"].items():
        assert between == (None if name == "leak" else masks["intervals"][name]), name
    lines = summary(only).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["box_AP", "found", "found_occluded"]
    assert any(line.startswith("AR box_cover 0.3-1 ") for line in lines)


def box_mask(entry: dict, truth: dict) -> dict:
    """The mask that fills an entry's box."""
    image = next(image for image in truth["images"] if image["id"] == entry["image_id"])
    x, y, width, height = coco_mask.toBbox(to_rle(entry["segmentation"], image["height"], image["width"])).astype(int)
    return rle((x, y, width, height), (image["height"], image["width"]))


REMARK = (
    "{} of {} masks have a bbox, which is not read: box_AP is of boxes around the masks; "
    "pycocotools takes the areas of masks from these boxes: its APs, APm, APl, ARs, ARm, ARl differ"
)


def test_a_box_beside_a_mask_changes_nothing_but_a_remark(run):
    truth, predictions = made(0)
    boxed = [{**prediction, "bbox": [0, 0, 9, 9], "id": 1, "area": 81} for prediction in predictions]
    metrics, expected = run(truth, boxed), run(truth, predictions)
    assert all(metrics[key] == expected[key] for key in ("segm", "bbox", "recall"))
    assert REMARK.format(len(boxed), len(boxed)) in metrics["provenance"]["remarks"]
    assert not any("bbox" in remark for remark in expected["provenance"]["remarks"])
    of_api = dict(zip(NAMES, coco_api(truth, boxed, "segm").stats, strict=True))
    unequal = {name for name in NAMES if abs(of_api[name] - metrics["segm"][name]) > 1e-9}
    assert unequal
    assert unequal <= {"APs", "APm", "APl", "ARs", "ARm", "ARl"}


@pytest.mark.parametrize("box", [[0, 0, 9], "none", [0, 0, -1, 4], [], None, [0, 0, "9", 9]])
def test_what_is_no_box_beside_a_mask_is_not_read_either(run, box):
    truth, predictions = made(0)
    metrics = run(truth, [{**predictions[0], "bbox": box}, *predictions[1:]])
    assert metrics["segm"] == run(truth, predictions)["segm"]
    assert not any("bbox" in remark for remark in metrics["provenance"]["remarks"])


def test_boxes_of_the_file_are_evaluated_if_asked_for(run, tmp_path):
    """As if they were a file of their own; nothing else changes."""
    truth, predictions = made(2)
    random = np.random.default_rng(3)
    moved = [
        each | {"bbox": (np.array(each["bbox"]) + random.integers(0, 9, 4)).tolist()} for each in boxes(predictions)
    ]
    both = [{**each, "bbox": box["bbox"]} for each, box in zip(predictions, moved, strict=True)]
    settings = Evaluate(file_boxes=True)
    metrics, without = run(truth, both, settings=settings), run(truth, both, name="without")
    expected = coco_api(truth, moved, "bbox").stats
    assert list(metrics["bbox"].values()) == pytest.approx(list(expected), abs=1e-12)
    assert abs(metrics["bbox"]["AP"] - without["bbox"]["AP"]) > 1e-3
    assert metrics["provenance"]["file_boxes"]
    assert "box_AP is of each prediction's bbox; pycocotools " in " ".join(metrics["provenance"]["remarks"])
    assert run(truth, moved, name="alone")["intervals"]["box_AP"] == metrics["intervals"]["box_AP"]
    for about in (metrics, without):
        del about["provenance"], about["bbox"], about["intervals"]["box_AP"]
        for category in about["categories"]:
            del category["bbox"]
    assert metrics == without

    none = run(truth, predictions, settings=settings)
    assert "no bbox: box_AP is of boxes around masks" in none["provenance"]["remarks"]
    assert none["bbox"] == run(truth, predictions)["bbox"]
    line = (
        rf"truth.json: file_boxes: {len(both) - 1} of {len(both)} predictions have a right bbox: expected all of them"
    )
    with pytest.raises(InputError, match=line):
        run(truth, [predictions[0], *both[1:]], settings=settings)


def test_boxes_are_ranked_by_scores_of_their_own(run, tmp_path):
    """As if the boxes were a file of their own; masks as if `box_score` were not there. Also beyond the best 100."""
    truth, predictions = made(2)
    random = np.random.default_rng(0)
    predictions += random.permutation(np.array(predictions * 4, object)).tolist()
    predictions = [each | {"score": round(float(random.random()), 2)} for each in predictions]
    scored = [each | {"box_score": round(float(random.random()), 1)} for each in predictions]
    scored[3]["box_score"] = None
    crowded = [each for each in predictions if each["image_id"] == predictions[0]["image_id"]]
    scored += [crowded[0] | {"box_score": 0.95}] * 60 + [crowded[1] | {"score": 0.9, "box_score": 0.05}] * 60
    of_boxes = [each | {"score": each["score"] if each["box_score"] is None else each["box_score"]} for each in scored]
    plain = [{key: value for key, value in each.items() if key != "box_score"} for each in scored]
    metrics, without = run(truth, scored), run(truth, plain, name="plain")
    expected = coco_api(truth, boxes(of_boxes), "bbox").stats
    assert list(metrics["bbox"].values()) == pytest.approx(list(expected), abs=1e-12)
    assert abs(metrics["bbox"]["AP"] - without["bbox"]["AP"]) > 1e-3
    assert metrics["provenance"]["box_scores"]
    assert not without["provenance"]["box_scores"]
    for about in (metrics, without):
        del about["provenance"], about["bbox"], about["intervals"]["box_AP"]
        for category in about["categories"]:
            del category["bbox"]
    assert metrics == without
    table = pq.read_table(tmp_path / "out.detections.parquet")
    assert table.schema == schema("segm", box_scores=True)
    drawn = coco_numbers(run_of(table, pq.read_table(tmp_path / "out.parquet"), "bbox"))
    assert list(drawn.values()) == pytest.approx(list(expected), abs=1e-12)
