"""Predictions are read in blocks of any size, and in any right form, as they are read at once."""

import json

import numpy as np
import pytest
from evaluation_factory import boxes, columns, made, with_occluders
from hypothesis import given
from hypothesis import strategies as st

from bcnet.data.coco import prediction_file, prediction_format
from bcnet.data.masks.segmentation import run_lengths, segmentation_problem, to_rle
from bcnet.files import InputError


def assert_same(one: prediction_format.Predictions, other: prediction_format.Predictions) -> None:
    for name in (
        "image",
        "category",
        "score",
        "box_score",
        "texts",
        "ends",
        "boxes",
        "occluder_texts",
        "occluder_ends",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.iou_type, one.ids) == (other.iou_type, other.ids)


@pytest.mark.parametrize("block", [1, 50, 700, 5000, 1 << 24])
@pytest.mark.parametrize("space", [", ", ",", ",\n  "])
def test_blocks_of_any_size_give_the_same(read, monkeypatch, block, space):
    _, predictions = made(0)
    monkeypatch.setattr(prediction_file, "BLOCK", block)
    text = "[" + space.join(json.dumps(each) for each in predictions) + "]\n"
    assert_same(read(text), columns(predictions))
    by_box = boxes(predictions)
    assert_same(read("[" + space.join(json.dumps(each) for each in by_box) + "]"), columns(by_box, "bbox"))


@pytest.mark.parametrize("block", [50, 700, 1 << 24])
def test_predictions_may_have_an_occluder(read, monkeypatch, block):
    truth, predictions = made(0)
    predictions = with_occluders(predictions)
    monkeypatch.setattr(prediction_file, "BLOCK", block)
    found = read(predictions)
    assert_same(found, columns(predictions))
    assert 0 < len(found.occluder_texts) < len(found.texts)
    order = sorted(predictions, key=lambda each: (each["image_id"], -each["score"]))
    expected = [{key: value for key, value in each.items() if value is not None} for each in order]
    assert prediction_format.entries(found, truth["images"]) == expected
    whole = next(each for each in predictions if each.get("occluder"))
    whole["occluder"]["counts"] = run_lengths(whole["occluder"]["counts"]).tolist()
    assert_same(read(predictions), found)
    by_box = [{**each, "occluder": "not read"} for each in boxes(predictions)]
    assert not len(read(by_box).occluder_texts)


def test_another_way_to_write_masks_gives_the_same(read, monkeypatch):
    """Block by block, one of them not as the COCO API writes it."""
    truth, predictions = made(0)
    expected = columns(predictions)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    rle = predictions[4]["segmentation"]
    rle["counts"] = run_lengths(rle["counts"]).tolist()
    monkeypatch.setattr(prediction_file, "BLOCK", 400)
    assert_same(read(predictions), expected)
    polygon = next(each for each in truth["annotations"] if isinstance(each["segmentation"], list))
    size = sizes[polygon["image_id"]]
    (found,) = prediction_format.entries(read([{**polygon, "score": 1}]), truth["images"])
    assert found["segmentation"] == to_rle(polygon["segmentation"], *size)


def test_objects_within_predictions_are_no_border(read, monkeypatch):
    _, predictions = made(0)
    monkeypatch.setattr(prediction_file, "BLOCK", 90)
    more = [{"parts": [{"a": 1}, {"b": "}, {"}], **each} for each in predictions]
    assert_same(read(more), columns(predictions))


def test_predictions_of_images_that_are_left_out(read, monkeypatch):
    _, predictions = made(0)
    monkeypatch.setattr(prediction_file, "BLOCK", 500)
    strays = [{**predictions[0], "image_id": 7000, "category_id": 99}]
    assert_same(read([*strays, *predictions, *strays], frozenset({7000})), columns(predictions))
    odd = {**predictions[0], "segmentation": {"size": [1, 1], "counts": [1]}}
    with pytest.raises(
        InputError, match=r"place 1 [(]from 0[)]: RLE size is \[1, 1\]"
    ):  # places count what is left out
        read([*strays, odd], frozenset({7000}))


@pytest.mark.parametrize("block", [400, 1 << 20])
def test_boxes_may_have_scores_of_their_own(read, monkeypatch, block):
    truth, predictions = made(0)
    monkeypatch.setattr(prediction_file, "BLOCK", block)
    scored = [each | {"box_score": place / 100} for place, each in enumerate(predictions)]
    found = read(scored)
    assert found.box_score.tolist() == [place / 100 for place in range(len(predictions))]
    assert found.score.tolist() == [each["score"] for each in predictions]
    order = sorted(scored, key=lambda each: (each["image_id"], -each["score"]))
    assert prediction_format.entries(found, truth["images"]) == order
    scored[3]["box_score"] = None
    assert read(scored).box_score[3] == scored[3]["score"]
    by_box = [{**each, "box_score": 0.5} for each in boxes(predictions)]
    assert read(by_box).box_score.tolist() == found.score.tolist()
    quick = read(scored)
    counts = scored[0]["segmentation"]["counts"]
    scored[0] |= {"segmentation": scored[0]["segmentation"] | {"counts": run_lengths(counts).tolist()}}
    assert_same(read(scored), quick)  # entry by entry


@pytest.mark.parametrize("polygons", [False, True], ids=["quick", "entry by entry"])
def test_whole_ids_with_a_point_are_taken_by_both_readings(read, polygons):
    _, predictions = made(0)
    if polygons:
        predictions[0]["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
    pointed = [{**entry, **{key: float(entry[key]) for key in ("image_id", "category_id")}} for entry in predictions]
    assert_same(read(pointed), read(predictions))


@given(st.integers(0, 3), st.integers(0, 200), st.sampled_from("0o1~P `\x7fé"), st.booleans())
def test_a_quick_look_at_a_mask_says_what_a_long_one_does(seed, place, character, insert):
    truth, predictions = made(seed, images=1)
    size = (truth["images"][0]["height"], truth["images"][0]["width"])
    rle = predictions[0]["segmentation"]
    place %= len(rle["counts"])
    rle["counts"] = rle["counts"][:place] + character + rle["counts"][place + (not insert) :]
    assert prediction_format._is_plain_mask(rle, size) == (segmentation_problem(rle, *size) is None)
