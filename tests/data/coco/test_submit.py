"""Predictions on test-dev: made in chunks that a killed run need not make again, and zipped for COCO's server."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_factory import coco_api, rle
from model_factory import build
from PIL import Image
from places import ROOT
from ruamel.yaml import YAML

from bcnet import layout
from bcnet.cli import main
from bcnet.data.coco.submit import submit
from bcnet.data.sources.coco2017 import CATEGORY_IDS
from bcnet.files import InputError
from bcnet.inference import chunks, predict
from bcnet.inference.speed import Speed, device_name, read
from bcnet.params import methods
from bcnet.params.models import Model, Predict
from bcnet.weights.model_file import save_model

PREDICT = ["predict", "bcnet", "--split", "test-dev"]
IMAGES = [{"id": 5, "file_name": "5.jpg", "height": 40, "width": 60}]
IMAGES += [{"id": 9, "file_name": "9.jpg", "height": 30, "width": 20}]


def prediction(**changes: Any) -> dict[str, Any]:
    """A right prediction on image 5."""
    right = {"image_id": 5, "category_id": 90, "score": 0.25, "segmentation": rle((3, 4, 20, 10), (40, 60))}
    return {**right, **changes}


def zipped(folder: Path, content: Any) -> Path:
    """The zip of some predictions, or of a text."""
    (folder / "mine.json").write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    submit(folder / "mine.json", IMAGES, "a", folder / "out")
    return folder / "out/detections_test-dev2017_a_results.zip"


def test_the_zip_holds_one_json_of_its_name_with_the_predictions(tmp_path: Path) -> None:
    predictions = [prediction(), prediction(image_id=9, segmentation=rle((0, 0, 5, 5), (30, 20)), score=1)]
    out = zipped(tmp_path, predictions)
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["detections_test-dev2017_a_results.json"]
        assert archive.testzip() is None
        assert archive.infolist()[0].compress_type == zipfile.ZIP_DEFLATED
        content = json.loads(archive.read(archive.namelist()[0]))
    assert content == predictions
    (tmp_path / "occluded").mkdir()
    more = [{**each, "box_score": 0.5, "occluder": each["segmentation"]} for each in predictions]
    assert zipped(tmp_path / "occluded", more).read_bytes() == out.read_bytes()  # the server knows neither
    truth = {"images": IMAGES, "annotations": [], "categories": [{"id": 90, "name": "toothbrush"}]}
    assert coco_api(truth, content, "segm").stats[0] == -1  # the server's code reads it; nothing is there to be found


def test_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for text in (json.dumps([prediction()]), json.dumps([prediction()], indent=3)):
        out = zipped(tmp_path, text)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
        out.unlink()
    assert len(digests) == 1
    assert zipfile.ZipFile(zipped(tmp_path, [prediction()])).infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_coco_has_80_categories() -> None:
    assert len(CATEGORY_IDS) == 80
    assert {1, 13, 25, 27, 90} <= CATEGORY_IDS
    assert not {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91} & CATEGORY_IDS


NOT_STRING = {"size": [40, 60], "counts": [2400]}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[{]", r"mine.json: not a JSON list of predictions \(truncated\?\)"),
        ({"annotations": []}, r"mine.json: not a JSON list of predictions .*Expected `array`"),
        ([], r"mine.json: no predictions: the server does not accept an empty list"),
        ([prediction(), 7], r"mine.json: prediction at place 1 [(]from 0[)]: 7: expected an object"),
        ([prediction(image_id=6)], r"place 0 [(]from 0[)]: image_id: 6: no image has this id, there are 2"),
        ([prediction(image_id="5")], 'place 0 [(]from 0[)]: image_id: "5": '),
        (
            [prediction(category_id=12)],
            r"place 0 [(]from 0[)]: category_id: 12: no category has this id, there are 80, with ids from 1 to 90",
        ),
        ([prediction(score="1")], 'place 0 [(]from 0[)]: score: "1": expected a finite number'),
        (f"[{json.dumps(prediction(score=float('nan')))}]", r"mine.json: "),
        (
            [prediction(bbox=[3, 4, 20, 10])],
            r"place 0 [(]from 0[)]: bbox: expected exactly image_id, category_id, score, segm",
        ),
        (
            [prediction(segmentation=rle((0, 0, 5, 5), (60, 40)))],
            r"place 0 [(]from 0[)]: RLE size is \[60, 40\], .*\[40, 60\]",
        ),
        ([prediction(segmentation={"size": [40, 60], "counts": "0"})], r"place 0 [(]from 0[)]: RLE counts"),
        ([prediction(segmentation=NOT_STRING)], r"place 0 [(]from 0[)]: segmentation: expected compressed RLE"),
        (
            [prediction(segmentation=[[1, 1, 9, 1, 9, 9]])],
            r"place 0 [(]from 0[)]: segmentation: expected compressed RLE",
        ),
        ([{"image_id": 5, "category_id": 1, "score": 0.5}], r"place 0 [(]from 0[)]: segmentation: missing"),
        ([prediction()] * 101, r"place 100 [(]from 0[)]: image_id: 5: expected at most 100 predictions of an image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_server_would_refuse(content: Any, line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=line) as raised:
        zipped(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out/*"))
    assert not list(tmp_path.glob("out/.*"))


def test_a_hundred_of_an_image_are_taken(tmp_path: Path) -> None:
    assert zipped(tmp_path, [prediction()] * 100).exists()


def test_a_name_that_is_no_file_name(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps([prediction()]))
    with pytest.raises(InputError, match=r"'a/b': expected a name"):
        submit(tmp_path / "mine.json", IMAGES, "a/b", tmp_path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A COCO dataset with five test pictures, of which test-dev is the last four, and an untrained model."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/coco"
    yaml = YAML()
    content = yaml.load(ROOT / "presets/coco.yaml")
    content["predict"] |= {"short_side": 64, "max_side": 64, "score_threshold": 0.0, "detections": 3}
    variant = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}
    content["variants"] = {"bcnet": variant}
    content["tables"]["reproduces"] = {}
    content["tables"]["published"] = []
    content["model"] |= {"fpn_channels": 32, "box_channels": 32}
    yaml.dump(content, tmp_path / "params.yaml")
    (folder / "images/test").mkdir(parents=True)
    (folder / "annotations").mkdir()
    random = np.random.default_rng(0)
    for number in range(1, 6):
        picture = Image.fromarray(random.integers(0, 255, (48, 64, 3), np.uint8))
        picture.save(folder / f"images/test/{number}.png")
    entries = [{"id": i, "file_name": f"{i}.png", "height": 48, "width": 64} for i in (5, 3, 2, 4)]
    info = {"images": entries, "categories": [{"id": i, "name": str(i)} for i in sorted(CATEGORY_IDS)]}
    (folder / "annotations/image_info_test-dev2017.json").write_text(json.dumps(info))
    sizes, settings = (
        section.model_validate(content[key]) for section, key in ((Model, "model"), (Predict, "predict"))
    )
    description = {"variant": variant, "model": sizes.model_dump(), "predict": settings.model_dump(mode="json")}
    description |= {"categories": info["categories"]}
    description |= {"provenance": {"train_on": "train", "schedule": {}, "versions": {}}}
    model = build(methods.variant(**variant), sizes, settings, len(CATEGORY_IDS))
    save_model(folder / "models/bcnet/0/model.safetensors", model.state_dict(), description)
    return folder


def test_from_pictures_to_the_zip(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PREDICT) == 0
    out = project / "predictions/bcnet/0/test-dev.json"
    found = json.loads(out.read_bytes())
    assert [one["image_id"] for one in found] == [i for i in (2, 3, 4, 5) for _ in range(3)]
    provenance = json.loads(out.with_suffix(".provenance.json").read_text())
    listed = (project / "annotations/image_info_test-dev2017.json").read_bytes()
    assert provenance["annotations_sha256"] == hashlib.sha256(listed).hexdigest()
    timed = read(out.with_suffix(".speed.json"), Speed)
    assert (timed.device, timed.pictures) == (device_name(torch.device("cpu")), 4)
    assert main(["submit", "bcnet"]) == 0
    zipped = "detections_test-dev2017_bcnet-0_results"
    said = capsys.readouterr().out
    assert said.startswith(f"data/coco/submissions/{zipped}.zip: 12 predictions of 4 of 4 images, ")
    assert zipfile.ZipFile(project / f"submissions/{zipped}.zip").read(f"{zipped}.json") == out.read_bytes()


def killed_at_the_fourth(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Store chunks of two pictures and interrupt the run at its fourth; gives the ids of all that are predicted."""
    seen: list[int] = []
    real = predict.results

    def results(*args: Any) -> Any:
        seen.append(args[2])
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(chunks, "CHUNK", 2)
    monkeypatch.setattr(predict, "results", results)
    return seen


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = project / "predictions/bcnet/0/test-dev.json"
    assert main(PREDICT) == 0
    undisturbed = out.read_bytes(), out.with_suffix(".provenance.json").read_bytes()
    assert not list(project.parent.glob("checkpoints/*"))
    shutil.rmtree(project / "predictions")
    seen = killed_at_the_fourth(monkeypatch)
    assert main(PREDICT) == 130
    assert not out.exists()
    assert main(PREDICT) == 0
    assert seen == [2, 3, 4, 5, 4, 5]
    assert "2 of 4 images are done" in capsys.readouterr().err
    assert (out.read_bytes(), out.with_suffix(".provenance.json").read_bytes()) == undisturbed
    assert read(out.with_suffix(".speed.json"), Speed).pictures == 4
    assert not list(project.parent.glob("checkpoints/*"))


