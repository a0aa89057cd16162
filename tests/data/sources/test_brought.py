"""Brought predictions are checked and stored as ours are, all of them."""

import hashlib
import json

import numpy as np
import pytest
from own_data_factory import HEIGHT, MASK, WIDTH, make_part, own_files

from bcnet.data.masks.segmentation import encode
from bcnet.data.sources.fetch import bring, fetch
from bcnet.files import InputError
from bcnet.params.results import Brought

SCORED = {"image_id": 1, "category_id": 4, "score": 0.5, "segmentation": encode(MASK)}


def brought_from(tmp_path, user, predictions):
    folder = tmp_path / "data/mine"
    if not folder.exists():
        fetch(own_files(user), "mine", folder)
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(predictions))
    bring(Brought(file=file, label="Theirs"), "theirs", folder)
    return folder / "predictions/theirs/brought"


def test_brought_predictions_are_stored_as_ours_are(user, tmp_path, capsys):
    make_part(user / "annotations/instances_val2017.json", user / "val2017", ["v.png", "w.png"])
    square = [[3, 2, 9, 2, 9, 8, 3, 8]]
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    out = brought_from(
        tmp_path,
        user,
        [
            SCORED | {"image_id": 2, "bbox": [0, 0, 1, 1], "extra": 1},
            SCORED | {"score": 0.1, "segmentation": square},
            SCORED | {"score": 0.9, "segmentation": runs},
        ],
    )
    empty = encode(np.zeros_like(MASK))
    assert json.loads((out / "val.json").read_text()) == [
        SCORED | {"score": 0.9, "segmentation": empty},
        SCORED | {"score": 0.1},
        SCORED | {"image_id": 2},
    ]
    assert json.loads((out / "val.provenance.json").read_text()) == {
        "origin": "brought",
        "name": "theirs",
        "label": "Theirs",
        "dataset": "mine",
        "file_sha256": hashlib.sha256((tmp_path / "theirs.json").read_bytes()).hexdigest(),
    }
    assert capsys.readouterr().err == ""


def test_every_prediction_is_kept(user, tmp_path):
    """COCO's evaluation takes 100 of a category in an image: what of more counts, `evaluate` decides and says."""
    scores = np.random.default_rng(0).permutation(130) / 130
    out = brought_from(tmp_path, user, [SCORED | {"score": score} for score in scores.tolist()])
    assert [one["score"] for one in json.loads((out / "val.json").read_text())] == sorted(scores, reverse=True)


def test_a_wrong_prediction_is_named_and_nothing_is_written(user, tmp_path):
    line = r"theirs\.json: prediction at place 1 \(from 0\): image_id: 2: no image has this id, there are 1, "
    with pytest.raises(InputError, match=line):
        brought_from(tmp_path, user, [SCORED, SCORED | {"image_id": 2}])
    assert not (tmp_path / "data/mine/predictions").exists()
