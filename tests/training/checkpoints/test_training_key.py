"""What determines a training names its checkpoints: parameters, inputs, versions, code."""

from pathlib import Path
from typing import Any

import pytest
from training_factory import make_project, watch

from bcnet.files import sha256
from bcnet.params.methods import METHODS
from bcnet.training import loop
from bcnet.unfinished import code
from bcnet.unfinished import folder as unfinished
from bcnet.unfinished.folder import packages


def folder_of(data: Path, **changes: Any) -> Path:
    """The checkpoints of a training of the sampler's code."""
    key = {"variant": {"layer": "gcn"}, "seed": 0, "processes": 1, **changes}
    return unfinished.begin(data, data / "model.safetensors", [], key, ["bcnet.training.sampler"])


def test_checkpoints_are_named_by_all_that_determines_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also by versions and code. A line says what has changed where there are others of the same model."""
    first = folder_of(tmp_path)
    assert capsys.readouterr().err == ""
    assert folder_of(tmp_path) == first
    assert capsys.readouterr().err == ""
    other_layer, other_run = {"variant": {"layer": "fcn"}}, {"seed": 1, "processes": 2}
    for changes, named in ((other_layer, "variant.layer"), (other_run, "processes, seed")):
        assert folder_of(tmp_path, **changes) != first
        assert f"cannot resume from {first}: {named} changed\n" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "packages", lambda: {**packages(), "torch": "0"})
        assert folder_of(tmp_path) != first
        assert ": packages.torch changed" in capsys.readouterr().err
    monkeypatch.setattr(unfinished, "code_digest", lambda modules: "other code")
    assert folder_of(tmp_path) != first
    assert ": code changed" in capsys.readouterr().err


def test_versions_of_all_that_computes_are_known() -> None:
    assert set(packages()) == {"torch", "torchvision", "numpy", "pillow", "timm", "detectron2"}


SOURCE = """
'''About the module.'''

def half(x):
    '''About the function.'''
    if x < 0:
        raise ValueError(f"{x}: expected more")  # a comment
    return x / 2
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("About the module.", "Of the module.", True),
        ("About the function.", "Of the function.", True),
        ("expected more", "too little", True),
        ("  # a comment", "", True),
        ("x / 2", "(x / 2)", True),
        ("x / 2", "x / 3", False),
        ("x < 0", "x <= 0", False),
    ],
)
def test_code_counts_by_what_it_computes(old: str, new: str, same: bool) -> None:
    assert old in SOURCE
    assert (code.bare(SOURCE) == code.bare(SOURCE.replace(old, new))) is same


def test_the_code_of_a_training_is_what_its_modules_import() -> None:
    """Directly or not, in the rooms that compute; of methods its own."""
    package = Path(code.__file__).parents[1]
    files = {str(path.relative_to(package)) for path in code.modules(["bcnet.training.loop", METHODS["bcnet"].module])}
    assert files >= {
        "methods/bcnet.py",
        "models/detectors/fcos_targets.py",
        "models/detectors/roi_detectors.py",
        "models/masks/losses.py",
        "training/sampler.py",
        "training/schedule.py",
        "data/masks/segmentation.py",
        "data/coco/images.py",
    }
    others = {"methods/pointrend.py", "methods/mask_rcnn.py", "data/sources/kins.py", "data/check/check.py", "files.py"}
    assert not files & others
    assert not [path for path in files if path.startswith(("report", "evaluation", "drawing"))]


def test_a_training_hands_over_all_that_determines_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_project(tmp_path)
    handed: dict[str, Any] = {}

    def begin(data: Path, makes: Path, inputs: Any, key: dict[str, Any], modules: list[str], tell: bool) -> Path:
        handed.update(key)
        assert modules == ["bcnet.training.loop", "bcnet.methods.mask_rcnn"]
        (tmp_path / "checkpoints").mkdir()
        return tmp_path / "checkpoints"

    monkeypatch.setattr(loop, "begin", begin)
    watch(monkeypatch, tmp_path, "mask-rcnn", schedule={"iterations": 3, "steps": []})
    files = {
        "annotations": "bilayer/train.json",
        "images": "images_train.tsv",
        "weights": "weights/mask-rcnn.safetensors",
    }
    for name, path in files.items():
        assert handed[f"{name}_sha256"] == sha256(tmp_path / "data/demo" / path)
    others = {"train_on", "variant", "schedule", "model", "seed", "versions", "processes", "device"}
    assert handed.keys() - {f"{name}_sha256" for name in files} == others
