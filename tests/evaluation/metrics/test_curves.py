"""Curves: precision by recall is COCO's own, and what counts from a score is found by evaluating just that."""

import numpy as np
import pytest
from evaluation_factory import coco_api, made, tables

from bcnet.evaluation.metrics.curves import SCORES, best, by_score, precision_by_recall
from bcnet.evaluation.statistics.resampling import resampled, run_of


@pytest.mark.parametrize("seed", range(4))
def test_precision_by_recall_is_that_of_the_coco_api(seed):
    truth, predictions = made(seed)
    run = run_of(*tables(truth, predictions))
    precision = coco_api(truth, predictions, "segm").eval["precision"]  # threshold, recall, category, area, detections
    for threshold in (0, 5):
        theirs = precision[threshold, :, :, 0, 2]
        wanted = np.mean([of for of in theirs.T if of[0] > -1], axis=0)
        assert precision_by_recall(run, threshold) == pytest.approx(wanted)
    ap50 = resampled(run, np.ones((1, len(run.images)), np.uint16), ["AP50"])["AP50"][0]
    assert precision_by_recall(run, 0).mean() == pytest.approx(ap50)


@pytest.mark.parametrize("seed", range(4))
def test_from_a_score_on_it_is_as_if_the_other_detections_were_not_there(seed):
    truth, predictions = made(seed)
    detections, objects = tables(truth, predictions)
    precision, recall, f1 = by_score(detections, objects.num_rows)
    for place in (0, 30, 50, 90, 100):
        left = [each for each in predictions if each["score"] >= SCORES[place]]
        right = wrong = 0
        if left:
            for image in coco_api(truth, left, "segm").evalImgs:
                if image and image["aRng"] == [0, 1e10]:
                    matched, ignored = image["dtMatches"][0] > 0, image["dtIgnore"][0]
                    right += int(np.sum(matched & ~ignored))
                    wrong += int(np.sum(~matched & ~ignored))
        assert recall[place] == pytest.approx(right / objects.num_rows)
        if right + wrong:
            assert precision[place] == pytest.approx(right / (right + wrong))
            assert f1[place] == pytest.approx(2 * right / (right + wrong + objects.num_rows))


def test_without_objects_or_detections_nothing_is_precise():
    truth, _ = made(0)
    detections, objects = tables(truth, [])
    assert precision_by_recall(run_of(detections, objects), 0).tolist() == [0.0] * 101
    precision, recall, f1 = by_score(detections, objects.num_rows)
    assert np.isnan(precision).all()
    assert not recall.any()
    assert not f1.any()


def test_the_best_score_is_where_f1_is_highest_and_the_last_of_equal_ones():
    truth, predictions = made(0)
    detections, objects = tables(truth, predictions)
    values = by_score(detections, objects.num_rows)
    place = best(values)
    assert (values[2] <= values[2][place]).all()
    assert (values[2][place + 1 :] < values[2][place]).all()
    assert SCORES[best(by_score(tables(truth, [])[0], objects.num_rows))] == 1  # nothing is right: nothing is drawn
