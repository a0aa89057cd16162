"""Presets: all are legal, and `bcnet preset` puts one in the place of params.yaml without losing edits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from bcnet import params
from bcnet.cli import main
from bcnet.presets import as_params

DEMO = (ROOT / "presets/demo.yaml").read_text()


@pytest.mark.parametrize("preset", sorted(path.name for path in (ROOT / "presets").glob("*.yaml")))
def test_presets_are_legal(preset: str) -> None:
    params.load(ROOT / "presets" / preset)


def test_the_project_starts_with_the_demo_preset() -> None:
    assert (ROOT / "params.yaml").read_text() == as_params(ROOT / "presets/demo.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with two presets and the first of them in place, committed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/demo.yaml").write_text(DEMO)
    (tmp_path / "presets/other.yaml").write_text(DEMO.replace("seeds: [0]", "seeds: [5]"))
    for command in ("init -q", "config user.email a@b.c", "config user.name a"):
        subprocess.run(["git", *command.split()], check=True)
    return tmp_path


def test_preset_is_put_in_place(project: Path) -> None:
    assert main(["preset", "other"]) == 0
    assert params.load().seeds == (5,)
    assert main(["preset", "demo"]) == 0  # nobody's edits: the text of a preset
    assert (project / "params.yaml").read_text() == as_params(project / "presets/demo.yaml")


def test_preset_keeps_edits_that_git_does_not_hold(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset", "demo"])
    edited = DEMO.replace("seeds: [0]", "seeds: [9]")
    (project / "params.yaml").write_text(edited)
    assert main(["preset", "other"]) == 2
    assert "params.yaml: has changes that are not in git" in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == edited
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "commit", "-qm", "mine"], check=True)
    assert main(["preset", "other"]) == 0


def test_a_preset_does_not_depend_on_the_locale(project: Path) -> None:
    def put() -> subprocess.CompletedProcess:
        ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        command = [sys.executable, "-m", "bcnet", "preset", "demo"]
        return subprocess.run(command, env=os.environ | ascii_only, capture_output=True, text=True)

    written = "# \N{MULTIPLICATION SIGN}\n" + DEMO
    (project / "presets/demo.yaml").write_text(written, "utf-8")
    for _ in range(2):  # the second finds its own text
        assert put().returncode == 0
        assert (project / "params.yaml").read_text("utf-8") == as_params(project / "presets/demo.yaml")
    (project / "params.yaml").write_bytes(written.encode("latin-1"))
    assert (result := put()).returncode == 2
    assert "params.yaml: has changes that are not in git" in result.stderr


def test_unknown_preset(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preset", "coconut"]) == 2
    assert "presets: no 'coconut', there are: demo, other" in capsys.readouterr().err


def test_without_presets_no_line_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in ("preset demo", "report"):
        assert main(line.split()) == 2
        assert "in a clone of bcnet's repository" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
