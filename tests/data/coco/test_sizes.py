"""Proposed sizes follow images and boxes, are legal, and share the objects between levels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from ruamel.yaml import YAML

from bcnet import params
from bcnet.cli import main
from bcnet.data.coco.sizes import proposal


def objects(boxes: np.ndarray, size: tuple[int, int] = (480, 640)) -> tuple[list[dict], list[dict]]:
    """One image, and an annotation for each width and height."""
    images = [{"id": 1, "height": size[0], "width": size[1]}]
    return images, [{"image_id": 1, "bbox": [0, 0, *box], "iscrowd": 0} for box in boxes.tolist()]


def proposed(boxes: np.ndarray, size: tuple[int, int] = (480, 640)) -> dict[str, Any]:
    return YAML(typ="safe").load(proposal(*objects(boxes, size)))


def spread(count: int = 500) -> np.ndarray:
    """Widths and heights, as many small ones as large ones on a logarithmic scale."""
    random = np.random.default_rng(0)
    return np.exp(random.uniform(np.log(8), np.log(200), count))[:, None] * np.exp(random.normal(0, 0.3, (count, 2)))


def test_levels_share_the_objects() -> None:
    boxes, model = spread(), proposed(spread())["model"]
    for values, ends in (
        (boxes.max(axis=1) / 2, model["fcos_ranges"]),
        (np.sqrt(boxes.prod(axis=1)), model["solov2_ranges"][:4]),
    ):
        shares = np.bincount(np.searchsorted(ends, values), minlength=5) / len(boxes)
        assert shares == pytest.approx([0.2] * 5, abs=0.02)
    roots = np.sqrt(boxes.prod(axis=1))
    anchors = model["anchor_sizes"]
    assert np.mean(roots < anchors[0]) == pytest.approx(0.05, abs=0.02)
    assert np.mean(roots > anchors[-1]) == pytest.approx(0.05, abs=0.02)
    assert np.divide(anchors[1:], anchors[:-1]) == pytest.approx(4 * [(anchors[-1] / anchors[0]) ** 0.25], rel=0.05)


def test_sizes_are_those_of_the_resized_images() -> None:
    """Photographs of 4000 pixels are reduced to 800 / 1333 pixels and whole steps of 32, and boxes with them."""
    large = proposed(spread(), (3000, 4000))
    assert large["schedule"] == {"short_side": [800], "max_side": 1088}
    assert large["predict"] == {"short_side": 800, "max_side": 1088}
    assert large["model"] == proposed(spread() * 800 / 3000, (800, 1088))["model"]
    assert proposed(spread(), (427, 640))["schedule"] == {"short_side": [416], "max_side": 640}
    small = proposed(spread(), (150, 200))["schedule"]  # 160 x 213, which 192 would make 144 x 192
    assert small == {"short_side": [160], "max_side": 224}


@pytest.mark.parametrize("side", [1, 3, 40, 600])
def test_objects_of_one_size_have_legal_sizes_too(side: int) -> None:
    model = proposed(np.full((20, 2), float(side)))["model"]
    params.Model.model_validate(model)
    assert model["anchor_sizes"][2] == max(4, side)


def test_no_object_no_sizes() -> None:
    images, annotations = objects(spread(3))
    assert proposal(images, []) == ""
    assert proposal(images, [{**annotations[0], "iscrowd": 1}, {**annotations[1], "bbox": [1, 1, 0, 9]}]) == ""


def test_the_check_ends_with_lines_that_fit_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (96, 64)).save(tmp_path / "images/a.png")
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
        "categories": [{"id": 1, "name": "a"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert main(["check", "train.json"]) == 0
    assert "sizes" not in capsys.readouterr().out
    assert main(["check", "train.json", "--images", "images"]) == 0
    lines = capsys.readouterr().out.partition("sizes for params.yaml that fit these images and boxes:\n")[2]
    sizes = YAML(typ="safe").load(lines)
    assert sizes["predict"] == {"short_side": 64, "max_side": 96}
    preset = YAML(typ="safe").load(ROOT / "presets/files.yaml")
    for section, values in sizes.items():
        assert values.keys() <= preset[section].keys()
        preset[section] |= values
    params.Params.model_validate(preset)
