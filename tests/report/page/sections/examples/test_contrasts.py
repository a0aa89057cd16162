"""The objects on which methods differ most: which, what is drawn of them, and what is left out."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_factory
from report_factory import run_parameters, write_run

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.files import InputError, read_json
from bcnet.report.figures import rois
from bcnet.report.figures.contrasts import drawn, most_different, window
from bcnet.report.figures.predictions import predictions_of, read_predictions
from bcnet.report.page.context import Context
from bcnet.report.page.sections.examples.contrasts import Contrasts, contrasts
from bcnet.report.tables.rows import methods


@pytest.fixture(scope="module", autouse=True)
def model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rois, "load_model", report_factory.load_model)
        patch.setattr(rois, "detect", report_factory.detect)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("contrasts")
    write_run(root)
    return root


@pytest.fixture
def copied(run, tmp_path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def section(root: Path, **changes) -> tuple[Contrasts | None, list[str]]:
    context = Context(run_parameters(**changes), root / "data/demo", root / "reports/demo")
    return contrasts(context), context.missing


def slowly(ious: np.ndarray, found: np.ndarray, most: int) -> list[int]:
    """The rule, word by word."""
    differences = [abs(ours - theirs) for ours, theirs in ious.T]
    only_one = [g for g, (ours, theirs) in enumerate(found.T) if ours != theirs]
    others = [g for g, difference in enumerate(differences) if g not in only_one and difference > 0]
    taken: list[int] = []
    for group in (only_one, others):
        while group:
            best = max(group, key=lambda g: (differences[g], -g))
            group.remove(best)
            taken.append(best)
    return taken[:most]


@pytest.mark.parametrize("most", [1, 4, 30])
def test_objects_are_chosen_by_the_rule(most):
    random = np.random.default_rng(most)
    for _ in range(5):
        ious = random.integers(0, 5, (2, 20)) / 4  # many ties
        found = (ious >= 0.75) & (random.random((2, 20)) < 0.7)
        assert most_different(ious, found, most) == slowly(ious, found, most)


def test_objects_on_which_two_methods_do_not_differ_are_not_shown():
    assert most_different(np.full((2, 4), 0.5), np.zeros((2, 4), bool), 10) == []


def test_a_window_is_the_box_with_its_surroundings_within_the_picture():
    assert window([50, 40, 20, 10], 100, 200) == (38, 28, 82, 62)
    assert window([2.5, 40.2, 20.2, 59.8], 100, 60) == (0, 4, 59, 100)


def test_a_mask_is_drawn_in_the_pixels_of_its_window():
    mask = np.zeros((30, 40), bool)
    mask[10:20, 12:18] = True
    numbers = [float(number) for number in re.findall(r"[\d.]+", drawn(encode(mask), 30, 40, (5, 8, 25, 28)))]
    xs, ys = numbers[0::2], numbers[1::2]
    # within half a pixel: the cells 7 to 12 and 2 to 11 of the window
    assert (min(xs), max(xs)) == pytest.approx((7, 13), abs=0.5)
    assert (min(ys), max(ys)) == pytest.approx((2, 12), abs=0.5)
    assert drawn(encode(mask), 30, 40, (20, 0, 30, 30)) == ""


def test_objects_that_only_one_of_the_chosen_two_finds_are_shown_first(run):
    shown, missing = section(run)
    assert missing == []
    assert [method.name for method in shown.methods] == ["mask-rcnn", "bcnet", "zoo", "theirs"]
    assert shown.chosen == (0, 1)
    only_one = [
        (each.drawings[0].failure == "found") != (each.drawings[1].failure == "found") for each in shown.objects
    ]
    assert only_one == sorted(only_one, reverse=True)
    assert any(only_one)
    for group in (True, False):
        differences = [
            abs(each.drawings[0].iou - each.drawings[1].iou)
            for each, of_one in zip(shown.objects, only_one, strict=True)
            if of_one is group
        ]
        assert differences == sorted(differences, reverse=True)
    assert len(shown.objects) == 12
    found, _ = section(run, tables={"metrics": ["AP"], "draws": 100, "compare_to": ["bcnet", "zoo"]})
    assert found.chosen == (1, 0)


def test_an_object_is_drawn_with_its_own_numbers_and_every_methods_best_mask(run):
    found, _ = section(run)
    annotations = {each["id"]: each for each in annotation_file.read(run / "data/demo/splits/val.json")["annotations"]}
    tables = [
        pd.read_parquet(run / f"reports/demo/metrics/{method.name}/{method.runs[0]}/val.parquet").set_index(
            "annotation_id"
        )
        for method in found.methods
    ]
    for each in found.objects:
        annotation = annotations[each.annotation["id"]]
        size = (96, 96)
        part = window(annotation["bbox"], *size)
        assert each.path == drawn(annotation["segmentation"], *size, part)
        assert each.occluder == (drawn(annotation["occluder"], *size, part) if annotation["occluder"] else "")
        assert each.cover == tables[0]["box_cover"][annotation["id"]]
        place = (annotation["id"] - 1) % 3
        for drawing, table, method in zip(each.drawings, tables, found.methods, strict=True):
            assert drawing.iou == table["iou"][annotation["id"]]
            predictions = read_json(run / f"data/demo/predictions/{method.name}/{method.runs[0]}/val.json")
            mine = [entry for entry in predictions if entry["image_id"] == annotation["image_id"]][place]
            # two of the three discs have one category: the moved one overlaps its own object most
            assert drawing.path == drawn(mine["segmentation"], *size, part)


def test_the_first_shown_have_the_maps_of_the_first_bcnet(run, copied):
    found, _ = section(run)
    names = ["occluder contour", "occluder mask", "true occluder", "target contour", "target mask", "true target"]
    assert all(list(each.maps) == names for each in found.objects)
    (copied / "data/demo/models/bcnet/0/model.safetensors").unlink()
    found, _ = section(copied)
    assert not any(each.maps for each in found.objects)


def test_a_method_without_masks_takes_no_part(copied):
    (copied / "data/demo/predictions/zoo/imported/val.json").unlink()
    (copied / "reports/demo/metrics/theirs/brought/val.json").unlink()
    found, _ = section(copied)
    assert [method.name for method in found.methods] == ["mask-rcnn", "bcnet"]
    path = copied / "reports/demo/metrics/bcnet/0/val.json"
    metrics = json.loads(path.read_text())
    metrics["provenance"]["iou_type"] = "bbox"  # as `evaluate` writes it for boxes
    path.write_text(json.dumps(metrics))
    assert section(copied)[0] is None


def test_an_object_whose_picture_is_missing_is_left_out(copied, run):
    gone = section(run)[0].objects[0]
    (copied / "data/demo/images/val" / gone.file_name).unlink()
    found, missing = section(copied)
    assert gone.file_name not in [each.file_name for each in found.objects]
    assert missing
    assert all(f"{gone.file_name}: missing, `bcnet fetch demo`" in line for line in missing)


def test_a_table_that_is_missing_is_said_and_a_broken_one_named(copied):
    table = copied / "reports/demo/metrics/bcnet/0/val.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(InputError, match=r"bcnet/0/val\.parquet: .*expected what `bcnet evaluate .*val\.json` makes"):
        section(copied)
    table.unlink()
    found, missing = section(copied)
    assert [method.name for method in found.methods if method.name == "bcnet"] == []
    assert [line.partition(": ")[0].endswith("bcnet/0/val.parquet") for line in missing] == [True]
    table.with_suffix(".json").unlink()
    assert section(copied)[1] == []  # the page lists metrics that are missing


def test_tables_of_other_objects_are_refused(copied):
    path = copied / "reports/demo/metrics/bcnet/0/val.parquet"
    table = pd.read_parquet(path)
    table["annotation_id"] += 1
    table.to_parquet(path)
    with pytest.raises(InputError, match=re.escape(f"{path}: other objects than in ")):
        section(copied)
    for method in methods(run_parameters()):
        one = copied / f"reports/demo/metrics/{method.name}/{method.runs[0]}/val.parquet"
        shutil.copy(path, one) if one != path else None
    with pytest.raises(
        InputError, match=r"val\.parquet: annotation_id 31: not in .*val\.json: run `bcnet evaluate` again"
    ):
        section(copied)


def test_predictions_of_some_pictures_are_read_as_they_are_written(run, tmp_path):
    path = run / "data/demo/predictions/mask-rcnn/0/val.json"
    assert read_predictions(path, {2, 7}) == [each for each in read_json(path) if each["image_id"] in (2, 7)]
    box = {"image_id": 1, "category_id": 2, "score": 0.5}
    (tmp_path / "boxes.json").write_text(json.dumps([box | {"bbox": [1, 2, 3, 4]}]), encoding="utf-8")
    assert read_predictions(tmp_path / "boxes.json", {1}) == [box]
    (tmp_path / "none.json").write_text('{"image_id": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"none\.json: expected COCO's result format"):
        read_predictions(tmp_path / "none.json", {1})


def test_predictions_that_were_not_evaluated_are_named(copied):
    path = copied / "data/demo/predictions/bcnet/0/val.json"
    entries = [each for each in read_json(path) if each["image_id"] == 10]
    path.write_text(json.dumps(entries[:2]), encoding="utf-8")
    predictions = predictions_of(path, [10])
    assert predictions.at(10, 1) == entries[1]
    with pytest.raises(
        InputError, match=r"val\.json: 2 predictions of image 10, expected more than 2: .*bcnet evaluate"
    ):
        predictions.at(10, 2)
    with pytest.raises(InputError, match=re.escape(f"{path}: ")):
        section(copied)
