"""`evaluate` says what makes its numbers null, odd, or other than their names say."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import bcnet
from bcnet.cli import main
from bcnet.data.masks.segmentation import encode

HEIGHT, WIDTH = 30, 40
BOXES = [(4, 6, 10, 8), (20, 3, 5, 20), (11, 17, 18, 9), (2, 2, 30, 25)]


def mask(box: tuple[int, ...]) -> np.ndarray:
    x, y, w, h = box
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + h, x : x + w] = True
    return pixels


def truth() -> dict[str, Any]:
    annotations = [
        {"id": number + 1, "image_id": 1, "category_id": 1 + number % 3, "segmentation": mask(box)}
        for number, box in enumerate(BOXES)
    ]
    image = {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.png"}
    categories = [{"id": number, "name": f"c{number}"} for number in range(1, 5)]
    return {"images": [image], "annotations": annotations, "categories": categories}


def masks(**values: Any) -> list[dict[str, Any]]:
    return [
        {"image_id": 1, "category_id": 1 + number % 3, "score": 0.9 - number / 10, "segmentation": mask(box)} | values
        for number, box in enumerate(BOXES)
    ]


def boxes(change: Any) -> list[dict[str, Any]]:
    found = [
        {key: value for key, value in entry.items() if key != "segmentation"} | {"bbox": change(*box)}
        for entry, box in zip(masks(), BOXES, strict=True)
    ]
    return found


def remarks(predictions: list[dict[str, Any]], content: dict[str, Any] | None = None) -> list[str]:
    return bcnet.evaluate(content or truth(), predictions, draws=2).metrics["provenance"]["remarks"]


def test_what_is_right_has_none() -> None:
    assert remarks(masks()) == []
    assert remarks(boxes(lambda *box: list(box))) == []


def test_crowds_alone() -> None:
    content = truth()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    line = "all 4 annotations are crowds (iscrowd 1), which no detection can match: every number is null"
    assert remarks(masks(), content) == [line]
    content["annotations"][0]["iscrowd"] = 0
    assert remarks(masks(), content) == []
    content["annotations"] = []
    assert remarks(masks(), content) == ["the ground truth has no annotations: every number is null"]


def test_areas_that_are_not_the_masks() -> None:
    content = truth()
    content["annotations"][0]["area"] = 0
    content["annotations"][1]["area"] = 2000
    content["annotations"][2]["area"] = 170  # of 162 pixels
    line = "2 of 4 annotations have an area that isn't their mask's: APs, APm and APl go by that area"
    assert remarks(masks(), content) == [line]


def test_an_annotation_with_id_0_counts_here_but_not_in_pycocotools() -> None:
    """As pycocotools itself has it."""
    content = truth()
    content["annotations"][0]["id"] = 0
    evaluated = bcnet.evaluate(content, masks(), draws=2).metrics
    assert evaluated["provenance"]["remarks"] == [
        "an annotation has id 0: pycocotools counts what finds it as wrong, so its AP is lower than here"
    ]
    assert evaluated["segm"]["AP"] == 1
    assert by_pycocotools(content) < 1
    assert by_pycocotools(truth()) == pytest.approx(1)


def by_pycocotools(content: dict[str, Any]) -> float:
    """AP of perfect masks."""

    def whole(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        extra = {"iscrowd": 0, "area": 50, "bbox": [0, 0, 1, 1]}
        return [{**extra, **entry, "segmentation": encode(entry["segmentation"])} for entry in entries]

    reference = COCO()
    reference.dataset = {**content, "annotations": whole(content["annotations"])}
    reference.createIndex()
    evaluation = COCOeval(reference, reference.loadRes(whole(masks())), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def test_equal_scores() -> None:
    line = "all scores are 0.5: the order of the file decides which detection is taken first"
    assert remarks(masks(score=0.5)) == [line]
    assert remarks(masks(score=0.5)[:1]) == []


def test_empty_masks() -> None:
    predictions = masks()
    predictions[2]["segmentation"] = mask((0, 0, 0, 0))
    assert remarks(predictions) == ["1 of 4 predicted masks are empty: they count as wrong"]


def test_coordinates_from_0_to_1() -> None:
    small = masks(segmentation=[[0.1, 0.1, 0.6, 0.1, 0.6, 0.9]])
    assert any(line.startswith("all 4 predicted masks have one pixel or none") for line in remarks(small))
    shares = boxes(lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT])
    assert remarks(shares) == ["all 4 boxes have coordinates from 0 to 1: expected pixels"]


def test_boxes_far_outside() -> None:
    found = boxes(lambda x, y, w, h: [x, y, x + w, y + h])
    line = "2 of 4 boxes reach far outside their image: expected [x, y, width, height] in pixels"
    assert line in remarks(found)  # those of x + x + w > 44 or y + y + h > 33
    assert remarks(boxes(lambda x, y, w, h: [x, y, min(w, 43 - x), h])) == []


@pytest.mark.parametrize("step", [1, -1])
def test_shifted_categories(step: int) -> None:
    content = truth()
    content["categories"].append({"id": 0, "name": "c0"})
    predictions = masks()
    for entry in predictions:
        entry["category_id"] += step
    found = bcnet.evaluate(content, predictions, draws=2).metrics
    assert found["segm"]["AP"] == 0
    assert found["provenance"]["remarks"] == [
        "4 of 4 detections are of objects of another category, 0 of their own: category ids look shifted, mostly by "
        f"{step:+d}"
    ]
    mixed = masks()
    for entry in mixed[1:]:
        entry["category_id"] += step
    assert remarks(mixed, content) == []  # a detector that confuses categories


def test_partial_annotation() -> None:
    content = truth()
    content["images"][0]["neg_category_ids"] = [2]
    assert remarks(masks(), content)[0].startswith("LVIS annotates each image for some categories only")


@pytest.mark.parametrize("big", [False, True])
def test_a_byte_order_mark_is_read_over(big: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = truth()
    for annotation, box in zip(content["annotations"], BOXES, strict=True):
        x, y, w, h = box
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    found = [
        entry | {"segmentation": it["segmentation"]} for entry, it in zip(masks(), content["annotations"], strict=True)
    ]
    if big:
        found = copy.deepcopy([entry | {"more": {"a": [{}]}} for entry in found])
    (tmp_path / "mine.json").write_text("\ufeff" + json.dumps(found), encoding="utf-8")
    files = ["--annotations", str(tmp_path / "truth.json"), "--predictions", str(tmp_path / "mine.json")]
    assert main(["evaluate", *files, "--out", str(tmp_path / "m.json"), "--draws", "2"]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["segm"]["AP"] == 1
    capsys.readouterr()
    for name in ("mine", "truth"):
        text = (tmp_path / f"{name}.json").read_text(encoding="utf-8-sig")
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-16")
        assert main(["evaluate", *files, "--out", str(tmp_path / "m.json")]) == 2
        assert "UTF-16 text, expected UTF-8" in capsys.readouterr().err
