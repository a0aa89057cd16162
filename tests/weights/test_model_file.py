"""Model files whose metadata is hostile or damaged end in one line, before memory for a model is taken."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.weights.model_file import load_model, save_model


def about(**values: Any) -> dict[str, Any]:
    sizes = {"fpn_channels": 32, "box_channels": 32}
    return {
        "variant": {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "mask_rcnn"},
        "model": sizes,
        "predict": {"short_side": 64, "max_side": 64},
        "categories": [{"id": 1, "name": "cup"}],
        "provenance": {},
    } | values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"categories": 5}, "categories: 5: expected a list of objects"),
        ({"categories": []}, "categories: []: expected a list of objects"),
        ({"categories": {"id": 1}}, 'categories: {"id": 1}: expected a list'),
        ({"categories": [5]}, "categories: [5]: expected a list of objects"),
        ({"categories": [{"id": "1"}]}, 'categories: {"id": "1"}: expected an object with an id'),
        ({"categories": [{"id": 1, "name": 5}]}, 'categories: {"id": 1, "name": 5}: expected an object with an id'),
        ({"categories": [{"id": 1}, {"id": 1}]}, "categories: two have one id"),
        ({"variant": 5}, "AttributeError"),
        ({"variant": {"method": []}}, "unhashable type"),
        ({"model": {"fpn_channels": 10**7 // 32 * 32}}, "less than or equal to 4096"),
        ({"model": {"box_channels": 10**7}}, "less than or equal to 65536"),
        ({"predict": None}, "valid dictionary"),
        ({"provenance": 5}, "TypeError"),
        ({"conventions": "none"}, "none"),
        ({"conventions": []}, "TypeError"),
    ],
)
def test_metadata_of_another_kind_ends_in_one_line(values: dict[str, Any], line: str, path: Path) -> None:
    save_model(path, {"a": torch.zeros(1)}, about(**values))
    with pytest.raises(InputError) as raised:
        load_model(path)
    assert str(raised.value).startswith(f"{path}: metadata: not as this version writes it: ")
    assert line in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[" * 100_000, "null", "5", '{"variant": ' + "[" * 5000 + "]" * 5000 + "}"])
def test_metadata_that_is_no_object_ends_in_one_line(text: str, path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, metadata={"bcnet": text})
    with pytest.raises(InputError, match="metadata: not as this version writes it: "):
        load_model(path)


def test_sizes_beyond_the_tensors_take_no_memory(path: Path) -> None:
    """A hundred million categories' worth of weights would not fit."""
    many = [{"id": number} for number in range(100_000)]
    save_model(path, {"a": torch.zeros(1)}, about(categories=many, model={"box_channels": 2**16, "fpn_channels": 4096}))
    with pytest.raises(InputError, match=r"m.safetensors: a: left over"):
        load_model(path)


def test_a_tensor_of_another_shape_is_named(path: Path) -> None:
    save_model(path, {"backbone.bottom_up.stem.conv.weight": torch.zeros(1)}, about())
    with pytest.raises(InputError, match=r"m.safetensors: [\w.]+: (missing|left over|shape .*)$"):
        load_model(path)


def test_an_error_has_one_line_by_construction() -> None:
    assert str(InputError("a:  two\n  lines\r\n\n of\u2028 many")) == "a:  two lines of many"
    worker = "Caught InputError in process 0.\nTraceback:\n  File\nbcnet.files.InputError: a.jpg: broken\n"
    assert str(InputError(worker)) == "a.jpg: broken"


def test_an_output_that_is_a_folder_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    square = [2, 2, 9, 2, 9, 8, 2, 8]
    image = {"id": 1, "height": 12, "width": 16, "file_name": "a.png"}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square]}
    content = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cup"}]}
    (path.parent / "a.json").write_text(json.dumps(content))
    (path.parent / "out.json").mkdir()
    assert main(["check", str(path.parent / "a.json"), "--fix", str(path.parent / "out.json")]) == 2
    said = capsys.readouterr().err
    assert said == f"bcnet check: {path.parent}/out.json: is a folder, expected the name of a file to write\n"
    assert not list((path.parent / "out.json").iterdir())
