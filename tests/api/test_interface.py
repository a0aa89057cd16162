"""The interface for Python gives what the verbs write, takes arrays, and says in one line what is wrong."""

import copy
import inspect
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from coco_factory import like_coco
from evaluation_factory import boxes, made
from model_factory import PREDICT, SIZES, build
from pycocotools import mask as coco_mask

import bcnet
from bcnet.cli import main
from bcnet.data.masks.segmentation import decode, to_rle
from bcnet.files import read_json, write_json
from bcnet.inference.detect import Detections
from bcnet.params import methods
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate
from bcnet.params.section import Section
from bcnet.weights.model_file import ModelFile


def with_arrays(entries: list[dict[str, Any]], truth: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries with masks as arrays, and numbers as numpy has them."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    result = []
    for entry in entries:
        mask = decode(entry["segmentation"], *sizes[entry["image_id"]])
        numbers = {key: np.int64(entry[key]) for key in ("image_id", "category_id")}
        result.append({**entry, **numbers, "segmentation": mask})
    return result


@pytest.fixture(scope="module")
def model() -> ModelFile:
    """An untrained BCNet that always detects something."""
    torch.manual_seed(0)
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet")
    shown = PREDICT.model_copy(update={"score_threshold": 0.0, "detections": 4})
    categories = [{"id": 3, "name": "car"}, {"id": 7, "name": "train"}]
    return ModelFile(build(variant, SIZES, shown, 2).eval(), variant, shown, categories, {})


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detections(model: ModelFile, picture: np.ndarray) -> Detections:
    return bcnet.predict(model, picture)


def test_conversion_gives_what_the_verb_writes(tmp_path: Path):
    content, out = like_coco(0), tmp_path / "out.json"
    write_json(tmp_path / "in.json", content)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "presets/demo.yaml").read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["convert", "--annotations", "in.json", "--out", "out.json", "--jobs", "1"]) == 0
    before = copy.deepcopy(content)
    assert bcnet.convert(content) == bcnet.convert(tmp_path / "in.json") == read_json(out)
    assert content == before
    assert bcnet.read_annotations(out) == read_json(out)


def test_evaluation_gives_what_the_verb_writes(tmp_path: Path):
    truth, predictions = made(1)
    write_json(tmp_path / "truth.json", truth)
    write_json(tmp_path / "mine.json", predictions)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "presets/demo.yaml").read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        verb = ["evaluate", "--annotations", "truth.json", "--predictions", "mine.json", "--out", "out.json"]
        assert main(verb) == 0
    written = read_json(tmp_path / "out.json")
    settings = {"draws": 1000}
    for annotations, entries in (
        (tmp_path / "truth.json", str(tmp_path / "mine.json")),
        (truth, predictions),
        ({**truth, "annotations": with_arrays(truth["annotations"], truth)}, with_arrays(predictions, truth)),
    ):
        found = bcnet.evaluate(annotations, entries, **settings)
        metrics = json.loads(json.dumps(found.metrics))
        ours, theirs = metrics.pop("provenance"), dict(written["provenance"])
        assert metrics == {key: value for key, value in written.items() if key != "provenance"}
        same = ("images", "objects", "iou_type", "predictions", "remarks")
        assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
        assert found.objects.num_rows == ours["objects"]
        assert found.detections.num_rows == ours["images"]
        assert "AP " in found.summary()


def test_boxes_and_rle_as_pycocotools_gives_it():
    truth, predictions = made(2)
    by_box = bcnet.evaluate(truth, boxes(predictions), draws=1).metrics
    assert by_box["provenance"]["iou_type"] == "bbox"
    arrays = [{**each, "bbox": np.array(each["bbox"])} for each in boxes(predictions)]
    assert bcnet.evaluate(truth, arrays, draws=1).metrics["bbox"] == by_box["bbox"]
    for entry in predictions:  # its own strings are bytes
        mask = coco_mask.decode(entry["segmentation"])
        entry["segmentation"] = coco_mask.encode(np.asfortranarray(mask))
    own = bcnet.evaluate(truth, predictions, draws=1).metrics
    assert own["segm"] == bcnet.evaluate(truth, made(2)[1], draws=1).metrics["segm"]
    read_only = [entry | {"segmentation": MappingProxyType(entry["segmentation"])} for entry in predictions]
    assert bcnet.evaluate(truth, read_only, draws=1).metrics["segm"] == own["segm"]


def test_no_predictions():
    assert bcnet.evaluate(made(0)[0], [], draws=1).metrics["segm"]["AP"] == 0


