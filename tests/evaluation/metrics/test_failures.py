"""How objects fare: by plain questions about all detections, and in cases drawn by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bcnet.evaluation.metrics.failures import BADLY_LOCALISED, BOTH, FOUND, MISSED, NAMES, WRONG_CLASS, failures


def of(ious, category, score, object_category):
    ious = np.array(ious, float).reshape(len(category), len(object_category))
    return failures(ious, np.array(category, int), np.array(score, float), np.array(object_category, int)).tolist()


def slowly(ious, category, score, object_category):
    for place, wanted in enumerate(object_category):
        heard = [
            (iou[place], each == wanted) for iou, each, sure in zip(ious, category, score, strict=True) if sure >= 0.3
        ]
        if any(right and iou >= 0.75 for iou, right in heard):
            yield "found"
        elif any(iou >= 0.75 for iou, _ in heard):
            yield "wrong_class"
        elif any(right and iou >= 0.1 for iou, right in heard):
            yield "badly_localised"
        elif any(iou >= 0.1 for iou, _ in heard):
            yield "both"
        else:
            yield "missed"


SHARES = st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.3, 0.31, 0.5, 0.7499, 0.75, 0.9, 1.0])


@given(st.data(), st.integers(0, 6), st.integers(0, 4))
def test_every_object_fares_as_the_definition_says(data, detections, objects):
    case = (
        data.draw(arrays(float, (detections, objects), elements=SHARES)),
        data.draw(arrays(int, detections, elements=st.integers(0, 2))),
        data.draw(arrays(float, detections, elements=SHARES)),
        data.draw(arrays(int, objects, elements=st.integers(0, 2))),
    )
    assert [NAMES[each] for each in failures(*case)] == list(slowly(*case))


@pytest.mark.parametrize(
    ("iou", "score", "same", "different"),
    [
        (0.75, 0.3, FOUND, WRONG_CLASS),
        (0.7499, 0.3, BADLY_LOCALISED, BOTH),
        (0.1, 0.3, BADLY_LOCALISED, BOTH),
        (0.0999, 1, MISSED, MISSED),
        (1, 0.2999, MISSED, MISSED),
    ],
)
def test_thresholds(iou, score, same, different):
    assert of([iou], [5], [score], [5]) == [same]
    assert of([iou], [6], [score], [5]) == [different]


FRONT = np.zeros((20, 20), bool)
FRONT[:, 6:14] = True
BEHIND = np.zeros((20, 20), bool)
BEHIND[5:15] = True
BEHIND &= ~FRONT


def ious_of(*predicted):
    return [[(p & o).sum() / (p | o).sum() for o in (FRONT, BEHIND)] for p in predicted]


def test_two_overlapping_objects():
    perfect, swapped = ious_of(FRONT, BEHIND), ious_of(BEHIND, FRONT)
    assert of(perfect, [1, 2], [0.9, 0.9], [1, 2]) == [FOUND, FOUND]
    assert of(swapped, [1, 2], [0.9, 0.9], [1, 2]) == [WRONG_CLASS, WRONG_CLASS]
    assert of(swapped, [1, 1], [0.9, 0.9], [1, 1]) == [FOUND, FOUND]  # of one category they are just found
    bleeding = ious_of(FRONT, FRONT | BEHIND)
    assert of(bleeding, [1, 2], [0.9, 0.9], [1, 2]) == [FOUND, BADLY_LOCALISED]
    assert of([], [], [], [1, 2]) == [MISSED, MISSED]


def test_one_detection_may_find_several_objects():
    assert of([[0.8, 0.8]], [1], [0.9], [1, 1]) == [FOUND, FOUND]


def test_a_right_category_goes_before_a_better_mask():
    assert of([0.2, 0.6], [1, 2], [0.9, 0.9], [1]) == [BADLY_LOCALISED]
    assert of([0.2, 0.8], [1, 2], [0.9, 0.9], [1]) == [WRONG_CLASS]
