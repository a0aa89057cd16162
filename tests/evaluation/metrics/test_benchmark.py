"""The occlusion benchmark of whole runs: pictures whose numbers can be told by looking."""

import json

import numpy as np
import pytest
from evaluation_factory import EDGES, coco_api, evaluated, made, object_rows
from pycocotools import mask as coco_mask

from bcnet.data.occlusion.convert import convert
from bcnet.evaluation.evaluate import evaluate
from bcnet.evaluation.metrics import benchmark
from bcnet.evaluation.metrics.occlusion.occlusion_bins import OCCLUDERS
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate

SIZE = (60, 100)
FRONT, BEHIND, APART = (30, 0, 20, 60), (10, 20, 60, 20), (80, 0, 20, 10)  # x, y, width, height


def pixels(box: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = box
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def rle(mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(SIZE), "counts": encoded["counts"].decode()}


VISIBLE = {"front": pixels(FRONT), "behind": pixels(BEHIND) & ~pixels(FRONT), "apart": pixels(APART)}


@pytest.fixture
def run(tmp_path):
    """Evaluate masks of a bar in front of a bar, which it splits, and of an object beside them; `kinds`: categories."""

    def run(predicted: dict[str, np.ndarray], kinds: dict[str, int] | None = None, classes: dict | None = None) -> dict:
        kinds = kinds or dict.fromkeys(VISIBLE, 1)
        annotations = [
            {"id": place, "image_id": 1, "category_id": kinds[name], "segmentation": rle(mask), "iscrowd": 0}
            for place, (name, mask) in enumerate(VISIBLE.items(), start=1)
        ]
        truth = {
            "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "bar"}, {"id": 2, "name": "pole"}],
        }
        (tmp_path / "plain.json").write_text(json.dumps(truth))
        convert(tmp_path / "plain.json", tmp_path / "truth.json", Convert(), jobs=1)
        predictions = [
            {"image_id": 1, "category_id": (classes or kinds)[name], "score": 0.9, "segmentation": rle(mask)}
            for name, mask in predicted.items()
        ]
        (tmp_path / "mine.json").write_text(json.dumps(predictions))
        settings = Evaluate(cover_bins=(0.0, 0.1, 1.0))
        evaluate(tmp_path / "truth.json", tmp_path / "mine.json", tmp_path / "out.json", settings)
        return json.loads((tmp_path / "out.json").read_text())

    return run


def shares(failures: dict) -> dict:
    return {name: value for name, value in failures.items() if value and name != "objects"}


def test_perfect_predictions(run):
    metrics = run(VISIBLE)
    for rows in metrics["recall"].values():
        for row in rows:
            if row["objects"]:
                assert {row[name] for name in ("AR", "AR50", "AR75")} == {1}
                assert (row["AP"], row["APn"]) == (pytest.approx(1), pytest.approx(1))
    assert [row["objects"] for row in metrics["recall"]["box_cover"]] == [2, 1]
    assert [row["objects"] for row in metrics["recall"]["occluder"]] == [2, 0, 1]
    assert {name: group["objects"] for name, group in metrics["failures"].items()} == {
        "all": 3,
        "occluded": 1,
        "separated": 1,
    }
    assert [shares(group) for group in metrics["failures"].values()] == [{"found": 1}] * 3
    assert metrics["leak"] == {"objects": 1, "rate": 0}
    assert metrics["tide"]["AP50"] == pytest.approx(1)
    assert set(metrics["tide"]["count"].values()) == {0}
    assert metrics["calibration"]["ECE"] == pytest.approx(0.1)
    assert [row["segm"]["AP"] for row in metrics["categories"]] == [pytest.approx(1)]
    assert (metrics["categories"][0]["name"], metrics["categories"][0]["objects"]) == ("bar", 3)
    assert metrics["boundary"]["AP"] == pytest.approx(1)


def test_pixels_of_the_front_given_to_the_one_behind(run):
    """20 x 20 pixels of the overlap: the front keeps 800 of 1200, the one behind gets 400 to its 800."""
    metrics = run({"front": VISIBLE["front"] & ~pixels(BEHIND), "behind": pixels(BEHIND), "apart": VISIBLE["apart"]})
    # both have an IoU of two thirds: found at .50, .55, .60 and .65
    assert [row["AR"] for row in metrics["recall"]["box_cover"]] == [pytest.approx((0.4 + 1) / 2), pytest.approx(0.4)]
    assert shares(metrics["failures"]["occluded"]) == {"badly_localised": 1}
    assert shares(metrics["failures"]["all"]) == {
        "found": pytest.approx(1 / 3),
        "badly_localised": pytest.approx(2 / 3),
    }
    assert metrics["leak"] == {"objects": 1, "rate": pytest.approx(400 / 1200)}


def test_a_mask_that_bleeds_into_the_occluder(run):
    bled = VISIBLE["behind"] | (pixels(BEHIND) & pixels((30, 0, 5, 60)))  # 5 x 20 pixels of the front bar
    metrics = run({**VISIBLE, "behind": bled})
    assert metrics["leak"] == {"objects": 1, "rate": pytest.approx(100 / 900)}
    assert shares(metrics["failures"]["separated"]) == {"found": 1}  # 800 of 900


def test_wrong_classes_and_masks(run):
    half = pixels((10, 20, 20, 20))  # the left one of the two parts: IoU .5
    metrics = run({"front": VISIBLE["front"], "behind": half}, classes={"front": 2, "behind": 2})
    assert shares(metrics["failures"]["all"]) == {
        name: pytest.approx(1 / 3) for name in ("wrong_class", "both", "missed")
    }
    assert metrics["tide"]["count"] == {"Cls": 2, "Loc": 0, "Both": 0, "Dupe": 0, "Bkg": 0, "Miss": 1}
    assert metrics["leak"] == {"objects": 0, "rate": None}


def test_occluders_of_another_category(run):
    metrics = run({"front": VISIBLE["front"]}, kinds={"front": 2, "behind": 1, "apart": 1})
    none, other, same = metrics["recall"]["occluder"]
    assert (none["occluder"], other["occluder"], same["occluder"]) == OCCLUDERS
    assert (none["objects"], other["objects"], same["objects"]) == (2, 1, 0)
    assert (none["AR"], other["AR"], same["AR"]) == (0.5, 0, None)


def test_nothing_predicted(run):
    metrics = run({})
    assert all(
        row["AR"] in (0, None) and row["APn"] in (0, None) for rows in metrics["recall"].values() for row in rows
    )
    assert shares(metrics["failures"]["all"]) == {"missed": 1}
    assert metrics["leak"] == {"objects": 0, "rate": None}
    assert metrics["tide"]["count"]["Miss"] == 3
    assert metrics["tide"]["gain"]["Miss"] == 0  # as TIDE has it: a category without objects left has an AP of 0
    assert metrics["calibration"]["why"] == "no detections"


@pytest.mark.parametrize("seed", range(3))
def test_bins_and_groups_by_plain_counting(seed):
    truth, predictions = made(seed)
    random = np.random.default_rng(seed)
    for annotation in truth["annotations"]:
        annotation["occlusion"] |= {
            "n_occluders": int(random.integers(3)),
            "same_category": bool(random.random() < 0.5),
            "mask_cover": float(random.choice([0, 0.02, 0.5])),
        }
    detections, objects, became = evaluated(truth, predictions)
    table = object_rows(truth, detections, objects, became)
    bins = {"box_cover": EDGES, "mask_cover": (0.0, 0.02, 1.0), "max_box_iou": (0.0, 1.0)}
    numbers = benchmark.by_occlusion(table, bins, detections, objects, became)
    rows = table.to_pylist()
    for measure, edges in bins.items():
        for index, row in enumerate(numbers[measure]):
            low, high = edges[index : index + 2]
            inside = [each for each in rows if low <= each[measure] < high or each[measure] == high == 1]
            assert (row["from"], row["to"], row["objects"]) == (low, high, len(inside))
            for name, thresholds in (("AR", range(50, 100, 5)), ("AR50", [50]), ("AR75", [75])):
                found = [each[f"matched_{threshold}"] for each in inside for threshold in thresholds]
                assert row[name] == pytest.approx(sum(found) / len(found))
    (whole,) = numbers["max_box_iou"]
    assert whole["AP"] == pytest.approx(whole["APn"])
    assert whole["AP"] == pytest.approx(coco_api(truth, predictions, "segm").stats[0], abs=1e-12)
    for row in numbers["occluder"]:
        kind = {"none": None, "other category": False, "same category": True}[row["occluder"]]
        inside = [each for each in rows if (each["same_category"] if each["n_occluders"] else None) == kind]
        assert row["objects"] == len(inside)
        assert row["AR50"] == pytest.approx(np.mean([each["matched_50"] for each in inside]))
