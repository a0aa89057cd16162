"""`bcnet show`, from a model file and pictures to drawings."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from model_factory import build
from PIL import Image

from bcnet.cli import main
from bcnet.drawing.roi_maps import heat_map
from bcnet.params import methods
from bcnet.params.models import FcosPredict, Model, Predict, SOLOv2Predict
from bcnet.params.variants import DETECTORS
from bcnet.weights.model_file import save_model

SIZES = Model(fpn_channels=64, box_channels=32, rois=16, proposals_train=50, proposals_test=20)
PREDICT = Predict(
    short_side=64,
    max_side=96,
    score_threshold=0,
    nms=0.5,
    detections=12,
    fcos=FcosPredict(score_threshold=0),
    solov2=SOLOv2Predict(score_threshold=0),
)
PROBABILITIES = {"occluder_contour": 0.2, "occluder_mask": 0.35, "target_contour": 0.6, "target_mask": 0.8}


def write_model(path: Path, **switches: object) -> None:
    """A model of random weights whose mask head gives maps of one value, as PROBABILITIES says."""
    torch.manual_seed(0)
    about = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet", **switches}
    variant = methods.variant(**{key: value for key, value in about.items() if value})
    module = build(variant, SIZES, PREDICT, 2)
    if variant.method == "bcnet":
        for name, predictor in module.roi_heads.mask_head.head.predictors.items():
            torch.nn.init.zeros_(predictor.predict.weight)
            torch.nn.init.constant_(predictor.predict.bias, float(np.log(1 / (1 / PROBABILITIES[name] - 1))))
    description = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": PREDICT.model_dump(mode="json"),
        "categories": [{"id": 1, "name": "<b>ring</b> & co"}, {"id": 7, "name": "star"}],
        "provenance": {},
    }
    save_model(path, module.state_dict(), description)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A colour picture, a turned one, a grey one of 16 bits, a line."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (48, 80, 3)).astype(np.uint8)
    Image.fromarray(noise).save("street.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save("turned.jpg", exif=exif)
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save("grey.png")
    Image.fromarray(noise[:, :1]).resize((1, 500)).save("line.png")
    (tmp_path / "other").mkdir()
    Image.fromarray(noise).save("other/street.png")
    (tmp_path / "notes.jpg").write_text("no picture", encoding="utf-8")
    return tmp_path


def texts(path: Path) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("detector", ["faster_rcnn", "fcos"])
def test_each_column_shows_the_map_of_its_name(detector: str, pictures: Path) -> None:
    write_model(pictures / "model", detector=detector)
    assert main(["show", "--model", "model", "--score", "0", "--objects", "3", "street.jpg"]) == 0
    names = [each for each in texts(pictures / "shown/street.svg") if each.replace(" ", "_") in PROBABILITIES]
    assert names == ["occluder contour", "occluder mask", "target contour", "target mask"]
    drawn = np.asarray(Image.open(pictures / "shown/street.png").convert("RGB"))
    for column, name in enumerate(names, start=1):
        colour = heat_map(np.array([[PROBABILITIES[name.replace(" ", "_")]]]))[0, 0]
        left = 32 + column * (196 + 16)
        whole_rows = (drawn[:, left : left + 196] == colour).all(axis=(1, 2))
        assert whole_rows.sum() == 3 * 196  # three objects
    assert any(each.startswith(f"BCNet ({DETECTORS[detector]}, ") for each in texts(pictures / "shown/street.svg"))


def test_the_best_are_drawn_and_the_caption_says_so(model: Path, pictures: Path) -> None:
    assert main(["show", "--model", str(model), "--score", "0", "--objects", "3", "street.jpg"]) == 0
    shown = texts(pictures / "shown/street.svg")
    assert "the best 3 of 12 objects with a score of at least 0" in shown
    labels = [each for each in shown if re.fullmatch(r"(<b>ring</b> & co|star) 0\.\d\d", each)]
    assert len(labels) == 6
    assert labels[:3] == labels[3:] == sorted(labels[:3], key=lambda label: label[-4:], reverse=True)
    assert main(["show", "--model", str(model), "--score", "0", "--objects", "40", "--out", "all", "street.jpg"]) == 0
    every = texts(pictures / "all/street.svg")
    assert "12 objects with a score of at least 0" in every
    assert [each for each in every if each in labels][:3] == labels[:3]


def test_any_picture_is_drawn(model: Path, pictures: Path) -> None:
    files = ["street.jpg", "turned.jpg", "grey.png", "line.png"]
    assert main(["show", "--model", str(model), "--score", "1", *files]) == 0
    drawn = sorted(path.name for path in (pictures / "shown").iterdir())
    assert drawn == sorted(Path(file).stem + ending for file in files for ending in (".png", ".svg"))
    for file in files:
        assert "no object above score 1" in texts(pictures / "shown" / f"{Path(file).stem}.svg")
    heights = {name: Image.open(pictures / f"shown/{name}.png").height for name in ("street", "turned", "line")}
    assert heights["street"] < heights["turned"] == heights["line"]  # upright it is higher than wide


def test_a_line_of_one_pixel_can_hold_objects(model: Path, pictures: Path) -> None:
    assert main(["show", "--model", str(model), "--score", "0", "--objects", "2", "line.png"]) == 0
    assert "final mask" in texts(pictures / "shown/line.svg")


def test_same_bytes_twice(model: Path, pictures: Path) -> None:
    for out in ("a", "b"):
        assert main(["show", "--model", str(model), "--score", "0", "--out", out, "street.jpg"]) == 0
    for ending in ("png", "svg"):
        assert (pictures / f"a/street.{ending}").read_bytes() == (pictures / f"b/street.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("switches", "missing"),
    [
        ({"method": "mask_rcnn"}, "no occluder contour, no occluder mask, no target contour"),
        (
            {"structure": "single", "target": {"contour": False}},
            "no occluder contour, no occluder mask, no target contour",
        ),
        ({"occluder": {"contour": False}, "label": "Mine"}, "no occluder contour"),
    ],
)
def test_a_head_with_fewer_maps_shows_what_it_has_and_says_what_not(
    switches: dict, missing: str, pictures: Path
) -> None:
    write_model(pictures / "other.safetensors", **switches)
    assert main(["show", "--model", "other.safetensors", "--score", "0", "street.jpg"]) == 0
    shown = texts(pictures / "shown/street.svg")
    (about,) = (each for each in shown if "efficientnet_lite0" in each)
    assert f"its mask head has {missing}" in shown
    assert about.startswith(switches.get("label") or ("BCNet" if "structure" in switches else "Mask R-CNN"))
    names = ["occluder contour", "occluder mask", "target contour", "target mask"]
    assert [each for each in shown if each in names] == [each for each in names if f"no {each}" not in missing]


@pytest.mark.parametrize(("method", "detector", "name"), [("solov2", None, "box-free"), ("condinst", "fcos", "FCOS")])
def test_masks_of_the_whole_picture_are_shown_in_boxes_without_maps(
    method: str, detector: str | None, name: str, pictures: Path
) -> None:
    write_model(pictures / "other.safetensors", method=method, detector=detector, label="Mine")
    assert main(["show", "--model", "other.safetensors", "--score", "0", "--objects", "2", "street.jpg"]) == 0
    shown = texts(pictures / "shown/street.svg")
    assert f"Mine ({name}, efficientnet_lite0): the box of each object, stretched to a square" in shown
    assert "its masks are of the image, not of RoIs" in shown
    assert [each for each in shown if each in ("RoI", "box", "final mask")] == ["box", "final mask"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--score 1.5 street.jpg", "--score 1.5: expected 0 to 1"),
        ("--score nan street.jpg", "--score nan: expected 0 to 1"),
        ("--objects 0 street.jpg", "--objects 0: expected 1 to 40"),
        ("--objects 41 street.jpg", "--objects 41: expected 1 to 40"),
        ("notes.jpg", "notes.jpg: not a readable image"),
        ("absent.jpg", "absent.jpg: not a readable image: No such file or directory"),
        ("other", "other: is a folder, expected an image file"),
        ("--model notes.jpg street.jpg", "notes.jpg: not a safetensors file"),
        ("--model absent street.jpg", "absent: no such model file"),
        (
            "street.jpg other/street.png",
            "other/street.png: would be drawn to shown/street.png like street.jpg: show it into another --out",
        ),
        ("--out . grey.png", "grey.png: is one of the images to show, expected another folder as --out"),
        ("--out street.jpg grey.png", "street.jpg/grey.png: cannot be written"),
    ],
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(
    arguments: str, line: str, model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()}
    assert main(["show", "--model", str(model), *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bcnet show: ")
    assert line in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()} == before


def test_a_picture_shown_twice_is_refused_as_well(model: Path, pictures: Path) -> None:
    assert main(["show", "--model", str(model), "street.jpg", "street.jpg"]) == 2
    assert not (pictures / "shown").exists()


def test_the_drawing_shows_the_picture_upright(model: Path, pictures: Path) -> None:
    """Of a picture with a dark left half, turned by EXIF 6, the upper half is dark."""
    half = np.full((40, 80, 3), 220, np.uint8)
    half[:, :40] = 20
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(half).save("half.png", exif=exif)
    assert main(["show", "--model", str(model), "--score", "1", "half.png"]) == 0
    drawn = np.asarray(Image.open(io.BytesIO((pictures / "shown/half.png").read_bytes())).convert("L"))
    assert drawn[120, 60] < 60 < 180 < drawn[108 + 550, 60]


def test_a_model_file_predicts_where_there_is_no_params_file(model: Path, pictures: Path) -> None:
    assert not Path("params.yaml").exists()
    assert main(["predict", "--model", str(model), "--out", "p.json", "street.jpg", "turned.jpg"]) == 0
    assert {each["image_id"] for each in json.loads(Path("p.json").read_text())} == {"street.jpg", "turned.jpg"}
