"""COCOA-cls and D2SA: an amodal `segmentation` and a `visible_mask` become the project's format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from part_factory import CATEGORIES, HEIGHT, WIDTH, content, rectangle

from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.sources import cocoa_cls
from bcnet.files import InputError


def cocoa_classes() -> dict[str, Any]:
    """A cup of which the left half is seen, a plate that nothing hides, and one without a pixel."""
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[2:8, 2:5] = True
    data = content(
        CATEGORIES, visible_mask=encode(seen), invisible_mask=encode(~seen), occlude_rate=0.5, bbox=[0, 0, 1, 1]
    )
    whole = {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [rectangle(10, 3, 14, 9)], "area": 3}
    data["annotations"] += [
        whole,
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": [rectangle(20, 3, 24, 9)]},
    ]
    return data


def test_cocoa_cls_becomes_visible_and_amodal_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cls.json"
    path.write_text(json.dumps(cocoa_classes()))
    found = cocoa_cls.read(path)
    cup, plate = found["annotations"]
    assert (cup["bbox"], cup["area"], cup["amodal_bbox"]) == ([2, 2, 3, 6], 18, [2, 2, 7, 6])
    assert decode(cup["amodal_segmentation"], HEIGHT, WIDTH).sum() == 42
    assert (plate["segmentation"], plate["area"]) == (plate["amodal_segmentation"], 24)
    assert found["categories"] == CATEGORIES
    assert "cls.json: 1 objects without a pixel are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"category_id": 9}, "annotation 1: category_id: 9: expected one of the file's 2"),
        ({"image_id": None}, "annotation 1: image_id: None: expected one of the file's 1"),
        ({"iscrowd": 5}, "annotation 1: iscrowd: 5: expected 0 or 1"),
        ({"iscrowd": False}, "annotation 1: iscrowd: False: expected 0 or 1"),
        ({"iscrowd": 1.0}, "annotation 1: iscrowd: 1.0: expected 0 or 1"),
        ({"visible_mask": "x"}, "annotation 1: visible_mask: 'x', expected polygons or RLE"),
    ],
)
def test_what_is_wrong_in_cocoa_cls_is_named(change: dict[str, Any], line: str, tmp_path: Path) -> None:
    data = cocoa_classes()
    data["annotations"][0] |= change
    path = tmp_path / "cls.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as error:
        cocoa_cls.read(path)
    assert str(error.value) == f"{path}: {line}"
    for annotation in data["annotations"]:
        annotation.pop("visible_mask", None)
    path.write_text(json.dumps(content(CATEGORIES)))
    with pytest.raises(InputError, match="no annotation has 'visible_mask', expected COCOA-cls or D2SA"):
        cocoa_cls.read(path)
