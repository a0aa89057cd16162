"""Recall by occlusion at equal size, against sums written out object by object."""

import numpy as np
import pyarrow as pa
import pytest
from evaluation_factory import made, run_on, tables, vary_occlusion

from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT, LEAST, common_weights
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import drawn_numbers
from bcnet.evaluation.statistics.significance import draw_images

EDGES = {"box_cover": (0.0, 0.4, 1.0), "mask_cover": (0.0, 1.0), "max_box_iou": (0.0, 0.5, 1.0)}
SIDES = {"small": (0, 32), "medium": (32, 96), "large": (96, 1e5)}


def slow(rows: list[dict], chosen: list[int]) -> tuple[dict[str, float], list[float], list[float]]:
    """Weights of the areas, recall at equal size and raw recall in both bins of box_cover, images counting so often."""
    bins = [[row for row in rows if (row["box_cover"] >= 0.4) == late] for late in (False, True)]

    def inside(row: dict, name: str) -> bool:
        low, high = SIDES[name]
        return low**2 <= row["area"] <= high**2

    areas = [name for name in SIDES if all(sum(inside(row, name) for row in own) >= LEAST for own in bins)]
    counts = {name: sum(inside(row, name) for own in bins for row in own) for name in areas}

    def recall(own: list[dict]) -> float:
        times = [chosen[row["image"]] for row in own]
        levels = [sum(row[name] for name in MATCHED) / 10 for row in own]
        return sum(t * level for t, level in zip(times, levels, strict=True)) / sum(times)

    weights = {name: count / sum(counts.values()) for name, count in counts.items()}
    equal = [sum(w * recall([row for row in own if inside(row, name)]) for name, w in weights.items()) for own in bins]
    return weights, equal, [recall(own) for own in bins]


def test_recall_at_equal_size_is_that_of_common_weights():
    """On the split, and on every draw."""
    truth, predictions = made(3, images=30, objects=9)
    vary_occlusion(truth)
    run, table = run_on(truth, predictions), tables(truth, predictions)[1]
    times = draw_images(30, 5)
    drawn = drawn_numbers({"segm": run}, table, EDGES, ("AP",), times)
    rows = table.to_pylist()
    images = sorted({image["id"] for image in truth["images"]})
    for row in rows:
        row["image"] = images.index(row["image_id"])
    early, late = (Metric(EQUAL_SIZE, "box_cover", *ends) for ends in ((0.0, 0.4), (0.4, 1.0)))
    for place, chosen in enumerate(times.tolist()):
        weights, equal, raw = slow(rows, chosen)
        assert len(weights) == 2  # of small, medium and large ones
        assert [drawn[early].values[place], drawn[late].values[place]] == pytest.approx(equal)
        assert drawn[Metric(GAP, "box_cover")].values[place] == pytest.approx(raw[1] - raw[0])
        assert drawn[Metric(EQUAL_SIZE_GAP, "box_cover")].values[place] == pytest.approx(equal[1] - equal[0])
        assert drawn[Metric(KEPT, "box_cover")].values[place] == pytest.approx(equal[1] / equal[0])
    assert drawn[Metric(KEPT, "box_cover")].sample.objects == min(
        sum((row["box_cover"] >= 0.4) == late for row in rows) for late in (False, True)
    )


def test_size_alone_makes_no_gap():
    """Small objects are found at no threshold and large ones at all; occluded ones are mostly large."""
    large = np.array([True] * 20 + [False] * 80 + [True] * 80 + [False] * 20)
    cover = np.repeat([0.0, 0.9], 100)
    table = pa.table(
        {
            "area": np.where(large, 1e4, 100.0),
            **dict.fromkeys(MATCHED, large),
            **dict.fromkeys(("box_cover", "mask_cover", "max_box_iou"), cover),
            "n_occluders": np.ones(200, int),
            "same_category": np.zeros(200, bool),
            "failure": np.zeros(200, int),
            "leak": np.full(200, np.nan),
            "separated": np.zeros(200, bool),
        }
    )
    truth, predictions = made(0, images=1)
    run = run_on(truth, predictions)
    run = type(run)(**vars(run) | {"object_image": np.zeros(200, int), "object_category": np.zeros(200, int)})
    run = type(run)(**vars(run) | {"area": table["area"].to_numpy()})
    edges = dict.fromkeys(("box_cover", "mask_cover", "max_box_iou"), (0.0, 0.5, 1.0))
    drawn = drawn_numbers({"segm": run}, table, edges, (), np.ones((2, 1), np.uint16))
    assert drawn[Metric(GAP, "box_cover")].values[0] == pytest.approx(0.6)
    assert drawn[Metric(EQUAL_SIZE_GAP, "box_cover")].values[0] == pytest.approx(0)
    assert drawn[Metric(KEPT, "box_cover")].values[0] == pytest.approx(1)


def test_an_area_counts_if_every_bin_that_has_objects_has_enough_of_it():
    area = np.array([100.0] * LEAST + [5000.0] * LEAST + [100.0] * (LEAST - 1) + [5000.0] * 3 * LEAST)
    place = np.repeat([0, 2], [2 * LEAST, 4 * LEAST - 1])
    assert common_weights(area, place, 3) == {"medium": 1.0}
    more = common_weights(np.append(area, 100.0), np.append(place, 2), 3)
    assert more == {"small": pytest.approx(1 / 3), "medium": pytest.approx(2 / 3)}
    assert common_weights(area, np.full(len(area), -1), 3) == {}
