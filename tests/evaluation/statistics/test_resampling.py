"""COCO's numbers of drawn images are those of the COCO API on these images, repeated."""

from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_factory import (
    CATEGORIES,
    EDGES,
    METRICS,
    boxes,
    coco_api,
    made,
    occlusion,
    repeated,
    rle,
    tables,
    vary_occlusion,
    without_ties_in_an_image,
)

from bcnet.data.coco.prediction_format import IouType
from bcnet.evaluation.matching.detection_table import schema
from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric, object_numbers
from bcnet.evaluation.statistics.resampling import Run, resampled, resampled_means, resampled_together, run_of

BINS = {"box_cover": EDGES, "mask_cover": (0.0, 0.5, 1.0), "max_box_iou": (0.0, 0.2, 1.0)}
KINDS = ("found", "wrong_class", "badly_localised", "both", "missed")
LOW, HIGH = (Metric("AR", "box_cover", *ends) for ends in (EDGES[:2], EDGES[2:]))


def measure(truth: dict, predictions: list[dict], iou_type: IouType = "segm") -> tuple[Run, dict]:
    """The run of predictions, and the numbers of objects."""
    detections, objects = tables(truth, predictions, iou_type)
    return run_of(detections, objects, iou_type), object_numbers(objects, BINS)


def numbers(measured: tuple[Run, dict], times: np.ndarray) -> list[dict]:
    """Of each row of `times`, COCO's metrics by name, and those of objects; None: undefined."""
    run, of_objects = measured
    times = np.array(times, np.uint16)
    found = resampled(run, times, METRICS) | resampled_means(run, times, of_objects)
    return [
        {key: None if np.isnan(row) else row for key, row in zip(found, rows, strict=True)}
        for rows in zip(*found.values(), strict=True)
    ]


def expected(truth: dict, predictions: list[dict], iou_type: IouType = "segm") -> dict:
    """The COCO API's numbers, and those of objects by plain counting."""
    stats = coco_api(truth, predictions, iou_type).stats
    found = {name: None if value == -1 else value for name, value in zip(NAMES, stats, strict=True) if name in METRICS}
    return found | of_objects(truth, predictions, iou_type)


def of_objects(truth: dict, predictions: list[dict], iou_type: IouType) -> dict:
    rows = tables(truth, predictions, iou_type)[1].to_pylist()
    groups: dict[Metric, list[float]] = {}
    for group, inside in {
        "": lambda row: True,
        "_occluded": lambda row: (row["n_occluders"] or 0) > 0,
        "_separated": lambda row: row["separated"],
    }.items():
        for place, kind in enumerate(KINDS):
            groups[Metric(kind + group)] = [float(row["failure"] == place) for row in rows if inside(row)]
    groups[Metric("leak")] = [row["leak"] for row in rows if row["leak"] is not None]

    def recall(rows: list[dict]) -> list[float]:
        return [float(row[name]) for row in rows for name in MATCHED]

    for measure, edges in BINS.items():
        for low, high in pairwise(edges):
            inside = [row for row in rows if row[measure] is not None]
            inside = [row for row in inside if low <= row[measure] < high or row[measure] == high == 1]
            groups[Metric("AR", measure, low, high)] = recall(inside)
    for kind, same in (("none", None), ("other category", False), ("same category", True)):
        inside = [row for row in rows if row["n_occluders"] is not None]
        inside = [row for row in inside if (row["same_category"] if row["n_occluders"] else None) is same]
        groups[Metric("AR", "occluder", occluder=kind)] = recall(inside)
    return {metric: sum(values) / len(values) if values else None for metric, values in groups.items()}


