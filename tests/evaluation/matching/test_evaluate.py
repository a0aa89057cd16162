"""`bcnet evaluate`: files in, metrics and the per-object table out, or one clear line."""

import copy
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_factory import boxes, coco_api, made
from places import ROOT

from bcnet.cli import main
from bcnet.data.masks.segmentation import run_lengths
from bcnet.evaluation.evaluate import evaluate
from bcnet.evaluation.matching.detection_table import schema
from bcnet.evaluation.matching.object_table import OCCLUSION
from bcnet.evaluation.matching.outcomes import KINDS
from bcnet.evaluation.metrics.coco_ap import NAMES, coco_numbers
from bcnet.evaluation.statistics.resampling import run_of
from bcnet.files import InputError
from bcnet.params.results import Evaluate

SETTINGS = Evaluate()
OUTPUTS = {"out.json", "out.parquet", "out.detections.parquet"}
SPLIT = {"name": "some", "rule": "box_iou", "threshold": 0.2, "other_images": [7000, 8000]}


@pytest.fixture
def run(tmp_path):
    """Evaluate contents, not files; the metrics come back."""

    def run(truth: object, predictions: object, provenance: object = None, name: str = "out") -> dict:
        for file, content in (("truth.json", truth), ("mine.json", predictions), ("mine.provenance.json", provenance)):
            if content is not None:
                (tmp_path / file).write_text(json.dumps(content))
        evaluate(tmp_path / "truth.json", tmp_path / "mine.json", tmp_path / f"{name}.json", SETTINGS)
        return json.loads((tmp_path / f"{name}.json").read_text())

    return run


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
    for suffix in (".json", ".parquet", ".detections.parquet"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_predictions_of_images_that_the_split_leaves_out_change_nothing(run):
    truth, predictions = made(2)
    truth["info"] = {"split": SPLIT}
    others = [{**prediction, "image_id": 7000} for prediction in predictions[:5]]
    assert run(truth, others + predictions)["segm"] == run(truth, predictions)["segm"]
    truth["info"] = {}
    with pytest.raises(InputError, match=r"mine.json: prediction at place 0: image_id: 7000: expected"):
        run(truth, others)


def test_a_plain_coco_file_has_no_recall_by_occlusion(run, tmp_path):
    truth, predictions = made(0)
    expected = run(truth, predictions)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    metrics = run(truth, predictions)
    assert metrics["recall"] is None
    assert metrics["segm"] == expected["segm"]
    assert metrics["provenance"]["split"] == {"name": "truth"}
    assert {k: metrics["provenance"][k] for k in ("origin", "name")} == {"origin": "brought", "name": "mine"}
    assert pq.read_table(tmp_path / "out.parquet")["same_category"].null_count == metrics["provenance"]["objects"]


def test_what_else_a_users_file_holds_changes_nothing(run):
    truth, predictions = made(0)
    expected = run(truth, predictions)
    truth |= {"info": "mine", "licenses": "none"}
    for annotation in truth["annotations"]:
        annotation |= {"keypoints": "none", "num_keypoints": -1.5, "score": "high"}
    metrics = run(truth, predictions)
    assert all(metrics[part] == expected[part] for part in ("segm", "bbox", "recall"))


def test_boxes_without_masks_have_no_mask_numbers(run):
    truth, predictions = made(0)
    both, only = run(truth, predictions), run(truth, boxes(predictions))
    assert only["bbox"] == both["bbox"]
    assert only["segm"] == dict.fromkeys(NAMES)
    assert (both["provenance"]["iou_type"], only["provenance"]["iou_type"]) == ("segm", "bbox")


def test_a_box_beside_a_mask_changes_nothing(run):
    truth, predictions = made(0)
    boxed = [{**prediction, "bbox": [0, 0, 9, 9], "id": 1, "area": 81} for prediction in predictions]
    metrics, expected = run(truth, boxed), run(truth, predictions)
    assert all(metrics[key] == expected[key] for key in ("segm", "bbox", "recall"))


def test_boxes_are_ranked_by_scores_of_their_own(run, tmp_path):
    """As if the boxes were a file of their own; masks as if `box_score` were not there. Also beyond the best 100."""
    truth, predictions = made(2)
    random = np.random.default_rng(0)
    predictions += random.permutation(np.array(predictions * 4, object)).tolist()
    predictions = [each | {"score": round(float(random.random()), 2)} for each in predictions]
    scored = [each | {"box_score": round(float(random.random()), 1)} for each in predictions]
    scored[3]["box_score"] = None
    crowded = [each for each in predictions if each["image_id"] == predictions[0]["image_id"]]
    scored += [crowded[0] | {"box_score": 0.95}] * 60 + [crowded[1] | {"score": 0.9, "box_score": 0.05}] * 60
    of_boxes = [each | {"score": each["score"] if each["box_score"] is None else each["box_score"]} for each in scored]
    plain = [{key: value for key, value in each.items() if key != "box_score"} for each in scored]
    metrics, without = run(truth, scored), run(truth, plain, name="plain")
    expected = coco_api(truth, boxes(of_boxes), "bbox").stats
    assert list(metrics["bbox"].values()) == pytest.approx(list(expected), abs=1e-12)
    assert abs(metrics["bbox"]["AP"] - without["bbox"]["AP"]) > 1e-3
    assert metrics["provenance"]["box_scores"]
    assert not without["provenance"]["box_scores"]
    for about in (metrics, without):
        del about["provenance"], about["bbox"], about["intervals"]["box_AP"]
        for category in about["categories"]:
            del category["bbox"]
    assert metrics == without
    table = pq.read_table(tmp_path / "out.detections.parquet")
    assert table.schema == schema("segm", box_scores=True)
    drawn = coco_numbers(run_of(table, pq.read_table(tmp_path / "out.parquet"), "bbox"))
    assert list(drawn.values()) == pytest.approx(list(expected), abs=1e-12)


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


BAD_PREDICTIONS = [
    ("image_id", 4, "image_id: 4: expected the id of one"),
    ("image_id", "1", "image_id: '1': expected"),
    ("image_id", [1], r"image_id: \[1\]: expected"),
    ("category_id", 4, "category_id: 4: expected the id of one"),
    ("category_id", True, "category_id: True: expected"),
    ("score", "high", "score: 'high': expected a finite number"),
    ("score", None, "score: None: expected a finite number"),
    ("segmentation", None, "segmentation is None, expected polygons or RLE"),
    ("segmentation", {"size": [9, 9], "counts": "abc"}, r"RLE size is \[9, 9\], expected the image's"),
]


@pytest.mark.parametrize(("key", "value", "problem"), BAD_PREDICTIONS)
def test_a_wrong_prediction_is_named(run, tmp_path, key, value, problem):
    truth, predictions = made(0)
    predictions[2][key] = value
    with pytest.raises(InputError, match=f"mine.json: prediction at place 2: {problem}") as raised:
        run(truth, predictions)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c[:-3], lambda c: c + "1", lambda c: "é" + c, lambda c: ""]
)
def test_a_broken_mask_is_named(run, change):
    truth, predictions = made(0)
    predictions[3]["segmentation"]["counts"] = change(predictions[3]["segmentation"]["counts"])
    with pytest.raises(InputError, match=r"mine.json: prediction at place 3: RLE counts"):
        run(truth, predictions)


