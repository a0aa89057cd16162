"""Predictions as they are read: in blocks or at once the same, and what is wrong with them is said."""

import gzip
import json
import os
import pickle

import numpy as np
import pytest
from evaluation_factory import boxes, columns, made
from hypothesis import given
from hypothesis import strategies as st

from bcnet.data.coco import prediction_file, prediction_format
from bcnet.data.masks.segmentation import run_lengths, segmentation_problem, to_rle
from bcnet.files import InputError


@pytest.fixture
def read(tmp_path):
    """Read text or content as a file of predictions of `made(0)`."""

    def read(content: object, left_out: frozenset[int] = frozenset()) -> prediction_format.Predictions:
        path = tmp_path / "mine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return prediction_file.read(path, made(0)[0], left_out)

    return read


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


def with_occluders(predictions: list[dict]) -> list[dict]:
    """Each third prediction has the mask of another one in its image as occluder, some have none as null."""
    first = {each["image_id"]: each["segmentation"] for each in reversed(predictions)}
    for place, each in enumerate(predictions):
        if place % 3 < 2:
            each["occluder"] = dict(first[each["image_id"]]) if place % 3 else None
    return predictions


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


@pytest.mark.parametrize(
    ("occluder", "line"),
    [
        ({"size": [9, 9], "counts": "1"}, r"occluder: RLE size is \[9, 9\], expected the image's"),
        ("RLE", 'occluder: segmentation is "RLE", expected polygons'),
        ([], r"occluder: segmentation is \[\], expected polygons"),
    ],
)
def test_a_wrong_occluder(read, occluder, line):
    _, predictions = made(0)
    predictions[2]["occluder"] = occluder
    with pytest.raises(InputError, match=f"mine.json: prediction at place 2 [(]from 0[)]: {line}"):
        read(predictions)


