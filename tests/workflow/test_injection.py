"""No text of params.yaml is run: both tools check the file before a name in it reaches a command.

Each value that dvc.yaml puts into a command is tried as text for a shell. The `bcnet` that DVC runs is the first
time the real one; then it, as Snakemake, is forked from a server that has loaded it (`warm_programs.py`).
"""

import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from dvc.exceptions import ReproductionError
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError
from places import ROOT
from ruamel.yaml import YAML
from warm_programs import programs

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.params import load

GRAPH_FILES = ["dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", "Snakefile", "workflow", "profiles", "reference"]
GRAPH_FILES += ["pretrained/README.md"]
TEXTS = [
    "x; touch PWNED",
    "$(touch PWNED)",
    "`touch PWNED`",
    "x & touch PWNED",
    "x | touch PWNED",
    "x\ntouch PWNED",
    "x # '; touch PWNED; '",
    'x # "; touch PWNED; "',
]
TEXT = "x; touch PWNED; echo $(touch PWNED) `touch PWNED` & touch PWNED | touch PWNED\ntouch PWNED; echo ' ' \" \" #"
ENTRIES: dict[str, dict] = {  # one more of each section whose keys are put into commands
    "synthetic": {"pictures": 5},
    "splits": {"rule": "all"},
    "variants": {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "pointrend"},
    "imported": {"file": "zoo.pkl", "label": "Zoo 2"},
    "predictions": {"file": "mine.json", "label": "Mine 2"},
}
VALUES = ["dataset", "seeds", *ENTRIES]


def legal_params() -> dict[str, Any]:
    """Parameters with which dvc.yaml has a stage of every kind, and little to do where one runs after all."""
    params = YAML(typ="safe").load(ROOT / "presets/demo.yaml")
    params["datasets"]["demo"] |= {"train": 2, "val": 2}
    return params | {
        "synthetic": {"few": {"pictures": 5}},
        "imported": {"zoo": {"file": "zoo.pkl", "label": "Zoo"}},
        "predictions": {"mine": {"file": "mine.json", "label": "Mine"}},
    }


def params_with(value: str, text: str) -> dict[str, Any]:
    """The same, in which one of `VALUES` is the text and nothing else is wrong."""
    params = legal_params()
    match value:
        case "dataset":
            params["dataset"], params["datasets"] = text, {text: params["datasets"]["demo"]}
        case "seeds":
            params["seeds"] = [text]
        case section:
            params[section][text] = deepcopy(ENTRIES[section])
    return params


def values_in_commands() -> dict[str, set[str]]:
    """Of each stage of dvc.yaml the values behind the `${…}` of its commands, as `VALUES` calls them."""
    found = {}
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        commands = "\n".join(stage.get("do", stage)["cmd"])
        found[name] = {value for inner in re.findall(r"\$\{(.*?)\}", commands) if (value := behind(inner, stage))}
    return found


def behind(inner: str, stage: dict[str, Any]) -> str | None:
    """The value behind `${inner}`; None: one of a list in dvc.yaml itself."""
    each = stage.get("foreach")
    axes = {"key": each, "item": each} | {f"item.{axis}": values for axis, values in stage.get("matrix", {}).items()}
    if inner in axes:
        return axes[inner].strip("${}") if isinstance(axes[inner], str) else None
    return inner.replace("item", f"{each.strip('${}')}.*") if inner.startswith("item.") else inner


