"""Intervals of the numbers of one run, and the lines that `bcnet evaluate` prints."""

import numpy as np
import pytest
from evaluation_factory import EDGES, made, run_on, tables

from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.statistics.intervals import interval, intervals, summary
from bcnet.evaluation.statistics.significance import draw_images

BINS = {"box_cover": EDGES, "mask_cover": (0.0, 1.0), "max_box_iou": (0.0, 1.0)}


def test_recall_of_a_bin_drawn_picture_by_picture():
    truth, predictions = made(0, images=12)
    table = tables(truth, predictions)[1]
    found = intervals({"segm": run_on(truth, predictions)}, table, BINS, draws=200)
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
    shifted = np.sort(np.array(drawn[1:]) - np.mean(drawn[1:]) + drawn[0])
    low, high = found["AR box_cover 0.3-1"]
    assert shifted[4] <= low <= shifted[5] + 1e-12  # the 2.5th percentile of 200
    assert shifted[194] - 1e-12 <= high <= shifted[195]
    assert low < drawn[0] < high
    assert found["found_separated"] is None  # none is
    assert {"AP", "found", "AR occluder none"} < found.keys()


def test_an_interval_stays_within_0_and_1_and_around_the_number():
    assert interval(np.array([0.5, 0.7, 0.7, 0.7])) == pytest.approx([0.5, 0.5])
    low, high = interval(np.concatenate([[0.95], np.linspace(0.5, 1, 100)]))
    assert (high, low > 0.6) == (1.0, True)
    assert interval(np.array([np.nan, 0.5])) is interval(np.array([0.5, np.nan])) is None
    assert interval(np.array([0.5, np.nan, 0.25, 0.75])) == pytest.approx([0.2625, 0.7375])


def test_the_summary_has_a_line_for_every_number_that_is_known():
    metrics = {
        "segm": {"AP": 0.5},
        "bbox": {"AP": 0.6},
        "boundary": {"AP": 0.4},
        "failures": {"all": {"found": 0.3}, "occluded": None, "separated": {"found": None}},
        "leak": None,
        "recall": {"box_cover": [{"from": 0.0, "to": 0.1, "AR": 0.25}], "occluder": [{"occluder": "none", "AR": 0.75}]},
        "intervals": {
            "AP": [0.45, 0.55],
            "found": [0.2, 0.4],
            "leak": None,
            "AR box_cover 0-0.1": [0.2, 0.3],
            "AR occluder none": [0.7, 0.8],
        },
    }
    lines = [line.split("  ") for line in summary(metrics).splitlines()]
    assert [(line[0], line[-1].strip()) for line in lines] == [
        ("AP", "50.0 [45.0, 55.0]"),
        ("found", "30.0 [20.0, 40.0]"),
        ("AR box_cover 0-0.1", "25.0 [20.0, 30.0]"),
        ("AR occluder none", "75.0 [70.0, 80.0]"),
    ]