@pytest.mark.parametrize("change", [lambda counts: counts[:-1], lambda counts: counts + "1", lambda counts: "é"])
def test_an_occluder_whose_counts_are_broken(read, change):
    predictions = with_occluders(made(0)[1])
    predictions[1]["occluder"]["counts"] = change(predictions[1]["occluder"]["counts"])
    with pytest.raises(InputError, match=r"mine.json: prediction at place 1 [(]from 0[)]: occluder: RLE counts"):
        read(predictions)


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


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", r"mine.json: an empty file: expected .* \(no predictions: \[\]\)"),
        ('{"annotations": []}', "mine.json: expected COCO's result format, a list of predictions"),
        ("[{}", r"not valid JSON \(truncated\?\)"),
        ('[{"image_id": 1}, {"image_id"', r"not valid JSON \(truncated\?\): .*line 1 column"),
        ("[" * 100_000, r"not valid JSON \(truncated\?\): maximum recursion"),
        ('{"annotations": []}', "; this is a file of annotations: `--annotations` reads it"),
        ('{"results": []}', "; this is an object: take the list out of it"),
        ('{"image_id": 1}\n{"image_id": 1}', "; these are JSON lines: put them into one list"),
        ("PK\x03\x04", "; this is a zip file: unpack it"),
        ("[][]", r"not valid JSON \(several lists in one file\? join them to one\)"),
        ("\x00garbage", "expected COCO's result format"),
        ("[garbage", "not valid JSON"),
    ],
)
def test_what_is_no_list_of_predictions(read, content, line):
    with pytest.raises(InputError, match=line) as error:
        read(content)
    assert "\n" not in str(error.value)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    handle = os.open(tmp_path / "pipe.json", os.O_RDWR)  # so that opening it does not wait for a writer
    try:
        with pytest.raises(InputError, match=r"pipe\.json: no regular file \(a pipe\?\): expected COCO's result"):
            prediction_file.read(tmp_path / "pipe.json", made(0)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'[{"image_id": "\xff\xfe"}]', "not valid JSON"),
        (gzip.compress(b"[]"), "expected COCO's result format, a list of predictions; this is gzip: unpack it"),
        (pickle.dumps([]), "expected COCO's result format, a list of predictions; this is a pickle: write JSON"),
    ],
)
def test_bytes_that_are_no_text(read, tmp_path, content, line):
    (tmp_path / "bytes.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"bytes\.json: {line}"):
        prediction_file.read(tmp_path / "bytes.json", made(0)[0])


def test_a_list_without_end_is_not_read_to_its_end(read, monkeypatch):
    monkeypatch.setattr(prediction_file, "BLOCK", 1000)
    monkeypatch.setattr(prediction_file, "LONGEST", 5000)
    with pytest.raises(InputError, match="no end of a prediction in 5000 bytes: expected COCO's result format"):
        read("[" + "0," * 50_000 + "0]")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers(read, value):
    _, predictions = made(0)
    predictions[3]["score"] = value
    with pytest.raises(
        InputError, match=f"prediction at place 3 [(]from 0[)]: score: {json.dumps(value)}: expected a finite number"
    ):
        read(predictions)
    with pytest.raises(InputError, match=r"place 0 [(]from 0[)]: score: Infinity: expected a finite number"):
        read(json.dumps(predictions[:1]).replace(str(predictions[0]["score"]), "1e999", 1))


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


@pytest.mark.parametrize("value", [float("nan"), "0.5", True])
def test_a_box_score_that_is_no_number(read, value):
    _, predictions = made(0)
    predictions[3]["box_score"] = value
    with pytest.raises(
        InputError,
        match=f"prediction at place 3 [(]from 0[)]: box_score: {json.dumps(value)}: expected a finite number",
    ):
        read(predictions)


@pytest.mark.parametrize("key", ["image_id", "category_id"])
@pytest.mark.parametrize("value", [1.5, 1e300, 2**70, -1, None, True])
def test_ids_are_whole_numbers_that_the_ground_truth_has(read, key, value):
    _, predictions = made(0)
    predictions[2][key] = value
    with pytest.raises(
        InputError, match=f"prediction at place 2 [(]from 0[)]: {key}: .*no (image|category) has this id"
    ):
        read(predictions)


@pytest.mark.parametrize("polygons", [False, True], ids=["quick", "entry by entry"])
def test_whole_ids_with_a_point_are_taken_by_both_readings(read, polygons):
    _, predictions = made(0)
    if polygons:
        predictions[0]["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
    pointed = [{**entry, **{key: float(entry[key]) for key in ("image_id", "category_id")}} for entry in predictions]
    assert_same(read(pointed), read(predictions))


def test_outlines_of_triples_are_refused(read):
    """Read as pairs they are other outlines; two of them may be so by chance."""
    _, predictions = made(0)
    outline = [0, 0, 1, 9, 0, 1, 9, 9, 1, 0, 9, 1]
    triples = [{**entry, "segmentation": [outline]} for entry in predictions[:3]]
    with pytest.raises(InputError, match=r"mine\.json: the polygons are x, y, z triples, expected x, y pairs"):
        read(triples)
    assert len(read(triples[:2])) == 2
    assert len(read([*triples, predictions[3] | {"segmentation": [outline[:8]]}])) == 4


def test_a_text_of_pythons_bytes_is_named(read):
    _, predictions = made(0)
    predictions[1]["segmentation"]["counts"] = str(predictions[1]["segmentation"]["counts"].encode())
    with pytest.raises(
        InputError, match=r"prediction at place 1 [(]from 0[)]: RLE counts are .*, Python's text of bytes, expected"
    ):
        read(predictions)


@given(st.integers(0, 3), st.integers(0, 200), st.sampled_from("0o1~P `\x7fé"), st.booleans())
def test_a_quick_look_at_a_mask_says_what_a_long_one_does(seed, place, character, insert):
    truth, predictions = made(seed, images=1)
    size = (truth["images"][0]["height"], truth["images"][0]["width"])
    rle = predictions[0]["segmentation"]
    place %= len(rle["counts"])
    rle["counts"] = rle["counts"][:place] + character + rle["counts"][place + (not insert) :]
    assert prediction_format._is_plain_mask(rle, size) == (segmentation_problem(rle, *size) is None)


def remarks(predictions: list[dict], iou_type: str = "segm") -> str:
    return "; ".join(prediction_format.remarks(columns(predictions, iou_type), images=8))


def test_remarks_on_predictions():
    _, predictions = made(0)
    assert remarks(predictions) == ""
    assert remarks([]) == "there are no predictions: every number is 0"
    assert remarks([each for each in predictions if each["image_id"] > 20]) == "2 of 8 images have no predictions"
    assert remarks([*predictions, {**predictions[0], "score": 3}]).startswith("scores go from 0 to 3: they are no")
    assert remarks([{**each, "score": each["score"] - 0.5} for each in predictions]).startswith(
        "scores go from -0.5 to"
    )


def test_a_remark_on_box_scores_of_some_predictions():
    truth, predictions = made(0)
    images, count = len(truth["images"]), len(predictions)
    plain = prediction_format.remarks(columns(predictions), images)
    scored = [each | {"box_score": 0.5} for each in predictions]
    assert prediction_format.remarks(columns(scored), images) == plain
    line = f"2 of {count} predictions have no box_score: their boxes are ranked by score"
    assert prediction_format.remarks(columns([*predictions[:2], *scored[2:]]), images) == [*plain[:1], line, *plain[1:]]


def test_remarks_on_repeated_predictions():
    _, predictions = made(0)
    other = {**predictions[1], "score": predictions[1]["score"] + 1e-9}
    again = [predictions[1], *predictions, predictions[1], other, predictions[2]]
    assert remarks(again) == "3 predictions repeat another one exactly: all but one of equal ones count as wrong"
    assert remarks(boxes(again), "bbox") == remarks(again)
    shifted = boxes(predictions)
    shifted.append({**shifted[0], "bbox": [0, *shifted[0]["bbox"][1:]]})
    assert remarks(shifted, "bbox") == ""


def test_remarks_on_more_than_a_hundred():
    _, predictions = made(0)
    many = [{**predictions[0], "score": place / 200} for place in range(120)]
    rest = [each for each in predictions if each["image_id"] != predictions[0]["image_id"]]
    said = remarks(many + rest)
    assert "1 of 8 images have more than 100 predictions (image 1: 120): COCO's server takes no more" in said
    assert "20 predictions are not among the 100 best of a category in their image: COCO's evaluation does not" in said
    spread = [{**each, "category_id": (3, 7)[place % 2]} for place, each in enumerate(many)]
    assert "not among the 100 best" not in remarks(spread + rest)


def test_ids_of_predictions_are_not_read_but_said_to_repeat(read):
    _, predictions = made(0)
    with_ids = read([{**each, "id": place // 2} for place, each in enumerate(predictions)])
    assert f"{len(predictions) // 2} predictions have the id of another one: ids are not read" in "; ".join(
        prediction_format.remarks(with_ids, 8)
    )


@pytest.mark.parametrize("key", ["segmentation", "occluder"])
def test_a_mask_of_a_picture_turned_by_a_quarter_is_refused(read, key):
    """It has as many pixels, so that its runs alone look right."""
    truth, predictions = made(0)
    image = next(each for each in truth["images"] if each["height"] != each["width"])
    entry = next(each for each in predictions if each["image_id"] == image["id"])
    entry[key] = {**entry["segmentation"], "size": [image["width"], image["height"]]}
    with pytest.raises(InputError, match=rf"RLE size is \[{image['width']}, {image['height']}\], expected the image's"):
        read(predictions)


@pytest.mark.parametrize("name", ["deep/a.b.png", "a.b.png", "a.b", "7"])
def test_a_prediction_that_names_its_image_is_told_the_id(name: str):
    images = {5: {"id": 5, "height": 4, "width": 4}, 7: {"id": 7, "height": 4, "width": 4, "file_name": "deep/a.b.png"}}
    entry = {"image_id": name, "category_id": 1, "score": 1, "segmentation": []}
    way = "`bcnet predict` with --annotations writes ids; see docs/predictions.md"
    said = f'image_id: "{name}": no image has this id, it names image 7 ({way})'
    assert prediction_format.problem(entry, images, {1}, "segm") == said


@pytest.mark.parametrize("key", ["image_id", "category_id", "score", "segmentation"])
def test_a_key_that_is_not_there_is_missing(read, key: str):
    predictions = made(0)[1]
    del predictions[2][key]
    with pytest.raises(InputError, match=f"prediction at place 2 [(]from 0[)]: {key}: missing$"):
        read(predictions)


def test_annotations_are_no_predictions(read):
    with pytest.raises(InputError, match="score: missing: this is an annotation, and the file a list of annotations"):
        read(made(0)[0]["annotations"])
