"""AP on val during training: it changes no weight, survives a kill, and keeps the best model beside the last."""

import copy
import csv
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from ruamel.yaml import YAML
from training_factory import make_project, run
from warm_process import ended

from bcnet import params
from bcnet.cli import main
from bcnet.inference.validation import Validation
from bcnet.training import loop
from bcnet.weights.model_file import load_model

OUT = Path("data/demo/models/bcnet/0")
FILES = ("validation/curve.csv", "validation/best.safetensors")
EVERY, IMAGES = 5, 2


def set_keys(folder: Path, **keys) -> None:
    """Keys of sections, `a__b`, in its params.yaml; None: left out."""
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    for path, value in keys.items():
        section, key = path.split("__")
        if value is None:
            content[section].pop(key, None)
        else:
            content[section][key] = value
    yaml.dump(content, folder / "params.yaml")


def validated(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Model, curve and best model."""
    return tuple((folder / OUT / name).read_bytes() for name in ("model.safetensors", *FILES))


def untrained(project: Path, folder: Path) -> tuple[bytes, bytes, bytes]:
    """Copy the project without its training; the bytes of that."""
    shutil.copytree(project, folder, dirs_exist_ok=True, symlinks=True)
    before = validated(folder)
    shutil.rmtree(folder / "data/checkpoints")
    shutil.rmtree(folder / OUT)
    return before


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project that validated: twelve iterations, AP after 5, 10 and 12."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    set_keys(folder, schedule__validate_every=EVERY, schedule__validate_images=IMAGES)
    assert "bcnet: iteration 5: AP " in run(folder, "train bcnet")
    return folder


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / OUT / FILES[0]).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_finished_training_is_repeated_only_for_another_curve_and_ends_with_the_same_bytes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    before = validated(tmp_path)
    for every in (None, EVERY):
        shutil.rmtree(tmp_path / OUT)  # as both tools do
        set_keys(tmp_path, schedule__validate_every=every)
        assert main(["train", "bcnet"]) == 0
        assert "already trained" in capsys.readouterr().err
        assert validated(tmp_path) == before
    shutil.rmtree(tmp_path / "data/checkpoints")
    set_keys(tmp_path, schedule__validate_every=None)
    run(tmp_path, "train bcnet")  # without
    assert (tmp_path / OUT / "model.safetensors").read_bytes() == before[0]
    assert curve(tmp_path) == []
    assert not (tmp_path / OUT / FILES[1]).exists()
    set_keys(tmp_path, schedule__validate_every=6)
    said = run(tmp_path, "train bcnet")
    assert "bcnet: trained already, but without this validation: trains again\n" in said
    assert "already trained" not in said
    assert [row["iteration"] for row in curve(tmp_path)] == ["6", "12"]
    assert validated(tmp_path)[0] == before[0]


def test_a_killed_training_has_the_same_curve_and_the_same_best_model(project: Path, tmp_path: Path) -> None:
    before = untrained(project, tmp_path)
    code = """
import os, signal
from bcnet import cli
from bcnet.training import loop
step = loop.step
def dies(*arguments):
    if arguments[-1] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
loop.step = dies
cli.main(["train", "bcnet"])
"""
    assert ended(tmp_path, code).returncode == -signal.SIGKILL
    assert "resuming at iteration 6" in run(tmp_path, "train bcnet")
    assert validated(tmp_path) == before


def test_a_validation_that_is_told_to_end_is_done_when_the_training_goes_on(project: Path, tmp_path: Path) -> None:
    """The checkpoint is there before it begins; after each image it may end."""
    before = untrained(project, tmp_path)
    code = """
import os, signal, sys
from bcnet import cli
from bcnet.inference import validation
read, end = validation.read_image, int(sys.argv[1])
def reads(*arguments):
    global end
    end -= 1
    if end == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    assert end >= 0, "goes on"
    return read(*arguments)
validation.read_image = reads
sys.exit(cli.main(["train", "bcnet"]))
"""
    for iteration, image in ((5, 1), (12, 5)):  # the first of the first row; then two, two and one of the last row
        stopped = ended(tmp_path, code, str(image))
        assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
        assert f"told to end: {iteration} of 12 iterations are kept, the same command resumes\n" in stopped.stderr
        assert f"iteration {iteration}: AP" not in stopped.stderr
        assert list(tmp_path.glob(f"data/checkpoints/*/{iteration:08}.pt"))
    said = run(tmp_path, "train bcnet")
    assert "resuming at iteration 12\n" in said
    assert validated(tmp_path) == before


def test_images_of_val_are_needed_at_the_start(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless all is trained already."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    Path("data/demo/images/val").rename("elsewhere")
    assert main(["train", "bcnet"]) == 0
    assert "already trained" in capsys.readouterr().err
    assert main(["train", "bcnet", "--seed", "1"]) == 2
    said = capsys.readouterr().err
    assert "data/demo/images/val: no such image folder: `bcnet fetch demo` makes it" in said
    assert "iteration" not in said


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_reads_val(project: Path, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    handed = []
    monkeypatch.setattr(loop, "train", lambda *arguments: handed.append(arguments[-1]))
    assert main(["train", "bcnet"]) == 0
    assert [validate is not None for validate in handed] == [rank == 0]


def test_the_curve_is_of_these_images_and_the_best_model_of_its_highest_ap(project: Path) -> None:
    rows = curve(project)
    assert [row["iteration"] for row in rows] == ["5", "10", "12"]
    assert {row["images"] for row in rows} == {str(IMAGES)}
    best, last = (load_model(project / OUT / name).provenance for name in (FILES[1], "model.safetensors"))
    assert "best" not in last
    highest = max(rows, key=lambda row: float(row["AP"]))
    assert best["best"]["iteration"] == int(highest["iteration"])
    assert 100 * best["best"]["AP"] == pytest.approx(float(highest["AP"]), abs=1e-4)
    assert {key: value for key, value in best.items() if key != "best"} == last


def test_ap_is_that_of_pycocotools(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that finds much: its predictions are the annotations, some moved, some of low scores."""
    monkeypatch.chdir(project)
    validation = Validation(params.load(), "bcnet", Path("data"))
    from bcnet.inference import validation as module

    truth = json.loads(Path("data/demo/annotations/instances_val.json").read_text())
    chosen = sorted(image["id"] for image in truth["images"])[:2]  # 0 and 1 of three: 0 * 3 // 2, 1 * 3 // 2
    assert [image["id"] for image in validation.content["images"]] == chosen
    own = [each for each in truth["annotations"] if each["image_id"] in chosen]
    entries = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": 0.9 - 0.01 * k, "segmentation": s}
        for k, a in enumerate(own)
        for s in [own[k - k % 3]["segmentation"]]
    ]
    reference, answers = COCO(), COCO()
    reference.dataset = {**truth, "images": validation.content["images"], "annotations": copy.deepcopy(own)}
    reference.createIndex()
    answers = reference.loadRes(copy.deepcopy(entries))
    slow = COCOeval(reference, answers, "segm")
    slow.evaluate()
    slow.accumulate()
    slow.summarize()
    found = module.ap(entries, validation.content, Path("x"))
    assert list(found.values()) == pytest.approx(slow.stats[:3].tolist(), abs=1e-12)
    assert 0 < found["AP"] < 1


