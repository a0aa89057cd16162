"""The image for apptainer holds what set-up needs, and installs the pins that `make setup` installs."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from places import ROOT

DEFINITION = ROOT / "workflow/envs/bcnet.def"


@pytest.fixture(scope="module")
def sections() -> dict[str, list[str]]:
    """The lines of each section; of the header under ``."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in DEFINITION.read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            name = line[1:]
            found[name] = []
        elif line.strip() and not line.startswith("#"):
            found[name].append(line.strip())
    return found


def test_its_sections_are_ones_that_apptainer_knows(sections: dict[str, list[str]]) -> None:
    header = dict(line.split(": ") for line in sections[""])
    assert header == {"Bootstrap": "docker", "From": "python:3.11-slim-bookworm"}
    assert sections.keys() == {"", "files", "post", "environment", "runscript", "test"}
    assert all(sections.values())


def test_it_has_the_python_of_set_up(sections: dict[str, list[str]]) -> None:
    (python,) = re.findall(r"From: python:([\d.]+)-", "\n".join(sections[""]))
    assert f"python ={python}" in (ROOT / "workflow/envs/bcnet.yaml").read_text()
    major, minor = python.split(".")
    assert f"sys.version_info[:2] != ({major}, {minor})" in (ROOT / "bootstrap.py").read_text()


def test_what_it_copies_is_all_that_set_up_reads(sections: dict[str, list[str]], tmp_path: Path) -> None:
    """The pins are those of the files that it copies; there are no others in it."""
    copied = [line.split() for line in sections["files"]]
    assert {target for _, target in copied} == {"/opt/bcnet/"}
    names = [source for source, _ in copied]
    set_up = (ROOT / "bootstrap.py").read_text()
    assert {*re.findall(r"[\w-]+\.(?:txt|lock)", set_up), "bootstrap.py", "pyproject.toml"} <= set(names)
    assert "cd /opt/bcnet" in sections["post"]
    assert any(line.endswith("python bootstrap.py --here") for line in sections["post"])
    assert not re.search(r"pip install|==", DEFINITION.read_text())

    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, tmp_path)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert all((tmp_path / name).exists() for name in [project["readme"], *project["license-files"]])
    build = "from setuptools.build_meta import prepare_metadata_for_build_editable as p; p('out')"
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    (metadata,) = (tmp_path / "out").glob("*.dist-info/METADATA")
    assert "Name: bcnet" in metadata.read_text()


def test_snakemake_knows_the_image_by_the_name_that_the_page_gives_it() -> None:
    (image,) = re.findall(r'^container: "(.*?)"', (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE)
    definition = DEFINITION.relative_to(ROOT)
    assert f"apptainer build {image} {definition}" in (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    assert f"/{image}" in (ROOT / ".gitignore").read_text().splitlines()


def test_pins_of_the_executors_go_with_the_others() -> None:
    """Asked of the index by `make test-cluster`; here, that none is pinned twice and each is exact."""
    lines = (ROOT / "requirements-cluster.txt").read_text().splitlines()
    names = [re.fullmatch(r"([\w-]+)==[\d.]+ +# \S.*", line) for line in lines if not line.startswith("#")]
    assert all(names)
    others = (ROOT / "requirements.txt").read_text() + (ROOT / "constraints.txt").read_text()
    assert not [match[1] for match in names if match and f"{match[1]}==" in others]
