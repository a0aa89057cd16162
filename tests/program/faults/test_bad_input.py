"""Bad input of every kind, through the program: one line, exit code 2, nothing half-written, nothing lost."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT

from bcnet.cli import main
from bcnet.data.masks.segmentation import encode
from bcnet.training import loop

DEMO = (ROOT / "presets/demo.yaml").read_text()
DATASET = """
dataset: mine
datasets:
  mine:
    source: files
    train: {annotations: own/train.json, images: own/pictures}
    val: {annotations: own/val.json, images: own/pictures}
"""


def annotations() -> dict:
    square = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 3, "name": "thing"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 3, "segmentation": [square], "bbox": [10, 10, 20, 20]}
            | {"area": 400, "iscrowd": 0}
        ],
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own data, all of it right."""
    monkeypatch.chdir(tmp_path)
    demo = "datasets:\n  demo: {source: shapes, seed: 0, size: 160, train: 600, val: 150}\n"
    assert demo in DEMO
    (tmp_path / "params.yaml").write_text(DEMO.replace("dataset: demo\n", "").replace(demo, DATASET))
    (tmp_path / "own/pictures").mkdir(parents=True)
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "own/pictures/a.jpg")
    for part in ("train", "val"):
        (tmp_path / f"own/{part}.json").write_text(json.dumps(annotations()))
    return tmp_path


def params(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "params.yaml").read_text()
        assert old in text
        (folder / "params.yaml").write_text(text.replace(old, new, 1))

    return change


