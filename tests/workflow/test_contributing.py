"""What a contributor reads and runs is true: recipes, version, the lanes of continuous integration."""

import re
import subprocess
from typing import get_args

import pytest
from places import ROOT
from ruamel.yaml import YAML

import bcnet
from bcnet.data.sources.fetch import READERS
from bcnet.params.data import Files

PATHS = r"`((?:src|tests|docs|workflow|presets|config|reference)/[^\s`*]*|[\w.-]+\.(?:md|txt|toml))`"
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(target: str) -> list[str]:
    """What make would run for a target, but for set-up."""
    printed = subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in printed.splitlines() if ".venv/bin/" in line]


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "CHANGELOG.md", "docs/python.md", "docs/testing.md"])
def test_files_and_targets_that_a_document_names_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(PATHS, text)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
    assert set(re.findall(r"`make ([a-z]+)", text)) <= TARGETS


def test_the_version_stands_in_three_places_and_is_one() -> None:
    (latest,) = re.findall(r"\A.*?^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    assert latest == bcnet.__version__
    assert YAML(typ="safe").load(ROOT / "CITATION.cff")["version"] == bcnet.__version__


def test_both_lanes_together_run_every_test_once() -> None:
    (units,), (pipeline,) = commands("units"), commands("pipeline")
    left_out = set(re.findall(r"--ignore=(\S+)", units))
    assert left_out == {word for word in pipeline.split() if word.startswith("tests/")}
    assert sum("test_browser_" in path for path in left_out) >= 3
    assert all((ROOT / path).exists() for path in left_out)


def test_lanes_and_hook_run_make_targets() -> None:
    yaml = YAML(typ="safe")
    jobs = yaml.load(ROOT / ".github/workflows/ci.yml")["jobs"].values()
    lanes = [[step["run"] for step in job["steps"] if step.get("run", "").startswith("make ")] for job in jobs]
    assert lanes == [["make setup", "make lint", "make units"], ["make setup", "make pipeline"]]
    (hook,) = yaml.load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert hook["entry"] == "make lint"
    assert commands("test")[:-1] == commands("lint")


def test_a_dataset_s_name_stands_in_both_places_of_its_recipe() -> None:
    assert READERS.keys() == set(get_args(Files.model_fields["source"].annotation))
