"""Wrong predictions end in one line that names the place and what was expected."""

import gzip
import json
import os
import pickle

import pytest
from evaluation_factory import boxes, made, with_occluders

from bcnet.data.coco import prediction_file, prediction_format
from bcnet.files import InputError


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
        ('"text"', "mine.json: expected COCO's result format, a list of predictions"),
        ("3", "mine.json: expected COCO's result format, a list of predictions"),
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
        (
            gzip.compress(b"[]", mtime=0),
            "expected COCO's result format, a list of predictions; this is gzip: unpack it",
        ),
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


BAD_PREDICTIONS = [
    ("image_id", 4, "image_id: 4: no image has this id, there are 8, with ids from 1 to 71"),
    (
        "image_id",
        "1",
        'image_id: "1": no image has this id, it names image 1 .`bcnet predict` with --annotations writes ids',
    ),
    ("image_id", [1], r"image_id: \[1\]: no image has this id"),
    ("category_id", 4, "category_id: 4: no category has this id, there are "),
    ("category_id", True, "category_id: true: no category has this id"),
    ("score", "high", 'score: "high": expected a finite number'),
    ("score", None, "score: null: expected a finite number"),
    ("segmentation", None, "segmentation is null, expected polygons"),
    ("segmentation", {"size": [9, 9], "counts": "abc"}, r"RLE size is \[9, 9\], expected the image's"),
]


@pytest.mark.parametrize(("key", "value", "problem"), BAD_PREDICTIONS)
def test_a_wrong_prediction_is_named(read, key, value, problem):
    _, predictions = made(0)
    predictions[2][key] = value
    with pytest.raises(InputError, match=f"mine.json: prediction at place 2 [(]from 0[)]: {problem}") as raised:
        read(predictions)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c[:-3], lambda c: c + "1", lambda c: "é" + c, lambda c: ""]
)
def test_a_broken_mask_is_named(read, change):
    _, predictions = made(0)
    predictions[3]["segmentation"]["counts"] = change(predictions[3]["segmentation"]["counts"])
    with pytest.raises(InputError, match=r"mine.json: prediction at place 3 [(]from 0[)]: RLE counts"):
        read(predictions)


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, -3, 4], [1, 2, 3, "4"]])
def test_a_wrong_box_is_named(read, box):
    _, predictions = made(0)
    wrong = [*boxes(predictions)[:2], {**boxes(predictions)[2], "bbox": box}]
    with pytest.raises(
        InputError, match=r"mine.json: prediction at place 2 [(]from 0[)]: bbox: .*expected \[x, y, width, height\]"
    ):
        read(wrong)


def test_an_entry_must_be_an_object(read):
    with pytest.raises(InputError, match=r"mine.json: prediction at place 0 [(]from 0[)]: 5: expected an object"):
        read([5])
