"""The quick reading of predictions gives what looking at them entry by entry does, and refuses what that refuses."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_factory import boxes, made
from hypothesis import given
from hypothesis import strategies as st

from bcnet.data.coco import prediction_file
from bcnet.data.coco.prediction_format import Predictions
from bcnet.files import InputError

SPACES = ["", " ", "\n\t", "\r "]
OTHERS = [None, True, -1.5e-3, 'a\\"{}', {"b": [1, {"c": "]"}]}, [[]], "", "é"]  # no border between predictions


def shuffled(entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The entry with its keys in another order, those of its masks too, and with keys that nothing reads."""
    more = {**entry, **{f"more {k}": rng.choice(OTHERS) for k in range(rng.randrange(3))}}
    more = {key: shuffled(value, rng) if key == "segmentation" and value else value for key, value in more.items()}
    keys = [key for key in more if "size" not in entry or not key.startswith("more")]
    return {key: more[key] for key in rng.sample(keys, len(keys))}


def varied(seed: int, masks: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A ground truth, and predictions with all that some may have."""
    rng = random.Random(seed)
    truth, predictions = made(seed, images=3)
    around = boxes(predictions)
    for entry, box in zip(predictions, around, strict=True):
        entry |= rng.choice([{}, {"occluder": None}, {"occluder": dict(entry["segmentation"])}])
        entry |= rng.choice([{}, {"box_score": rng.choice([None, 1, rng.random()])}])
        entry |= rng.choice([{}, {"bbox": rng.choice([None, box["bbox"]])}]) | rng.choice([{}, {"id": "a"}, {"id": 3}])
        entry["score"] = rng.choice([entry["score"], 0, 1e-7, 2**60, -0.5])
    entries = predictions if masks else around
    if not masks:
        entries[1]["segmentation"] = None  # passed over: the first entry has none
    return truth, [shuffled(entry, rng) for entry in entries]


def written(entries: list[dict[str, Any]], rng: random.Random) -> str:
    space = SPACES[rng.randrange(len(SPACES))]
    text = json.dumps(entries, separators=(f",{space}", f":{space}"), ensure_ascii=rng.random() < 0.5)
    return text.replace('{"', f'{{{space}"').replace("[{", f"[{space}{{")


def one_by_one(content: str, truth: dict[str, Any]) -> Predictions:
    return prediction_file.of_entries(Path("mine.json"), json.loads(content), truth)


def assert_same(found: Predictions, expected: Predictions) -> None:
    for name in ("image", "category", "score", "box_score", "box_scored", "texts", "ends", "boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.occluder_texts, expected.occluder_texts)
    np.testing.assert_array_equal(found.occluder_ends, expected.occluder_ends)
    assert found.iou_type == expected.iou_type
    assert [*map(str, found.ids)] == [*expected.ids]


@pytest.mark.parametrize("masks", [True, False], ids=["masks", "boxes"])
@pytest.mark.parametrize("seed", range(8))
def test_it_reads_what_entry_by_entry_is_read(tmp_path, monkeypatch, masks, seed):
    truth, entries = varied(seed, masks)
    rng = random.Random(seed)
    monkeypatch.setattr(prediction_file, "BLOCK", rng.choice([1, 300, 1 << 20]))
    path = tmp_path / "mine.json"
    path.write_text(written(entries, rng))
    scanned = prediction_file.scan(path)
    assert scanned
    monkeypatch.setattr(prediction_file, "_of_blocks", None)  # not by this way
    assert_same(prediction_file.read(path, truth, scanned=scanned), one_by_one(path.read_text(), truth))


LETTERS = '0 1.-,:"\\{}[]neutE\x00~é'


@given(st.integers(0, 5), st.booleans(), st.integers(0, 10**6), st.sampled_from(LETTERS), st.integers(0, 2))
def test_of_any_spoilt_text_it_says_what_entry_by_entry_is_said(tmp_path_factory, seed, masks, place, letter, removed):
    truth, entries = varied(seed, masks)
    text = written(entries[:3], random.Random(seed))
    place %= len(text)
    text = text[:place] + letter + text[place + removed :]
    path = tmp_path_factory.getbasetemp() / "spoilt.json"
    path.write_text(text)
    try:
        expected = one_by_one(text, truth)
    except (ValueError, RecursionError, InputError):
        with pytest.raises(InputError):
            prediction_file.read(path, truth)
    else:
        assert_same(prediction_file.read(path, truth), expected)


def test_a_large_file_cut_within_a_value_is_not_as_the_coco_api_writes_it(tmp_path, monkeypatch):
    """The value stands much further from the file's start than its block is long, and has no end to count to."""
    monkeypatch.setattr(prediction_file, "BLOCK", 1 << 20)
    whole = json.dumps(varied(0, masks=False)[1][0])
    path = tmp_path / "mine.json"
    path.write_text("[" + (whole + ", ") * ((24 << 20) // len(whole)) + '{"bbox": [1, 2, 3, 4], "score": "0.5]')
    assert prediction_file.scan(path) is None


def test_images_that_are_left_out_leave_nothing(tmp_path):
    truth, entries = varied(1, masks=True)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(entries))
    out = entries[0]["image_id"]
    rest = [entry for entry in entries if entry["image_id"] != out]
    assert 0 < len(rest) < len(entries)
    fewer = {**truth, "images": [image for image in truth["images"] if image["id"] != out]}
    assert_same(prediction_file.read(path, fewer, frozenset({out})), one_by_one(json.dumps(rest), fewer))


@pytest.mark.parametrize("size", [[0, 0], [-1, -1], [-1, 5]])
def test_a_mask_of_no_size_is_refused(tmp_path, size):
    truth, entries = varied(0, masks=True)
    entries[0]["occluder"] = {"size": size, "counts": ""}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"place 0 [(]from 0[)]: occluder: RLE size"):
        prediction_file.read(path, truth)


def letters(number: int, groups: int) -> str:
    """A run's length as that many groups of five bits, of which all but the last say that more follow."""
    return "".join(chr(48 + (number >> 5 * g & 31) + 32 * (g < groups - 1)) for g in range(groups))


@pytest.mark.parametrize(
    ("runs", "wrong"),
    [
        ([(1200, 3)], False),
        ([(1000, 3), (200, 3)], False),
        ([(7, 6), (1193, 3)], False),
        ([(7, 7), (1193, 3)], True),  # a number of 35 bits
        ([(10, 1), (-5, 1), (1195, 3)], True),  # a negative length
        ([(1200, 3), "P"], True),  # it ends within a number
        ([(1200, 3), "/"], True),  # no letter of a mask: before the first, and behind the last
        ([(1200, 3), "p"], True),
    ],
)
def test_a_string_that_is_no_mask_is_refused_though_its_runs_add_up(tmp_path, runs, wrong):
    text = "".join(run if isinstance(run, str) else letters(*run) for run in runs)
    truth, entries = varied(0, masks=True)
    image = next(image for image in truth["images"] if image["id"] == entries[0]["image_id"])
    image |= {"height": 30, "width": 40}
    entry = {**entries[0], "segmentation": {"size": [30, 40], "counts": text}, "occluder": None}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([entry]))
    if wrong:
        with pytest.raises(InputError, match=r"prediction at place 0 .*RLE"):
            prediction_file.read(path, truth)
    else:
        assert bytes(prediction_file.read(path, truth).texts) == text.encode()