def test_a_model_that_is_measured_is_as_before(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes, tensors and random numbers."""
    monkeypatch.chdir(project)
    validation = Validation(params.load(), "bcnet", Path("data"))
    model = load_model(OUT / "model.safetensors").module.train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    validation(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in tensors.items())


def test_the_best_model_predicts_where_it_is_asked_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "bcnet"]) == 0
    out = Path("data/demo/predictions/bcnet/0")
    provenance = json.loads((out / "val.provenance.json").read_text())
    assert provenance["predict"]["checkpoint"] == "last"
    assert "best" not in provenance
    set_keys(tmp_path, predict__checkpoint="best")
    assert main(["predict", "bcnet"]) == 0
    provenance = json.loads((out / "val.provenance.json").read_text())
    assert provenance["predict"]["checkpoint"] == "best"
    assert provenance["best"] == load_model(OUT / FILES[1]).provenance["best"]
    file = Path("data/demo/annotations/instances_val.json")
    file.write_text(file.read_text() + " ")
    capsys.readouterr()
    assert main(["predict", "bcnet"]) == 2
    assert "best.safetensors: was chosen by its AP on other annotations than" in capsys.readouterr().err
    set_keys(tmp_path, schedule__validate_every=None)
    assert main(["predict", "bcnet"]) == 2
    assert "predict.checkpoint: best needs schedule.validate_every" in capsys.readouterr().err
