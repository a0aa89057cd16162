"""From made pictures through convert and split to metrics: exact masks of the kind that counts are worth 1."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.occlusion.convert import convert
from bcnet.data.sources.amodal import shape_keys
from bcnet.data.splits.split import split
from bcnet.data.synthetic import shapes
from bcnet.evaluation.evaluate import evaluate
from bcnet.files import write_json
from bcnet.params.data import Convert, Shapes, Split
from bcnet.params.models import Schedule
from bcnet.params.results import Evaluate
from bcnet.training.loader import TrainingPictures

KEY = {"visible": "segmentation", "amodal": "amodal_segmentation"}
SIZE = 96


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Splits of visible and amodal masks of four pictures, and in the first an object that is visible nowhere."""
    folder = tmp_path_factory.mktemp("made")
    shapes.generate(Shapes(source="shapes", seed=3, size=SIZE, train=1, val=4), folder)
    content = annotation_file.read(folder / "annotations/instances_val.json")
    first = content["annotations"][0]  # in front of all others
    inside = decode(first["amodal_segmentation"], SIZE, SIZE)
    left, _, width, _ = first["amodal_bbox"]
    inside[:, int(left + width / 3) :] = False
    shape = shape_keys(encode(inside), encode(np.zeros_like(inside)))
    content["annotations"].append({**first, **shape, "depth": 99, "id": 999})
    write_json(folder / "all.json", content)
    convert(folder / "all.json", folder / "bilayer.json", Convert(), 1)
    for masks in KEY:
        split(folder / "bilayer.json", folder / f"{masks}.json", masks, Split(masks=masks))
        predictions = [
            {
                "image_id": one["image_id"],
                "category_id": one["category_id"],
                "score": 0.9,
                "segmentation": one[KEY[masks]],
            }
            for one in content["annotations"]
            if masks == "amodal" or one["id"] != 999
        ]
        write_json(folder / f"predicted-{masks}.json", predictions)
    return folder, len(content["annotations"])


@pytest.mark.parametrize("truth", KEY)
@pytest.mark.parametrize("predicted", KEY)
def test_exact_masks_are_worth_one_where_they_count(made, tmp_path, truth, predicted):
    folder, objects = made
    out = tmp_path / "out.json"
    evaluate(folder / f"{truth}.json", folder / f"predicted-{predicted}.json", out, Evaluate())
    metrics, table = json.loads(out.read_text()), pq.read_table(out.with_suffix(".parquet"))
    if truth == predicted:
        assert metrics["segm"]["AP"] == metrics["bbox"]["AP"] == pytest.approx(1)
    else:
        assert 0.2 < metrics["segm"]["AP"] < 0.98
    if truth == "visible":
        assert metrics["amodal"] is None
    else:
        invisible = metrics["amodal"]["invisible"]
        exact = float(predicted == "amodal")
        assert [invisible[name] for name in ("AP", "AP50", "AP75", "IoU")] == pytest.approx([exact] * 4)
        assert 0 < invisible["matched"] <= invisible["objects"] < objects
    assert metrics["order"] is None
    assert metrics["provenance"]["split"]["masks"] == truth
    assert set(table["masks"].to_pylist()) == {truth}
    assert metrics["provenance"]["objects"] == (objects if truth == "amodal" else objects - 1)


@pytest.mark.parametrize("truth", KEY)
@pytest.mark.parametrize("in_front", [True, False])
def test_exact_occluders_tell_the_order_if_they_know_it(made, tmp_path, truth, in_front):
    """Those of `convert.in_front` are right wherever they decide, those of the default are not."""
    folder, _ = made
    convert(folder / "all.json", tmp_path / "ordered.json", Convert(in_front=in_front), 1)
    keys = ("image_id", "category_id", "segmentation", "occluder")
    predictions = [
        {key: one[key] for key in keys} | {"score": 0.9}
        for one in annotation_file.read(tmp_path / "ordered.json")["annotations"]
        if one["id"] != 999
    ]
    write_json(tmp_path / "predicted.json", predictions)
    evaluate(folder / f"{truth}.json", tmp_path / "predicted.json", tmp_path / "out.json", Evaluate())
    order = json.loads((tmp_path / "out.json").read_text())["order"]
    assert order["known"] >= order["pairs"] > 10
    assert (order["accuracy_decided"] == 1) == in_front
    assert order["accuracy_decided"] > 0.5
    assert 0.5 < order["masks_alone"]["accuracy_decided"] < 1


def test_amodal_training_sees_whole_objects_and_whole_occluders(made):
    """Convert's occluders of amodal masks reach the loader: more of each than is seen, and the hidden object's too."""
    folder, _ = made
    values = {"iterations": 1, "batch": 1, "lr": 0.1, "short_side": [SIZE], "max_side": SIZE, "flip": 0.0}
    schedule = Schedule.model_validate(values)
    visible, amodal = (
        TrainingPictures(folder / "bilayer.json", folder / "images/val", schedule, 0, "RGB", masks)[(0, 0, 0)][
            "instances"
        ]
        for masks in ("visible", "amodal")
    )
    assert len(amodal) == len(visible) + 1
    for field in ("gt_masks", "gt_occluder_masks"):
        seen, whole = visible.get(field).tensor, amodal.get(field).tensor[:-1]
        assert whole.sum() > seen.sum()
    assert (amodal.gt_masks.tensor[:-1] | ~visible.gt_masks.tensor).all()
    assert amodal.gt_occluder_masks.tensor[-1].any()
    assert amodal.gt_masks.tensor[-1].any()


def test_an_object_that_is_visible_nowhere_counts_as_covered_and_covers_nothing(made):
    folder, _ = made
    annotations = {one["id"]: one for one in annotation_file.read(folder / "bilayer.json")["annotations"]}
    hidden, front = annotations[999], annotations[1]
    assert hidden["occlusion"]["box_cover"] > 0.5
    assert hidden["occluder"] is not None
    assert hidden["occlusion"]["mask_cover"] == 0
    assert front["occlusion"]["mask_cover"] == 0
