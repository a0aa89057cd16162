"""Calibration errors are hotcoco's and those of a plain loop."""

import numpy as np
import pytest
from error_factory import by_hotcoco, evidence
from evaluation_factory import made
from hypothesis import given
from hypothesis import strategies as st

from bcnet.evaluation.metrics.calibration import Calibration, calibration


def measured(truth: dict, predictions: list[dict]) -> Calibration:
    arrays = evidence(truth, predictions)
    return calibration(arrays["score"], arrays["object"] >= 0, arrays["ignored"])


@pytest.mark.parametrize("seed", range(8))
def test_equals_hotcoco(seed):
    """Scores are multiples of a tenth: the lower ends of bins."""
    truth, predictions = made(seed, images=12)
    predictions[0]["score"] = 1.0
    found, expected = measured(truth, predictions), by_hotcoco(truth, predictions).calibration()
    assert (found["ECE"], found["MCE"]) == (pytest.approx(expected["ece"]), pytest.approx(expected["mce"]))
    assert found["why"] is None
    for ours, theirs in zip(found["bins"], expected["bins"], strict=True):
        assert (ours["from"], ours["to"]) == pytest.approx((theirs["bin_lower"], theirs["bin_upper"]))
        assert ours["detections"] == theirs["count"]
        if theirs["count"]:
            assert ours["score"] == pytest.approx(theirs["avg_confidence"])
            assert ours["right"] == pytest.approx(theirs["avg_accuracy"])
        else:
            assert (ours["score"], ours["right"]) == (None, None)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1))
def test_equals_a_written_out_loop(detections):
    counted = [(score, matched) for score, matched, ignored in detections if not ignored]
    score, matched, ignored = (np.array(column) for column in zip(*detections, strict=True))
    found = calibration(score, matched, ignored)
    if not counted:
        assert (found["ECE"], found["bins"], found["why"]) == (None, None, "no detections")
        return
    expected, worst = 0.0, 0.0
    for index in range(10):
        inside = [each for each in counted if int(each[0] * 10) == index or (index == 9 and each[0] == 1)]
        assert found["bins"][index]["detections"] == len(inside)
        if inside:
            error = abs(sum(score for score, _ in inside) - sum(right for _, right in inside)) / len(inside)
            expected, worst = expected + error * len(inside) / len(counted), max(worst, error)
    assert (found["ECE"], found["MCE"]) == (pytest.approx(expected, abs=1e-12), pytest.approx(worst, abs=1e-12))


def test_scores_that_are_right_as_often_as_they_say_have_no_error():
    score = np.repeat([0.25, 0.75], 4)
    found = calibration(score, np.array([1, 0, 0, 0, 1, 1, 1, 0], bool), np.zeros(8, bool))
    assert (found["ECE"], found["MCE"]) == (0, 0)
    sure = calibration(np.ones(4), np.array([1, 0, 0, 0], bool), np.zeros(4, bool))
    assert (sure["ECE"], sure["MCE"], sure["bins"][9]["right"]) == (0.75, 0.75, 0.25)


@pytest.mark.parametrize("odd", [-0.5, 1.5, 90.0])
def test_scores_that_are_no_probabilities_have_none(odd):
    found = calibration(np.array([0.5, odd]), np.ones(2, bool), np.zeros(2, bool))
    low, high = min(0.5, odd), max(0.5, odd)
    assert found == {"ECE": None, "MCE": None, "bins": None, "why": f"scores of {low:g} to {high:g}, not 0 to 1"}
    truth, predictions = made(0)
    evaluator = by_hotcoco(truth, [{**each, "score": odd} for each in predictions])
    with pytest.raises(ValueError, match="requires scores in"):
        evaluator.calibration()
