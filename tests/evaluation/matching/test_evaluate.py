"""`bcnet evaluate`: files in, metrics and the table of objects out."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest
from evaluation_factory import boxes, coco_api, made

from bcnet.data.masks.segmentation import run_lengths
from bcnet.data.occlusion.convert import convert
from bcnet.evaluation.matching.object_table import OCCLUSION
from bcnet.evaluation.matching.outcomes import KINDS
from bcnet.files import InputError
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate

SPLIT = {"name": "some", "rule": "box_iou", "threshold": 0.2, "other_images": [7000, 8000]}


def test_metrics_and_table_of_a_split(run, tmp_path):
    truth, predictions = made(0)
    truth["info"] = {"split": SPLIT}
    about = {"origin": "measured here", "name": "bcnet", "label": "BCNet", "seed": 3, "versions": {"torch": "2"}}
    metrics = run(truth, predictions, about)
    assert list(metrics) == [
        "provenance",
        *KINDS["segm"],
        "recall",
        "equal_size",
        "failures",
        "leak",
        "amodal",
        "order",
        "tide",
        "calibration",
        "false_detections",
        "intervals",
        "few",
        "categories",
    ]
    assert list(metrics["segm"].values()) == pytest.approx(list(coco_api(truth, predictions, "segm").stats), abs=1e-12)
    by_box = coco_api(truth, boxes(predictions), "bbox").stats
    assert list(metrics["bbox"].values()) == pytest.approx(list(by_box), abs=1e-12)
    assert metrics["tide"]["AP50"] == pytest.approx(metrics["segm"]["AP50"], abs=1e-12)
    provenance = metrics["provenance"]
    assert all(provenance[key] == about[key] for key in ("origin", "name", "label", "seed"))
    assert provenance["versions"] == {"torch": "2"}
    assert provenance["split"] == {"name": "some", "rule": "box_iou", "threshold": 0.2}
    for key, file in (("annotations", "truth.json"), ("predictions", "mine.json")):
        assert provenance[f"{key}_sha256"] == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    solid = [annotation for annotation in truth["annotations"] if not annotation["iscrowd"]]
    assert (provenance["images"], provenance["objects"]) == (8, len(solid))
    bins = metrics["recall"]["box_cover"]
    assert [(each["from"], each["to"]) for each in bins] == [(0, 0.1), (0.1, 0.3), (0.3, 1)]
    assert sum(each["objects"] for each in bins) == len(solid)
    table = pq.read_table(tmp_path / "out.parquet")
    matched = [f"matched_{threshold}" for threshold in range(50, 100, 5)]
    first = ["annotation_id", "image_id", "category_id", "area", *OCCLUSION, "iou", "score", "best_detection"]
    assert table.column_names == [*first, *matched, "detection", "failure", "taken_for", "leak", "separated", "masks"]
    assert table["annotation_id"].to_pylist() == [annotation["id"] for annotation in solid]
    assert set(table["masks"].to_pylist()) == {"visible"}
    detections = pq.read_table(tmp_path / "out.detections.parquet")
    assert detections["image_id"].to_pylist() == [image["id"] for image in truth["images"]]
    assert sum(map(len, detections["score"].to_pylist())) == len(predictions)


def test_provenance_and_table_say_which_masks_are_the_ground_truth(run, tmp_path):
    truth, predictions = made(0)
    truth["info"] = {"split": {**SPLIT, "masks": "amodal"}}
    metrics = run(truth, predictions, {"origin": "measured here", "name": "a", "label": "A", "masks": "visible"})
    assert metrics["provenance"]["split"]["masks"] == "amodal"
    assert metrics["provenance"]["masks"] == "visible"  # what the model learnt
    assert set(pq.read_table(tmp_path / "out.parquet")["masks"].to_pylist()) == {"amodal"}


def test_same_inputs_give_the_same_bytes(run, tmp_path):
    for name in ("one", "two"):
        run(*made(1), name=name)
    for suffix in (".json", ".parquet", ".detections.parquet", ".draws.parquet"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_predictions_of_images_that_the_split_leaves_out_change_nothing(run):
    truth, predictions = made(2)
    truth["info"] = {"split": SPLIT}
    others = [{**prediction, "image_id": 7000} for prediction in predictions[:5]]
    assert run(truth, others + predictions)["segm"] == run(truth, predictions)["segm"]
    truth["info"] = {}
    with pytest.raises(
        InputError, match=r"mine.json: prediction at place 0 [(]from 0[)]: image_id: 7000: no image has this id"
    ):
        run(truth, others)


def test_a_plain_coco_file_is_evaluated_as_if_converted_before(run, tmp_path, capsys):
    truth, predictions = made(0)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    metrics = run(truth, predictions)
    objects = pq.read_table(tmp_path / "out.parquet")
    said = capsys.readouterr().err
    assert "truth.json: no annotation has 'occlusion': converted now with min_box_iou 0.05, min_pixels 20, " in said
    assert said.count("bcnet evaluate:") == 1
    provenance = metrics.pop("provenance")
    assert provenance["convert"] == Convert().model_dump(mode="json")
    assert {k: provenance[k] for k in ("origin", "name")} == {"origin": "brought", "name": "mine"}
    assert provenance["split"] == {"name": "truth"}
    convert(tmp_path / "truth.json", tmp_path / "converted.json", Convert(), jobs=1)
    expected = run(json.loads((tmp_path / "converted.json").read_text()), predictions)
    assert expected.pop("provenance")["convert"] is None
    assert metrics == expected
    assert metrics["leak"]["objects"]
    assert objects == pq.read_table(tmp_path / "out.parquet")
    assert "bcnet evaluate:" not in capsys.readouterr().err


def test_a_file_without_annotations_needs_no_conversion(run, capsys):
    truth, _ = made(0)
    truth["annotations"] = []
    assert run(truth, [])["provenance"]["convert"] is None
    assert "converted" not in capsys.readouterr().err


def test_what_else_a_users_file_holds_changes_nothing(run):
    truth, predictions = made(0)
    expected = run(truth, predictions)
    truth |= {"info": "mine", "licenses": "none"}
    for annotation in truth["annotations"]:
        annotation |= {"keypoints": "none", "num_keypoints": -1.5, "score": "high"}
    metrics = run(truth, predictions)
    assert all(metrics[part] == expected[part] for part in ("segm", "bbox", "recall"))


def test_no_prediction_is_zero(run):
    metrics = run(made(0)[0], [])
    assert set(metrics["segm"].values()) == set(metrics["bbox"].values()) == {0}
    assert [each["AR"] for each in metrics["recall"]["box_cover"]] == [0, 0, 0]


def test_polygons_as_predictions_are_masks_too(run):
    truth, _ = made(0)
    keys = ("image_id", "category_id", "segmentation")
    perfect = [{**{k: a[k] for k in keys}, "score": 1} for a in truth["annotations"] if not a["iscrowd"]]
    assert any(isinstance(prediction["segmentation"], list) for prediction in perfect)
    assert run(truth, perfect)["segm"]["AP"] == pytest.approx(1)


def test_masks_need_not_be_written_as_the_coco_api_does(run):
    truth, predictions = made(0)
    expected = run(truth, predictions)["segm"]
    for prediction in predictions:
        rle = prediction["segmentation"]
        rle["counts"] = [*run_lengths(rle["counts"]).tolist(), 0]  # uncompressed, with a last run of no pixels
    assert run(truth, predictions)["segm"] == expected


def test_the_order_of_images_and_their_number_are_any(run):
    truth, predictions = made(0)
    expected = run(truth, predictions, settings=Evaluate(draws=100))
    turned = run({**truth, "images": truth["images"][::-1]}, predictions, settings=Evaluate(draws=100))
    assert expected.pop("provenance") != turned.pop("provenance")  # the file's hash
    assert turned == expected
    nothing = run({**truth, "images": [], "annotations": []}, [])
    assert nothing["provenance"]["images"] == 0
    assert set(nothing["segm"].values()) == {None}