def change(entries: list[dict[str, Any]], **keys: Any) -> list[dict[str, Any]]:
    return [{**entries[0], **keys}, *entries[1:]]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"image_id": 5}, r"predictions: prediction at place 0 [(]from 0[)]: image_id: 5: no image has this id, .*"),
        (
            {"segmentation": np.zeros((4, 4), bool)},
            r"predictions: prediction at place 0 [(]from 0[)]: RLE size is \[4, 4\], .*",
        ),
        (
            {"score": float("nan")},
            r"predictions: prediction at place 0 [(]from 0[)]: score: null: expected a finite number",
        ),
        (
            {"box_score": np.float32("nan")},
            r"predictions: prediction at place 0 [(]from 0[)]: box_score: nan: expected a finite .*",
        ),
        ({"score": {1, 2}}, r"predictions: not COCO's format: .*"),
        (
            {"score": np.array(["1"])},
            r'predictions: prediction at place 0 [(]from 0[)]: score: \["1"\]: expected a finite number',
        ),
    ],
)
def test_a_wrong_prediction_is_named(keys: dict[str, Any], line: str):
    truth, predictions = made(0)
    with pytest.raises(bcnet.InputError, match=f"^{line}$"):
        bcnet.evaluate(truth, change(predictions, **keys), draws=1)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"category_id": 5}, r"annotations: annotation 5: category_id 5 is not the id of a category of this file"),
        ({"segmentation": np.ones((2, 2), np.uint8)}, r"annotations: annotation 5: RLE size is \[2, 2\], .*"),
        ({"occlusion": 3}, r"annotations: annotation 5 has no 'occlusion' with .*"),
    ],
)
def test_a_wrong_annotation_is_named(keys: dict[str, Any], line: str):
    truth, predictions = made(0)
    truth["annotations"] = change(truth["annotations"], **keys)
    with pytest.raises(bcnet.InputError, match=f"^{line}$"):
        bcnet.evaluate(truth, predictions, draws=1)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"draws": 0}, "draws: 0: input should be greater than or equal to 1"),
        ({"cover_bins": (0.1, 1)}, r"cover_bins: \[0.1, 1.0\]: must rise from 0 to 1"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], line: str):
    truth, predictions = made(0)
    with pytest.raises(bcnet.InputError, match=f"^{line}$"):
        bcnet.evaluate(truth, predictions, **settings)
    with pytest.raises(bcnet.InputError, match=r"^min_box_iou: 2: "):
        bcnet.convert(truth, min_box_iou=2)


def test_in_front_needs_a_depth():
    content = like_coco(0)
    with pytest.raises(bcnet.InputError, match=r"^annotations: in_front: true needs annotations with 'depth'"):
        bcnet.convert(content, in_front=True)


@pytest.mark.parametrize(("function", "section"), [(bcnet.convert, Convert), (bcnet.evaluate, Evaluate)])
def test_defaults_are_those_of_the_parameters(function: Any, section: type[Section]):
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert keywords == section().model_dump()


def test_detections_are_those_of_the_program(model: ModelFile, picture: np.ndarray, detections: Detections):
    assert len(detections.scores) == 4
    assert np.asarray(detections.masks).shape == (4, 48, 64)
    assert list(detections.maps) == ["occluder_contour", "occluder_mask", "target_contour", "target_mask"]
    assert detections.occluders is None
    occluders = bcnet.predict(model, picture, occluders=True).occluders
    assert occluders is not None
    assert np.asarray(occluders).shape == (4, 48, 64)


@pytest.mark.parametrize("before", [False, True])
def test_predicting_leaves_torch_as_it_was(before: bool, model: ModelFile, picture: np.ndarray):
    torch.set_flush_denormal(before)
    bcnet.predict(model, picture)
    assert (torch.full((1,), 1e-38) / 2 == 0).item() == before


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (np.zeros((8, 8, 3)), "picture: float64: expected an array of uint8"),
        (np.zeros((8, 8), np.uint8), r"picture: shape \(8, 8\): expected \(height, width, 3\), RGB"),
        (np.zeros((8, 0, 3), np.uint8), r"picture: shape \(8, 0, 3\): expected \(height, width, 3\), RGB"),
        ("street.jpg", "picture: str: expected an array of uint8"),
    ],
)
def test_a_wrong_picture_is_refused(wrong: Any, line: str, model: ModelFile):
    with pytest.raises(bcnet.InputError, match=f"^{line}$"):
        bcnet.predict(model, wrong)


def test_drawings(model: ModelFile, picture: np.ndarray, detections: Detections):
    rows = [bcnet.draw_maps(model, picture, detections, index) for index in range(4)]
    assert {row.shape for row in rows} == {(196, 6 * 196 + 5 * 8, 3)}
    assert not np.array_equal(rows[0], rows[1])
    assert {row.dtype for row in rows} == {np.dtype(np.uint8)}
    few = bcnet.draw_sheet(model, picture, detections, title="street.jpg", score=0, objects=1)
    more = bcnet.draw_sheet(model, picture, detections, title="street.jpg", score=0, objects=3)
    assert few.shape[1:] == (1320, 3)
    assert len(more) > len(few)
    none = bcnet.draw_sheet(model, picture, detections, score=1)
    assert len(none) < len(few)


def test_what_cannot_be_drawn_is_refused(model: ModelFile, picture: np.ndarray, detections: Detections):
    with pytest.raises(bcnet.InputError, match="index: 4: expected a place among 4 detections"):
        bcnet.draw_maps(model, picture, detections, 4)
    with pytest.raises(bcnet.InputError, match="score: 2: expected 0 to 1"):
        bcnet.draw_sheet(model, picture, detections, score=2)
    with pytest.raises(bcnet.InputError, match="objects: 41: expected 1 to 40"):
        bcnet.draw_sheet(model, picture, detections, objects=41)


def test_a_missing_model_is_named(tmp_path: Path):
    with pytest.raises(bcnet.InputError, match="no such model file"):
        bcnet.load_model(tmp_path / "model.safetensors")


def test_every_name_is_there_and_documented():
    for name in bcnet.__all__:
        assert inspect.getdoc(getattr(bcnet, name))
        assert name in dir(bcnet)


def test_what_annotations_leave_out_is_filled_in():
    """Box and area, as of a file: those of the masks."""
    truth, predictions = made(2)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    bare, whole = [], []
    for entry in truth["annotations"]:
        rle = to_rle(entry["segmentation"], *sizes[entry["image_id"]])
        bare.append({key: value for key, value in entry.items() if key not in ("bbox", "area")})
        whole.append({**entry, "area": float(coco_mask.area(rle)), "bbox": coco_mask.toBbox(rle).tolist()})
    expected = bcnet.evaluate({**truth, "annotations": whole}, predictions, draws=1).metrics
    assert bcnet.evaluate({**truth, "annotations": bare}, predictions, draws=1).metrics["segm"] == expected["segm"]
    assert "area" not in bare[0]