def at_the_edges_of_the_areas(truth: dict, predictions: list[dict]) -> None:
    """Give some objects and some wrong detections areas of exactly 32² and 96²."""
    solid = [each for each in truth["annotations"] if not each["iscrowd"]]
    for annotation, area in zip(solid, (32**2, 96**2) * 3, strict=False):
        annotation["area"] = area
    image, category = truth["images"][1], CATEGORIES[1]
    truth["annotations"] = [  # of none here, so that nothing is matched with the wrong ones
        each for each in truth["annotations"] if (each["image_id"], each["category_id"]) != (image["id"], category)
    ]
    for side, score in ((32, 0.97), (96, 0.98)):
        mask = rle((side // 32, 2, side, side), (image["height"], image["width"]))
        stray = {"image_id": image["id"], "category_id": category, "score": score, "segmentation": mask}
        predictions.append(stray)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_all_images_once_is_the_evaluation(seed, iou_type):
    truth, predictions = made(seed, images=12)  # crowds, and equal scores within an image
    vary_occlusion(truth)
    predictions = boxes(predictions) if iou_type == "bbox" else predictions
    (found,) = numbers(measure(truth, predictions, iou_type), np.ones((1, 12)))
    assert found == pytest.approx(expected(truth, predictions, iou_type), abs=1e-12)
    assert found["APs"] != found["APl"]


@pytest.mark.parametrize(("seed", "iou_type"), [*((seed, "segm") for seed in range(6)), (0, "bbox"), (1, "bbox")])
def test_drawn_images_are_images_that_are_there_several_times(seed, iou_type):
    truth, predictions = made(seed, images=9)
    vary_occlusion(truth)
    predictions = without_ties_in_an_image(predictions)
    at_the_edges_of_the_areas(truth, predictions)
    predictions = boxes(predictions) if iou_type == "bbox" else predictions
    times = np.random.default_rng(seed).multinomial(9, np.full(9, 1 / 9), size=4)
    times[0, :3] = (5, 0, 0)
    for found, row in zip(numbers(measure(truth, predictions, iou_type), times), times, strict=True):
        assert found == pytest.approx(expected(*repeated(truth, predictions, row), iou_type), abs=1e-12)


def test_a_category_and_a_bin_that_a_draw_lacks():
    """The mean is over the categories that are there; nothing at all is None."""
    size, box = (40, 40), (2, 3, 12, 14)
    truth, _ = made(0, images=3)
    keys = {"segmentation": rle(box, size), "bbox": list(box), "area": 168, "iscrowd": 0}
    places = [(1, CATEGORIES[0], 0.0), (11, CATEGORIES[1], 0.5)]  # the third picture is empty
    truth["images"] = [{**image, "height": 40, "width": 40} for image in truth["images"]]
    truth["annotations"] = [
        {"id": place, "image_id": image, "category_id": category, **keys, "occlusion": occlusion(cover)}
        for place, (image, category, cover) in enumerate(places, start=1)
    ]
    right = {"image_id": 1, "category_id": CATEGORIES[0], "score": 0.5, "segmentation": rle(box, size)}
    stray = {**right, "image_id": 21, "category_id": CATEGORIES[2]}
    measured = measure(truth, [right, stray])
    both, first, second, neither = numbers(measured, np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 0, 3]]))
    assert (both["AP"], first["AP"], second["AP"], neither["AP"]) == (pytest.approx(0.5), pytest.approx(1), 0, None)
    assert (both["AR100"], first["AR100"], second["AR100"], neither["AR100"]) == (0.5, 1, 0, None)
    assert (first[LOW], first[HIGH], second[LOW], second[HIGH]) == (1, None, None, 0)
    assert both["APl"] is both["APm"] is None


def test_runs_that_are_drawn_together_are_each_as_alone():
    """Masks, boxes and boundaries rank the same detections alike; other predictions do not."""
    truth, predictions = made(2, images=9)
    runs = {kind: run_of(*tables(truth, predictions), kind) for kind in ("segm", "bbox", "boundary")}
    runs["fewer"] = run_of(*tables(truth, predictions[::2]))
    times = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=60).astype(np.uint16)
    asked = dict.fromkeys(runs, METRICS) | {"bbox": ["AP", "APs"], "boundary": ["AR10"]}
    together = resampled_together(runs, times, asked)
    assert {kind: list(found) for kind, found in together.items()} == {kind: list(of) for kind, of in asked.items()}
    for kind, found in together.items():
        alone = resampled(runs[kind], times, asked[kind])
        for metric in asked[kind]:
            np.testing.assert_array_equal(found[metric], alone[metric])
    assert not np.array_equal(together["segm"]["AP"], together["bbox"]["AP"])