def test_what_is_done_counts_only_for_the_same_parameters(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = killed_at_the_fourth(monkeypatch)
    assert main(PREDICT) == 130
    yaml = YAML()
    content = yaml.load(Path("params.yaml"))
    content["predict"]["detections"] = 2
    yaml.dump(content, Path("params.yaml"))
    assert main(PREDICT) == 0
    assert seen[4:] == [2, 3, 4, 5]


def test_predictions_from_elsewhere(project: Path) -> None:
    mine = prediction(image_id=2, segmentation=rle((3, 4, 20, 10), (48, 64)))
    Path("mine.json").write_text(json.dumps([mine]))
    assert main(["submit", "other", "--predictions", "mine.json"]) == 0
    assert (project / "submissions/detections_test-dev2017_other_results.zip").exists()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "submit bcnet",
            "predictions/bcnet/0/test-dev.json: no such file (`bcnet predict bcnet --seed 0 --split test-dev`",
        ),
        ("submit other", "params.yaml: variants: no 'other', there are: bcnet"),
        ("submit other --predictions none.json", "none.json: cannot be read: No such file or directory"),
        ("predict bcnet --split test-dev", "image_info_test-dev2017.json: no such file (`bcnet fetch coco --test`"),
    ],
)
def test_what_is_missing_is_named(command: str, line: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if command.startswith("predict"):
        (project / "annotations/image_info_test-dev2017.json").unlink()
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (layout.DATA / "coco/submissions").exists()
