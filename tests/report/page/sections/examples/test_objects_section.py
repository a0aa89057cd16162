"""The browser's data: which objects it has, what it says of them, and the pictures and masks within the budget."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_factory import run_parameters, write_run

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode, encode
from bcnet.report.page.context import Context
from bcnet.report.page.sections.examples import objects
from bcnet.report.page.sections.examples.objects import coarse_path, missed_objects


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("objects")
    write_run(root)
    return root


def made(root: Path):
    context = Context(run_parameters(), root / "data/demo", root / "reports/demo")
    return missed_objects(context), context.missing


def tables(root: Path) -> list[pd.DataFrame]:
    paths = ("mask-rcnn/0", "bcnet/0", "zoo/imported", "theirs/brought")
    return [pd.read_parquet(root / f"reports/demo/metrics/{path}/val.parquet") for path in paths]


def test_every_object_that_any_method_does_not_find_is_there_by_how_methods_part(run):
    found, missing = made(run)
    assert missing == []
    of_runs = tables(run)
    wanted = [k for k in range(len(of_runs[0])) if any(table["failure"][k] != 0 for table in of_runs)]
    spread = {k: np.ptp([table["iou"][k] for table in of_runs]) for k in wanted}
    wanted.sort(key=lambda k: -spread[k])
    assert (found.count, found.objects) == (len(wanted), len(of_runs[0]))
    columns = found.content["objects"]
    for table, fates, ious, taken in zip(of_runs, columns["fate"], columns["iou"], columns["taken"], strict=True):
        assert list(map(int, fates)) == [table["failure"][k] for k in wanted]
        assert ious == [round(100 * table["iou"][k]) for k in wanted]
        assert taken == [-1 if pd.isna(table["taken_for"][k]) else table["taken_for"][k] for k in wanted]
    assert columns["cover"] == [round(100 * of_runs[0]["box_cover"][k]) for k in wanted]
    assert {found.content["sizes"][size] for size in columns["size"]} == {"medium"}
    names = {each["id"]: each for each in annotation_file.read(run / "data/demo/splits/val.json")["images"]}
    files = [found.content["files"][place] for place in columns["file"]]
    assert files == [names[of_runs[0]["image_id"][k]]["file_name"] for k in wanted]


def test_objects_have_thumbnails_and_masks_as_far_as_the_budget_goes(run, monkeypatch):
    found, _ = made(run)
    assert found.content["tiles"] == sorted(found.content["tiles"]) or -1 not in found.content["tiles"]
    assert found.drawn == found.count
    assert all(len(paths) == 2 + 4 for paths in found.content["masks"].values())
    whole = sum(len(path) for paths in found.content["masks"].values() for path in paths)
    monkeypatch.setattr(objects, "MASK_BYTES", whole // 2)
    monkeypatch.setattr(objects, "TILES", 5)
    monkeypatch.setattr(objects, "PICTURE_BYTES", 1)
    less, _ = made(run)
    assert sum(len(path) for paths in less.content["masks"].values() for path in paths) <= whole // 2
    assert sum(tile >= 0 for tile in less.content["tiles"]) == 5
    monkeypatch.setattr(objects, "SPRITE_BYTES", 150)  # not even these fit
    least, _ = made(run)
    assert len(least.content["sprite"]) <= 150
    assert sum(tile >= 0 for tile in least.content["tiles"]) < 5
    assert len(less.content["pictures"]) == 1
    assert less.count == found.count


def test_an_object_whose_picture_is_missing_is_listed_without_it(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run/data/demo/images/val").iterdir():
        path.unlink()
    found, missing = made(tmp_path / "run")
    assert set(found.content["tiles"]) == {-1}
    assert found.content["pictures"] == found.content["masks"] == {}
    assert found.content["sprite"] == ""
    assert all("missing, `bcnet fetch demo`" in line for line in missing)


def test_without_masks_there_is_no_browser(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run/reports/demo/metrics").glob("*/*/val.json"):
        path.write_text(path.read_text().replace('"segm"', '"bbox"'))
    assert made(tmp_path / "run")[0] is None


def test_a_coarse_path_is_the_masks_outline_to_a_pixel():
    mask = np.zeros((60, 80), bool)
    mask[10:30, 20:60] = True
    mask[15:20, 30:40] = False
    path = coarse_path(encode(mask), (60, 80), 1.0)
    assert path.count("M") == 2
    drawn = np.zeros_like(mask)
    for ring in path.split("M")[1:]:
        start, _, steps = ring.rstrip("z").partition("l")
        numbers = [int(number) for number in steps.replace("-", " -").split()]
        points = np.cumsum([list(map(int, start.split())), *np.reshape(numbers, (-1, 2))], axis=0)
        polygon = [float(value) for value in points.ravel()]
        drawn ^= decode([polygon], 60, 80)
    assert np.mean(drawn != mask) < 0.04
    assert coarse_path(encode(np.zeros((60, 80), bool)), (60, 80), 1.0) == ""
    half = coarse_path(encode(mask), (60, 80), 0.5)
    assert max(int(number) for number in half.replace("M", " ").partition("l")[0].split()) <= 30