def write(params: dict[str, Any], folder: Path) -> None:
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(params, folder / "params.yaml")


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the `bcnet` that a command finds, and of a `python`."""
    folder = tmp_path_factory.mktemp("verbs")
    return programs(folder / "programs", folder / "started")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbs: Path) -> Path:
    """A clone with legal parameters, in which this code's `bcnet` is the one that a command finds."""
    folder = tmp_path / "clone"
    for name in GRAPH_FILES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    write(legal_params(), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{verbs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    subprocess.run(["git", "init", "--quiet"], check=True)
    load()
    return folder


def assert_nothing_ran(clone: Path) -> None:
    assert not list(clone.parent.rglob("PWNED*"))


def refusals(errors: str, value: str) -> int:
    """How many lines of `bcnet params` there are; each must name the section."""
    lines = [line for line in errors.splitlines() if line.startswith("bcnet ")]
    assert all(line.startswith(f"bcnet params: params.yaml: {value.partition('.')[0]}") for line in lines), lines
    return len(lines)


def test_every_value_that_a_command_is_made_of_is_tried() -> None:
    found = values_in_commands()
    assert set().union(*found.values()) == set(VALUES)
    assert found["weights"] == {"variants"}
    assert found["evaluate"] == {"dataset", "variants", "seeds", "splits"}


@pytest.mark.parametrize("text", [*TEXTS, TEXT])
def test_the_texts_would_do_harm(text: str, tmp_path: Path) -> None:
    for command in (f"true {text}", f"true '{text}'", f'true "{text}"'):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True)
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("value", VALUES)
def test_no_such_text_is_legal(value: str, tmp_path: Path) -> None:
    for text in [*TEXTS, TEXT, "../x", "x y", "$HOME", "x\n", "-x", ""]:
        write(params_with(value, text), tmp_path)
        with pytest.raises(InputError) as raised:
            load(tmp_path / "params.yaml")
        assert str(raised.value).startswith(f"{tmp_path / 'params.yaml'}: {value.partition('.')[0]}")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", VALUES)
def test_dvc_runs_none_of_it(value: str, clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As `dvc repro`, and as `dvc repro -s -k STAGE…` with a stage of each kind whose command has the text."""
    write(params_with(value, TEXT), clone)
    with Repo(str(clone)) as repo:
        with pytest.raises(ReproductionError):
            repo.reproduce()
        assert_nothing_ran(clone)
        assert refusals(capfd.readouterr().err, value) == 1
        stages = {stage.name.partition("@")[0]: stage for stage in repo.index.stages if TEXT in stage.cmd[-1]}
        assert stages.keys() == {name for name, values in values_in_commands().items() if value in values}
        for path in [Path(dep.fs_path) for stage in stages.values() for dep in stage.deps]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.exists() or path.write_text("{}")  # without its inputs a stage would not come as far as a command
        last_first = [stage.name for stage in reversed(stages.values())]  # DVC deletes what it is going to make
        with pytest.raises(ReproductionError):
            repo.reproduce(last_first, single_item=True, on_error="keep-going")
        assert_nothing_ran(clone)
        assert refusals(capfd.readouterr().err, value) == len(stages)
        assert not any(out.exists for stage in stages.values() for out in stage.outs)


@pytest.mark.parametrize(
    "arguments",
    [
        ["repro"],
        ["repro", "-s", "weights@bcnet"],
        ["exp", "run", "-s", "weights@bcnet", "-S", "variants.bcnet.backbone='x; touch PWNED; echo '"],
    ],
)
def test_the_program_dvc_ends_with_an_error(arguments: list[str], clone: Path) -> None:
    if "-S" not in arguments:
        write(params_with("variants", TEXT), clone)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "a"], check=True)  # an experiment starts from one
    result = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    assert result.returncode != 0
    assert_nothing_ran(clone)
    assert refusals(result.stderr, "variants") == 1


def test_a_name_that_dvc_has_read_before_the_file_was_changed(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The file is legal again when `bcnet params` reads it; the name of the stage is not."""
    write(params_with("variants", TEXT), clone)
    with Repo(str(clone)) as repo:
        (stage, *_) = [stage for stage in repo.index.stages if stage.name.startswith(f"evaluate@{TEXT}-")]
        for dependency in map(Path, [dep.fs_path for dep in stage.deps]):
            dependency.parent.mkdir(parents=True, exist_ok=True)
            dependency.touch()
        write(legal_params(), clone)
        with repo.lock, pytest.raises(StageCmdFailedError, match="bcnet params, exited with 2"):
            stage.reproduce()
    assert_nothing_ran(clone)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("bcnet ")]
    assert line.startswith("bcnet params: DVC_STAGE: 'evaluate@x; touch PWNED; ")


@pytest.mark.parametrize("stage", ["fetch", "train@mask-rcnn-0", "evaluate@b_2-0-val", "../../dvc.yaml:bring@mine"])
def test_nothing_is_said_of_what_is_legal(
    stage: str, clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("", stage):
        monkeypatch.setenv("DVC_STAGE", name)
        assert main(["params"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", VALUES)
def test_snakemake_runs_none_of_it(value: str, clone: Path, verbs: Path) -> None:
    write(params_with(value, TEXT), clone)
    command = [str(verbs / "python"), "-m", "snakemake", "--cores", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert_nothing_ran(clone)
    assert f"InputError: params.yaml: {value.partition('.')[0]}" in result.stderr
    assert not (clone / "data").exists()
