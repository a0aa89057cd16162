"""TIDE's errors are those of hotcoco, and of cases that are made of one kind of error."""

import numpy as np
import pytest
from error_factory import DTYPES, by_hotcoco, evidence, told_apart
from evaluation_factory import evaluated, made, rle

from bcnet.evaluation.metrics.tide import WRONG, Tide, tide

NONE = dict.fromkeys((*WRONG, "Miss", "FP", "FN"), 0)


def agrees(found: Tide, expected: dict, but: tuple[str, ...] = ()) -> None:
    assert found["count"] == expected["counts"]
    assert found["AP50"] == pytest.approx(expected["ap_base"], abs=1e-12)
    gains = {name: gain for name, gain in found["gain"].items() if name not in but}
    assert gains == pytest.approx({name: expected["delta_ap"][name] for name in gains}, abs=1e-12)


def without_crowds(truth: dict) -> dict:
    return {**truth, "annotations": [each for each in truth["annotations"] if not each["iscrowd"]]}


@pytest.mark.parametrize("seed", range(30))
def test_equals_hotcoco(seed):
    """hotcoco puts a detection that changes its category behind equal scores: it gains as much where there are none."""
    truth, predictions = made(seed, objects=3 + seed % 8)
    truth = without_crowds(truth)
    expected = by_hotcoco(truth, predictions).tide_errors(pos_thr=0.5, bg_thr=0.1)
    agrees(tide(**evidence(truth, predictions)), expected, but=("Cls",))
    predictions = told_apart(predictions, seed)
    expected = by_hotcoco(truth, predictions).tide_errors(pos_thr=0.5, bg_thr=0.1)
    agrees(tide(**evidence(truth, predictions)), expected)


@pytest.mark.parametrize("seed", range(10))
def test_crowds_only_take_detections_away(seed):
    """So it is in tidecv; hotcoco counts an IoU of .1 to .5 with a crowd as Loc, so it is given neither."""
    truth, predictions = made(seed)
    predictions = told_apart(sorted(predictions, key=lambda each: (each["image_id"], each["category_id"])), seed)
    predictions.sort(key=lambda each: (each["image_id"], each["category_id"], -each["score"]))  # as in `evidence`
    arrays = evidence(truth, predictions)
    kept = [each for each, ignored in zip(predictions, arrays["ignored"], strict=True) if not ignored]
    assert len(kept) < len(predictions)
    expected = by_hotcoco(without_crowds(truth), kept).tide_errors(pos_thr=0.5, bg_thr=0.1)
    agrees(tide(**arrays), expected)


def test_categories_of_crowds_alone_do_not_count():
    truth, right = squares((0, 0, 1), (50, 0, 2))
    truth["annotations"][1]["iscrowd"] = 1
    found = tide(**evidence(truth, right))
    assert (found["AP50"], found["gain"], sum(found["count"].values())) == (1, NONE, 0)


@pytest.mark.parametrize("seed", range(4))
def test_what_evaluate_knows_of_detections_is_enough(seed):
    truth, predictions = made(seed)
    detections, objects, found = evaluated(truth, predictions)
    given = found.object[:, 0]
    assert tide(
        detections.category,
        detections.score,
        given,
        given == -2,
        found.same_iou,
        found.same_object,
        found.other_iou,
        found.other_object,
        objects.category,
        objects.crowd,
    ) == tide(**evidence(truth, predictions))


SIZE = (100, 200)


def squares(*corners: tuple[int, int, int]) -> tuple[dict, list[dict]]:
    """An image with an object of 20 by 20 pixels at each (x, y, category), and predictions that are equal to them."""
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": category, "name": f"kind {category}"} for category in (1, 2)],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": category,
                "segmentation": rle((x, y, 20, 20), SIZE),
                "bbox": [x, y, 20, 20],
                "area": 400,
                "iscrowd": 0,
            }
            for number, (x, y, category) in enumerate(corners, start=1)
        ],
    }
    return truth, [prediction(x, y, category, 0.9) for x, y, category in corners]


def prediction(x: int, y: int, category: int, score: float) -> dict:
    segmentation = rle((x, y, 20, 20), SIZE)
    return {"image_id": 1, "category_id": category, "score": score, "segmentation": segmentation}


FOUR = squares((0, 0, 1), (50, 0, 1), (100, 0, 2), (150, 0, 2))


def test_perfect_predictions_have_no_errors():
    found = tide(**evidence(*FOUR))
    assert found == {"AP50": 1, "gain": NONE, "count": {name: 0 for name in NONE if name not in ("FP", "FN")}}


