"""`bcnet evaluate`: files in, metrics and the per-object table out, or one clear line."""

import copy
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_factory import boxes, coco_api, made, rle, vary_occlusion
from places import ROOT
from pycocotools import mask as coco_mask

from bcnet.cli import main
from bcnet.data.masks.segmentation import run_lengths, to_rle
from bcnet.data.occlusion.convert import convert
from bcnet.evaluation.evaluate import evaluate
from bcnet.evaluation.matching.detection_table import schema
from bcnet.evaluation.matching.object_table import OCCLUSION
from bcnet.evaluation.matching.outcomes import KINDS
from bcnet.evaluation.metrics.coco_ap import NAMES, coco_numbers
from bcnet.evaluation.statistics.resampling import run_of
from bcnet.evaluation.statistics.summary import summary
from bcnet.files import InputError
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate

SETTINGS = Evaluate()
OUTPUTS = {"out.json", "out.parquet", "out.detections.parquet", "out.draws.parquet"}
SPLIT = {"name": "some", "rule": "box_iou", "threshold": 0.2, "other_images": [7000, 8000]}


@pytest.fixture
def run(tmp_path):
    """Evaluate contents, not files; the metrics come back."""

    def run(
        truth: object, predictions: object, provenance: object = None, name: str = "out", settings: Evaluate = SETTINGS
    ) -> dict:
        for file, content in (("truth.json", truth), ("mine.json", predictions), ("mine.provenance.json", provenance)):
            if content is not None:
                (tmp_path / file).write_text(json.dumps(content))
        evaluate(tmp_path / "truth.json", tmp_path / "mine.json", tmp_path / f"{name}.json", settings)
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


def test_boxes_without_masks_have_no_mask_numbers(run):
    truth, predictions = made(0)
    both, only = run(truth, predictions), run(truth, boxes(predictions))
    assert only["bbox"] == both["bbox"]
    assert only["segm"] == dict.fromkeys(NAMES)
    assert only["leak"] is None
    assert (both["provenance"]["iou_type"], only["provenance"]["iou_type"]) == ("segm", "bbox")


def slow_fate(truth: dict, predictions: list[dict], place: int) -> int:
    """How an object fares by boxes, by the words of `failures`: the first fate that is true of any detection."""
    target, fates = truth["annotations"][place], []
    for each in predictions:
        if each["image_id"] != target["image_id"] or each["score"] < 0.3:
            continue
        iou = float(coco_mask.iou([each["bbox"]], [target["bbox"]], [0])[0, 0])
        right = each["category_id"] == target["category_id"]
        if iou >= 0.1:
            fates.append((0 if right else 1) if iou >= 0.75 else (2 if right else 3))
    return min(fates, default=4)


def test_boxes_have_recall_and_failures_with_intervals(run, tmp_path):
    """On rectangles, boxes and masks are the same: so is all that both have."""
    truth, predictions = made(4, images=12)
    vary_occlusion(truth)
    solid = [place for place, each in enumerate(truth["annotations"]) if not each["iscrowd"]]
    filled = [{**each, "segmentation": box_mask(each, truth)} for each in predictions]
    for annotation in truth["annotations"]:
        annotation["segmentation"] = box_mask(annotation, truth)
    masks = run(truth, filled)
    only = run(truth, boxes(filled))
    assert pq.read_table(tmp_path / "out.parquet")["failure"].to_pylist() == [
        slow_fate(truth, boxes(filled), place) for place in solid
    ]
    assert len(set(pq.read_table(tmp_path / "out.parquet")["failure"].to_pylist())) == 5
    assert only["recall"] == masks["recall"]
    assert only["failures"] == masks["failures"]
    assert only["intervals"].keys() == masks["intervals"].keys() - {"AP", "boundary_AP"}
    for name, between in only["intervals"].items():
        assert between == (None if name == "leak" else masks["intervals"][name]), name
    lines = summary(only).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["box_AP", "found", "found_occluded"]
    assert any(line.startswith("AR box_cover 0.3-1 ") for line in lines)


def box_mask(entry: dict, truth: dict) -> dict:
    """The mask that fills an entry's box."""
    image = next(image for image in truth["images"] if image["id"] == entry["image_id"])
    x, y, width, height = coco_mask.toBbox(to_rle(entry["segmentation"], image["height"], image["width"])).astype(int)
    return rle((x, y, width, height), (image["height"], image["width"]))


REMARK = (
    "{} of {} masks have a bbox, which is not read: box_AP is of boxes around the masks; "
    "pycocotools takes the areas of masks from these boxes: its APs, APm, APl, ARs, ARm, ARl differ"
)