def test_masks_need_not_be_written_as_the_coco_api_does(run):
    truth, predictions = made(0)
    expected = run(truth, predictions)["segm"]
    for prediction in predictions:
        rle = prediction["segmentation"]
        rle["counts"] = [*run_lengths(rle["counts"]).tolist(), 0]  # uncompressed, with a last run of no pixels
    assert run(truth, predictions)["segm"] == expected


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, -3, 4], [1, 2, 3, "4"]])
def test_a_wrong_box_is_named(run, box):
    truth, predictions = made(0)
    wrong = [*boxes(predictions)[:2], {**boxes(predictions)[2], "bbox": box}]
    with pytest.raises(InputError, match=r"mine.json: prediction at place 2: bbox: .*expected \[x, y, width, height\]"):
        run(truth, wrong)


@pytest.mark.parametrize("content", [{"annotations": []}, "text", 3])
def test_predictions_must_be_a_list(run, content):
    with pytest.raises(InputError, match=r"mine.json: expected COCO's result format, a list"):
        run(made(0)[0], content)


def test_an_entry_must_be_an_object(run):
    with pytest.raises(InputError, match=r"mine.json: prediction at place 0: 5: expected an object"):
        run(made(0)[0], [5])


def test_occlusion_of_some_annotations_only_is_refused(run):
    truth, predictions = made(0)
    del truth["annotations"][1]["occlusion"]
    with pytest.raises(
        InputError, match=r"truth.json: annotation 8 has no 'occlusion' with box_cover, .*bcnet convert"
    ):
        run(truth, predictions)
    truth["annotations"][1]["occlusion"] = {**truth["annotations"][0]["occlusion"], "box_cover": 1.5}
    with pytest.raises(InputError, match=r"annotation 8: occlusion.box_cover: 1.5: expected 0 to 1"):
        run(truth, predictions)


def test_a_wrong_provenance_is_refused(run):
    with pytest.raises(InputError, match=r"mine.provenance.json: expected an object with origin, name and label"):
        run(*made(0), provenance={"name": "x"})


def test_the_table_may_not_overwrite_the_metrics(tmp_path):
    with pytest.raises(InputError, match=r"out.parquet: expected a name that ends in .json"):
        evaluate(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "out.parquet", SETTINGS)


def test_results_of_before_stay_when_the_input_is_wrong(run, tmp_path):
    truth, predictions = made(0)
    before = run(truth, predictions)
    wrong = copy.deepcopy(predictions)
    wrong[-1]["score"] = "high"
    with pytest.raises(InputError):
        run(truth, wrong)
    assert json.loads((tmp_path / "out.json").read_text()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"truth.json", "mine.json", *OUTPUTS}


def test_the_verb_ends_with_code_2_and_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments = ["--annotations", "none.json", "--predictions", "none.json", "--out", str(tmp_path / "out.json")]
    assert main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err == "bcnet evaluate: none.json: cannot be read: No such file or directory\n"
