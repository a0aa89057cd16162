"""Intervals of the numbers of one run."""

import numpy as np
import pytest
from evaluation_factory import EDGES, made, run_on, tables
from scipy import stats

from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import drawn_numbers
from bcnet.evaluation.statistics.intervals import intervals
from bcnet.evaluation.statistics.significance import difference, draw_images

BINS = {"box_cover": EDGES, "mask_cover": (0.0, 1.0), "max_box_iou": (0.0, 1.0)}


def test_recall_of_a_bin_drawn_picture_by_picture():
    truth, predictions = made(0, images=12)
    table = tables(truth, predictions)[1]
    runs = {"segm": run_on(truth, predictions)}
    found = intervals(drawn_numbers(runs, table, BINS, ("AP",), draw_images(12, 200)))
    rows = table.to_pylist()
    images = sorted(image["id"] for image in truth["images"])
    drawn = []
    for times in draw_images(len(images), 200):
        flags = [
            each[name]
            for each in rows
            if each["box_cover"] >= 0.3
            for _ in range(times[images.index(each["image_id"])])
            for name in MATCHED
        ]
        drawn.append(np.mean(flags))
    about = {row["image_id"] for row in rows if row["box_cover"] >= 0.3}
    lengthened = stats.t.isf(0.025, len(about) - 1) / stats.norm.isf(0.025) * (len(about) / (len(about) - 1)) ** 0.5
    ends = lengthened * (np.quantile(drawn[1:], [0.025, 0.975]) - np.mean(drawn[1:]))
    assert found["AR box_cover 0.3-1"] == pytest.approx((drawn[0] + ends).clip(0, 1))
    assert found["found_separated"] is None  # none is
    assert {"AP", "found", "AR occluder none"} < found.keys()


def test_the_interval_of_a_number_is_that_of_its_difference_to_nothing():
    """One method for both: a difference to a method that finds nothing has the number's own interval."""
    truth, predictions = made(0, images=12)
    run, table = run_on(truth, predictions), tables(truth, predictions)[1]
    numbers = drawn_numbers({"segm": run}, table, BINS, ("AP",), draw_images(12, 200))
    drawn = numbers[Metric("AP")]
    between = difference(drawn.values[None], np.zeros((1, 201)), drawn.sample)
    assert intervals(numbers)["AP"] == [max(0, between.low), between.high]