def test_a_box_beside_a_mask_changes_nothing_but_a_remark(run):
    truth, predictions = made(0)
    boxed = [{**prediction, "bbox": [0, 0, 9, 9], "id": 1, "area": 81} for prediction in predictions]
    metrics, expected = run(truth, boxed), run(truth, predictions)
    assert all(metrics[key] == expected[key] for key in ("segm", "bbox", "recall"))
    assert REMARK.format(len(boxed), len(boxed)) in metrics["provenance"]["remarks"]
    assert not any("bbox" in remark for remark in expected["provenance"]["remarks"])
    of_api = dict(zip(NAMES, coco_api(truth, boxed, "segm").stats, strict=True))
    unequal = {name for name in NAMES if abs(of_api[name] - metrics["segm"][name]) > 1e-9}
    assert unequal
    assert unequal <= {"APs", "APm", "APl", "ARs", "ARm", "ARl"}


@pytest.mark.parametrize("box", [[0, 0, 9], "none", [0, 0, -1, 4], [], None, [0, 0, "9", 9]])
def test_what_is_no_box_beside_a_mask_is_not_read_either(run, box):
    truth, predictions = made(0)
    metrics = run(truth, [{**predictions[0], "bbox": box}, *predictions[1:]])
    assert metrics["segm"] == run(truth, predictions)["segm"]
    assert not any("bbox" in remark for remark in metrics["provenance"]["remarks"])


def test_boxes_of_the_file_are_evaluated_if_asked_for(run, tmp_path):
    """As if they were a file of their own; nothing else changes."""
    truth, predictions = made(2)
    random = np.random.default_rng(3)
    moved = [
        each | {"bbox": (np.array(each["bbox"]) + random.integers(0, 9, 4)).tolist()} for each in boxes(predictions)
    ]
    both = [{**each, "bbox": box["bbox"]} for each, box in zip(predictions, moved, strict=True)]
    settings = Evaluate(file_boxes=True)
    metrics, without = run(truth, both, settings=settings), run(truth, both, name="without")
    expected = coco_api(truth, moved, "bbox").stats
    assert list(metrics["bbox"].values()) == pytest.approx(list(expected), abs=1e-12)
    assert abs(metrics["bbox"]["AP"] - without["bbox"]["AP"]) > 1e-3
    assert metrics["provenance"]["file_boxes"]
    assert "box_AP is of each prediction's bbox; pycocotools " in " ".join(metrics["provenance"]["remarks"])
    assert run(truth, moved, name="alone")["intervals"]["box_AP"] == metrics["intervals"]["box_AP"]
    for about in (metrics, without):
        del about["provenance"], about["bbox"], about["intervals"]["box_AP"]
        for category in about["categories"]:
            del category["bbox"]
    assert metrics == without

    none = run(truth, predictions, settings=settings)
    assert "no bbox: box_AP is of boxes around masks" in none["provenance"]["remarks"]
    assert none["bbox"] == run(truth, predictions)["bbox"]
    line = (
        rf"truth.json: file_boxes: {len(both) - 1} of {len(both)} predictions have a right bbox: expected all of them"
    )
    with pytest.raises(InputError, match=line):
        run(truth, [predictions[0], *both[1:]], settings=settings)


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
    ("image_id", 4, "image_id: 4: no image has this id, there are 3, with ids from 1 to 3"),
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
def test_a_wrong_prediction_is_named(run, tmp_path, key, value, problem):
    truth, predictions = made(0)
    predictions[2][key] = value
    with pytest.raises(InputError, match=f"mine.json: prediction at place 2 [(]from 0[)]: {problem}") as raised:
        run(truth, predictions)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c[:-3], lambda c: c + "1", lambda c: "é" + c, lambda c: ""]
)
def test_a_broken_mask_is_named(run, change):
    truth, predictions = made(0)
    predictions[3]["segmentation"]["counts"] = change(predictions[3]["segmentation"]["counts"])
    with pytest.raises(InputError, match=r"mine.json: prediction at place 3 [(]from 0[)]: RLE counts"):
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
    with pytest.raises(
        InputError, match=r"mine.json: prediction at place 2 [(]from 0[)]: bbox: .*expected \[x, y, width, height\]"
    ):
        run(truth, wrong)


@pytest.mark.parametrize("content", [{"annotations": []}, "text", 3])
def test_predictions_must_be_a_list(run, content):
    with pytest.raises(InputError, match=r"mine.json: expected COCO's result format, a list"):
        run(made(0)[0], content)


def test_an_entry_must_be_an_object(run):
    with pytest.raises(InputError, match=r"mine.json: prediction at place 0 [(]from 0[)]: 5: expected an object"):
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
