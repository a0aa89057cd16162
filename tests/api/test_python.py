"""The examples of docs/python.md run as they stand, on made data and an untrained model."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from fcos_factory import SIZES
from model_factory import build
from PIL import Image
from places import ROOT

import bcnet
from bcnet.data.coco.images import read_image
from bcnet.data.synthetic.shapes import generate
from bcnet.files import read_json, write_json
from bcnet.inference.predict import results
from bcnet.params import methods
from bcnet.params.data import Shapes
from bcnet.params.models import Predict
from bcnet.weights.model_file import load_model, save_model

TEXT = (ROOT / "docs/python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of `make demo` that the examples use."""
    folder = tmp_path_factory.mktemp("demo")
    data = folder / "data/demo"
    generate(Shapes(source="shapes", size=96, train=1, val=2, objects=(3, 4)), data)
    truth = bcnet.read_annotations(data / "annotations/instances_val.json")
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet")
    shown = Predict(short_side=96, max_side=96, score_threshold=0, detections=5)
    torch.manual_seed(0)
    tensors = build(variant, SIZES, shown, len(truth["categories"])).state_dict()
    sections = {"variant": variant, "model": SIZES, "predict": shown}
    about = {name: section.model_dump(mode="json", exclude_unset=True) for name, section in sections.items()}
    about |= {"categories": truth["categories"], "provenance": {}}
    save_model(data / "models/bcnet/0/model.safetensors", tensors, about)
    model, found = load_model(data / "models/bcnet/0/model.safetensors"), []
    for image in truth["images"]:
        found += results(model, read_image(data / "images/val" / image["file_name"]), image["id"])
    write_json(data / "predictions/bcnet/0/val.json", found)
    return folder


@pytest.fixture
def inside(demo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(demo)
    return demo


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3


def test_ap_and_recall_of_a_file_of_predictions(inside: Path, capsys: pytest.CaptureFixture[str]):
    exec(EXAMPLES[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"AP 0\.\d{3}; \d+ of \d+ objects are not found", printed[-1])
    assert sum(line.startswith("covered ") for line in printed) == 3


def test_predictions_of_arrays(inside: Path, capsys: pytest.CaptureFixture[str]):
    exec(EXAMPLES[1], variables := {})
    assert re.match(r"10 predictions, AP 0\.", capsys.readouterr().out)
    of_file = bcnet.evaluate(variables["truth"], "data/demo/predictions/bcnet/0/val.json").metrics
    of_arrays = variables["evaluation"].metrics
    assert len(read_json(Path("data/demo/predictions/bcnet/0/val.json"))) == of_arrays["provenance"]["predictions"]
    assert of_arrays["segm"] == of_file["segm"]
    assert of_arrays["recall"] == of_file["recall"]


def test_drawings(inside: Path):
    exec(EXAMPLES[2], {})
    maps, sheet = (np.asarray(Image.open(name)) for name in ("maps.png", "sheet.png"))
    assert maps.shape == (196, 6 * 196 + 5 * 8, 3)  # the box, four maps, the mask
    assert sheet.shape[1:] == (1320, 3)
    assert len(np.unique(maps.reshape(-1, 3), axis=0)) > 50


def test_the_document_names_all_that_there_is():
    assert all(f"`{name}" in TEXT or f"bcnet.{name}" in TEXT for name in bcnet.__all__)
