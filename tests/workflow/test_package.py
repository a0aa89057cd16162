"""The wheel, in an environment of a user's: it has every file, and what it installs is enough to evaluate."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from copies import copy_of
from evaluation_factory import made
from numba.core.caching import _CacheLocator
from places import ROOT

import bcnet

EVALUATION = """
import json, sys
import bcnet
truth, predictions = (json.load(open(name)) for name in ("truth.json", "mine.json"))
of_arrays, of_files = bcnet.evaluate(truth, predictions), bcnet.evaluate("truth.json", "mine.json")
of_arrays.metrics["provenance"] = of_files.metrics["provenance"]  # the name of the file
assert of_arrays.metrics == of_files.metrics
assert "torch" not in sys.modules
print(json.dumps(of_arrays.metrics))
"""
VERBS = [
    ["check", "truth.json"],
    ["convert", "--annotations", "truth.json", "--out", "converted.json", "--jobs", "1"],
    ["split", "--annotations", "converted.json", "--rule", "occluded", "--out", "split.json"],
    ["split", "--annotations", "converted.json", "--explain"],
    ["evaluate", "--annotations", "split.json", "--predictions", "mine.json", "--out", "metrics.json"],
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "src").mkdir()
    copy_of(ROOT / "src/bcnet", folder / "src/bcnet")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(pip, cwd=folder, check=True)
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel's `eval`, in the exact versions; its folder of programs."""
    if (spec := importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")) is None or not spec.loader:
        raise ImportError("bootstrap.py")
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    try:
        bootstrap.check_index(sys.executable)
    except bootstrap.SetupError as error:
        pytest.skip(f"offline, so nothing can be installed: {error}")
    folder = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    versions = [part for name in ("requirements.txt", "constraints.txt") for part in ("-c", ROOT / name)]
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv/bin/python", "--no-input", "install", "--quiet"]
    pip += ["--only-binary", ":all:", "--no-compile"]  # Python compiles what is imported
    subprocess.run([*pip, f"{wheel}[eval]", *versions], cwd=folder, check=True)
    (installed,) = (folder / "venv").glob("lib/*/site-packages/bcnet")
    take_compiled(installed)
    return folder / "venv/bin"


def take_compiled(package: Path) -> None:
    """Give an installed package the machine code of this one, half a minute's work: numba names it by its folder."""
    ours = Path(bcnet.__file__).parent
    for folder in {path.parent for path in package.rglob("*.py")}:
        source = ours / folder.relative_to(package)
        name = [_CacheLocator.get_suitable_cache_subpath(str(path / "any.py")) for path in (source, folder)]
        for version in (ours / "__pycache__/numba").glob("*"):
            if (version / name[0]).is_dir():
                shutil.copytree(version / name[0], package / "__pycache__/numba" / version.name / name[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ground truth, predictions and parameters, nothing of the project."""
    for name, content in zip(("truth.json", "mine.json"), made(4), strict=True):
        (tmp_path / name).write_text(json.dumps(content))
    shutil.copy(ROOT / "presets/demo.yaml", tmp_path / "params.yaml")
    return tmp_path


def run(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PYTHONUTF8": "1"}
    return subprocess.run([program, *arguments], cwd=folder, env=clean, capture_output=True, text=True)


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if not name.startswith("bcnet-")}
    sources = (path for path in (ROOT / "src/bcnet").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert packed == {path.relative_to(ROOT / "src").as_posix() for path in sources}
    assert f"-{bcnet.__version__}-py3-none-any" in wheel.name


def test_it_evaluates_in_a_new_environment_to_the_same_numbers(user: Path, folder: Path) -> None:
    done = run(user / "python", "-c", EVALUATION, folder=folder)
    assert done.returncode == 0, done.stderr
    ours = bcnet.evaluate(folder / "truth.json", folder / "mine.json").metrics
    assert json.loads(done.stdout) == json.loads(json.dumps(ours))


def test_its_verbs_for_annotations_and_predictions_run(user: Path, folder: Path) -> None:
    for verb in VERBS:
        done = run(user / "bcnet", *verb, folder=folder)
        assert done.returncode == 0, f"{verb}: {done.stderr}"
    assert (folder / "metrics.json").exists()


def test_a_verb_that_needs_more_says_so(user: Path, folder: Path) -> None:
    done = run(user / "bcnet", "train", "bcnet", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bcnet train: the package ")
    assert done.stderr.count("\n") == 1
    assert "install 'bcnet[train]' for models" in done.stderr