def test_more_runs_than_a_word_has_room_for_are_each_as_alone():
    truth, predictions = made(2, images=9)
    kinds = ("segm", "bbox", "boundary")
    runs = {place: run_of(*tables(truth, predictions), kinds[place % 3]) for place in range(8)}
    times = np.ones((1, 9), np.uint16)
    for place, found in resampled_together(runs, times, {place: ["AP"] for place in runs}).items():
        np.testing.assert_array_equal(found["AP"], resampled(runs[place], times, ["AP"])["AP"])


def test_the_table_of_detections_has_a_row_for_every_image():
    truth, predictions = made(3)
    truth["images"].reverse()
    predictions = [each for each in predictions if each["image_id"] != 31]
    table, _ = tables(truth, predictions)
    assert table.schema == schema("segm")
    rows = table.to_pylist()
    assert [row["image_id"] for row in rows] == sorted(image["id"] for image in truth["images"])
    assert rows[3]["image_id"] == 31
    assert rows[3]["score"] == rows[3]["segm_matched_all"] == []
    for row in rows:
        mine = [each for each in predictions if each["image_id"] == row["image_id"]]
        mine.sort(key=lambda each: (each["category_id"], -each["score"]))
        assert row["category_id"] == [each["category_id"] for each in mine]
        assert row["score"] == [each["score"] for each in mine]
        assert not any(m & i for m, i in zip(row["segm_matched_all"], row["segm_ignored_all"], strict=True))


def test_only_the_hundred_best_of_a_category_and_image_count(tmp_path):
    truth, predictions = made(1, images=2)
    many = [{**each, "score": round(0.001 * k, 3)} for k, each in enumerate(8 * predictions)]
    assert len(many) > 100
    flooded = [{**each, "category_id": CATEGORIES[0], "image_id": 1} for each in many]
    for prediction in flooded:
        prediction["segmentation"] = rle((1, 1, 20, 20), tuple(truth["images"][0][key] for key in ("height", "width")))
    table, objects = tables(truth, many + flooded)
    assert len(table["score"][0]) < sum(each["image_id"] == 1 for each in many + flooded)
    pq.write_table(table, tmp_path / "detections.parquet")
    run = run_of(pq.read_table(tmp_path / "detections.parquet"), objects)
    (found,) = numbers((run, object_numbers(objects, BINS)), np.ones((1, 2)))
    assert found == pytest.approx(expected(truth, many + flooded), abs=1e-12)


def test_no_prediction_is_zero_and_no_object_is_nothing():
    truth, predictions = made(0)
    (found,) = numbers(measure(truth, []), np.ones((1, 8)))
    assert found.pop(Metric("leak")) is None  # nothing is matched
    assert {value for key, value in found.items() if isinstance(key, str)} == {0}
    missed = {Metric(f"missed{group}") for group in ("", "_occluded", "_separated")}
    assert {found.pop(metric) for metric in missed} <= {1, None}
    assert {value for key, value in found.items() if key not in METRICS} <= {0, None}
    truth["annotations"] = []
    (found,) = numbers(measure(truth, predictions), np.ones((1, 8)))
    assert set(found.values()) == {None}


def test_objects_that_were_not_converted_are_in_no_bin():
    truth, predictions = made(0)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    (found,) = numbers(measure(truth, predictions), np.ones((1, 8)))
    undefined = {metric for metric, value in found.items() if value is None}
    of_all = {Metric(kind) for kind in KINDS}
    assert undefined == {metric for metric in found if metric not in METRICS} - of_all
    assert found["AP"] > 0