@pytest.mark.parametrize(
    ("kind", "dx", "dy", "turned"),
    [("Loc", 10, 0, False), ("Cls", 0, 0, True), ("Both", 10, 0, True), ("Bkg", 0, 50, False)],
)
def test_predictions_that_all_err_in_one_way(kind, dx, dy, turned):
    """Shifted by half their width, of the other category, both, and where nothing is. Mending Loc or Cls finds all."""
    truth = FOUR[0]
    corners = [(each["bbox"][0] + dx, each["bbox"][1] + dy, each["category_id"]) for each in truth["annotations"]]
    predictions = [prediction(x, y, 3 - category if turned else category, 0.9) for x, y, category in corners]
    found = tide(**evidence(truth, predictions))
    assert found["AP50"] == 0
    assert {name: count for name, count in found["count"].items() if count} == {
        kind: 4,
        **({} if kind in ("Loc", "Cls") else {"Miss": 4}),
    }
    assert found["gain"] == NONE | ({kind: 1} if kind in ("Loc", "Cls") else {})


def test_duplicates_cost_precision():
    """Each object is found twice, in turn: the fourth of four by the seventh detection."""
    truth, right = squares(*[(20 * place, 0, 1) for place in range(4)])
    predictions = [
        {**each, "score": 1 - 0.01 * (2 * place + again)} for place, each in enumerate(right) for again in (0, 1)
    ]
    found = tide(**evidence(truth, predictions))
    assert found["count"] == dict.fromkeys(found["count"], 0) | {"Dupe": 4}
    assert found["AP50"] == pytest.approx((26 * 1 + 25 * (2 / 3 + 3 / 5 + 4 / 7)) / 101)
    assert found["gain"]["Dupe"] == found["gain"]["FP"] == pytest.approx(1 - found["AP50"])


def test_objects_without_predictions_are_missed():
    """Half of them; and with nothing predicted no object is left to be found, so that nothing is gained."""
    truth, right = FOUR
    found = tide(**evidence(truth, right[::2]))
    assert found["AP50"] == pytest.approx(51 / 101)
    assert found["count"] == dict.fromkeys(found["count"], 0) | {"Miss": 2}
    assert found["gain"] == pytest.approx(NONE | {"Miss": 50 / 101, "FN": 50 / 101})
    nothing = tide(**evidence(truth, []))
    assert (nothing["AP50"], nothing["gain"], nothing["count"]["Miss"]) == (0, NONE, 4)


def test_the_best_of_those_that_point_at_an_object_is_made_right():
    """Two Loc, the worse one nearer, and one at an object that is found."""
    truth, right = squares((0, 0, 1), (50, 0, 1))
    predictions = [prediction(12, 0, 1, 0.8), prediction(8, 0, 1, 0.7), right[1], prediction(62, 0, 1, 0.6)]
    found = tide(**evidence(truth, predictions))
    assert found["count"] == dict.fromkeys(found["count"], 0) | {"Loc": 3}
    assert found["gain"]["Loc"] == pytest.approx(1 - 51 / 101)  # .9, .8 right; the others are gone
    agrees(found, by_hotcoco(truth, predictions).tide_errors(pos_thr=0.5, bg_thr=0.1))


@pytest.mark.parametrize(
    ("same", "other", "kind"),
    [
        (0.1, 0.9, "Loc"),
        (0.5, 0.9, "Loc"),
        (0.09, 0.5, "Cls"),
        (0.51, 0.5, "Cls"),
        (0.51, 0.49, "Dupe"),
        (0.09, 0.1, "Bkg"),
        (0.0, 0.0, "Bkg"),
        (0.09, 0.11, "Both"),
        (0.09, 0.49, "Both"),
    ],
)
def test_kinds_at_their_limits(same, other, kind):
    """Of a detection beside a better one that has the object of its category."""
    rows = [(1, 0.9, 0, False, 1.0, 0, 0.0, -1), (1, 0.8, -1, False, same, 0, other, 1)]
    columns = {
        name: np.array(values, dtype)
        for (name, dtype), values in zip(DTYPES.items(), zip(*rows, strict=True), strict=True)
    }
    found = tide(**columns, object_category=np.array([1, 2]), crowd=np.zeros(2, bool))
    assert [name for name in WRONG if found["count"][name]] == [kind]


def test_without_objects_ap_is_undefined():
    truth, right = FOUR
    found = tide(**evidence({**truth, "annotations": []}, right))
    assert found == {
        "AP50": None,
        "gain": dict.fromkeys(NONE),
        "count": dict.fromkeys((*WRONG, "Miss"), 0) | {"Bkg": 4},
    }


@pytest.mark.parametrize("category", [1, 2])
def test_categories_without_objects_do_not_count(category):
    """A detection of one is an error all the same, and can be right in the category that it points at."""
    truth, right = squares((0, 0, category), (50, 0, category))
    predictions = [right[0], prediction(50, 0, 3 - category, 0.95)]
    found = tide(**evidence(truth, predictions))
    assert found["count"] == dict.fromkeys(found["count"], 0) | {"Cls": 1}
    assert (found["AP50"], found["gain"]["Cls"]) == (pytest.approx(51 / 101), pytest.approx(50 / 101))
    assert found["gain"]["FP"] == 0