def annotation(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = annotations()
        content["annotations"][0].update(values)
        (folder / "own/train.json").write_text(json.dumps(content))

    return change


def truncated(folder: Path) -> None:
    text = (folder / "own/train.json").read_text()
    (folder / "own/train.json").write_text(text[: len(text) // 2])


def missing(folder: Path) -> None:
    (folder / "own/val.json").unlink()


def corrupt_picture(folder: Path) -> None:
    picture = folder / "own/pictures/a.jpg"
    picture.write_bytes(picture.read_bytes()[:400])


def output_is_a_file(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data/mine").write_text("in the way")


WRONG_SIZE = encode(np.ones((50, 70), bool))
OUTSIDE = [[100.0, 10.0, 130.0, 10.0, 130.0, 30.0]]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (
            params("batch: 4", "bach: 4"),
            "params.yaml: schedule.bach: unknown key, did you mean 'batch'? Legal here: ",
        ),
        (params("batch: 4", "batch: [4]"), "params.yaml: schedule.batch: [4]: input should be a valid integer"),
        (params("  bcnet:", "  mask-rcnn:"), 'found duplicate key "mask-rcnn"'),
        (
            missing,
            "cannot be read: No such file or directory: set datasets.mine.val.annotations in params.yaml",
        ),
        (truncated, "own/train.json: not valid JSON (truncated?)"),
        (annotation(image_id=7), "own/train.json: annotation 5: image_id 7"),
        (annotation(category_id=4), "own/train.json: annotation 5: category_id 4"),
        (
            annotation(segmentation=[[1.0, 1.0, 9.0, 9.0]]),
            "own/train.json: annotation 5: a polygon is [1.0, 1.0, 9.0, 9.0]",
        ),
        (annotation(segmentation=OUTSIDE), "annotation 5: a polygon lies wholly outside the 60x40 image"),
        (annotation(segmentation=WRONG_SIZE), "own/train.json: annotation 5: "),
        (corrupt_picture, "own/pictures/a.jpg: "),
        (output_is_a_file, "data/mine"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_fetch_ends_in_one_line(
    spoil: Callable[[Path], None], line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(project)
    own = {path: path.read_bytes() for path in (project / "own").rglob("*") if path.is_file()}
    assert main(["fetch", "mine"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bcnet fetch: ")
    assert line in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in (project / "own").rglob("*") if path.is_file()} == own
    written = [path for path in project.glob("data/mine/annotations/*") if path.is_file()]
    assert all(json.loads(path.read_text()) for path in written)  # only whole files: the part that was right
    assert not (project / "data/mine/images_train.tsv").exists()


def test_what_is_right_is_fetched(project: Path) -> None:
    assert main(["fetch", "mine"]) == 0
    for part in ("train", "val"):
        assert (project / f"data/mine/images_{part}.tsv").read_text().count("a.jpg") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("train bcnet", "bcnet train: data/mine/bilayer/train.json: cannot be read: No such file or directory"),
        ("train other", "bcnet train: params.yaml: variants: no 'other', there are: mask-rcnn, bcnet"),
        ("predict bcnet", "model.safetensors: no such model file (`bcnet train` and `bcnet import-weights` make them)"),
        ("predict --model own/train.json --out p.json own/pictures/a.jpg", "own/train.json: not a safetensors file"),
        ("predict --model m.safetensors --out own/pictures/a.jpg b.jpg", "own/pictures/a.jpg: expected a .json file\n"),
        ("weights vgg --out w.safetensors", "bcnet weights: no backbone 'vgg', there are: efficientnet_lite0,"),
        ("import-weights own/train.json --out m.safetensors", "own/train.json: not a file of t"),
        ("import-weights own/train.json --out own/../own/train.json", "own/train.json: expected another file than"),
        (
            "import-weights own/train.json --out own/val.json --categories own/val.json",
            "--out own/val.json: expected another file than those that are read",
        ),
        (
            "split --annotations own/train.json --rule image_ids --file own/val.json --out own/val.json",
            "--out own/val.json: expected a .json file other than --annotations and --file",
        ),
        ("import-weights own/train.pkl --out m.safetensors", "own/train.pkl: cannot be read: No such file"),
        ("import-weights --name zoo", "bcnet import-weights: params.yaml: imported: no 'zoo', there are: none"),
        ("convert --annotations own/train.json --out own/val.json/x.json", "own/val.json/x.parquet: cannot be written"),
        (
            "split --annotations own/train.json --rule occluded --out s.json",
            "annotation 5 has no 'occlusion' with box_cover",
        ),
        (
            "evaluate --annotations own/train.json --predictions own/val.json --out m.json",
            "own/val.json: expected COCO's",
        ),
        ("compare", "reports/mine/metrics/mask-rcnn/0/val.json"),
        ("report", "reports/mine/tables/comparison.csv"),
        ("fetch demo", "bcnet fetch: params.yaml: datasets: no 'demo', there are: mine"),
        ("fetch mine --test", "datasets.mine.test: missing: expected annotations and images"),
        ("preset none", "bcnet preset: presets: no such folder: run this in a clone of bcnet's repository"),
        (
            "predict --model own/m.safetensors --annotations own/val.json --images own --out new/p/p.json",
            "own/m.safetensors: no such model file",
        ),
        ("split --annotations own/train.json --rule all --out new/s.json", "annotation 5 has no 'occlusion'"),
    ],
)
def test_every_verb_ends_in_one_line(
    arguments: str, line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    assert main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("predict bcnet --out p.json", "predict: --model and --out go together"),
        ("predict --model m.safetensors a.jpg", "predict: --model and --out go together"),
        ("predict bcnet mask-rcnn", "predict: expected one VARIANT, or --model with images"),
        ("import-weights own.pth", "import-weights: expected FILE and --out, or --name"),
        ("import-weights own.pth --out m.safetensors --name zoo", "import-weights: expected FILE and --out, or --name"),
        ("import-weights --name zoo --categories c.json", "--name already determines file, output and categories"),
    ],
)
def test_arguments_that_do_not_go_together(
    arguments: str, line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert sorted(project.rglob("*")) == before


def test_a_batch_is_shared_evenly(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before anything is read, in the process of each rank."""
    together = SimpleNamespace(rank=0, world=3, device=torch.device("cpu"))
    monkeypatch.setattr(loop, "join_processes", lambda: together)
    assert main(["train", "bcnet"]) == 2
    said = capsys.readouterr().err
    assert said == "bcnet train: params.yaml: schedule.batch: 4: expected a multiple of the 3 processes\n"
    assert not list((project / "data").rglob("*"))


WITHOUT_MODELS = """
import sys
from bcnet.cli import main
ends = [main(words.split()) for words in sys.argv[1:]]
assert "torch" not in sys.modules
sys.exit(2 if set(ends) == {2} else 1)
"""


def test_wrong_parameters_are_said_before_what_models_need_is_loaded(tmp_path: Path) -> None:
    """Which takes seconds."""
    (tmp_path / "params.yaml").write_text(DEMO.replace("seeds:", "seedz:"))
    words = ["params", "weights --name bcnet", "train bcnet", "predict bcnet", "report", "import-weights --name zoo"]
    command = [sys.executable, "-c", WITHOUT_MODELS, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == len(words)
    assert all("seedz" in line for line in done.stderr.splitlines())
