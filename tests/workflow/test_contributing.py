"""What a contributor reads and runs is true: recipes, version, the lanes of continuous integration."""

import re
import shlex
import subprocess
from typing import get_args

import pytest
from places import ROOT
from ruamel.yaml import YAML

import bcnet
from bcnet.cli import parser
from bcnet.data.sources.fetch import READERS
from bcnet.params.data import Files
from bcnet.params.methods import METHODS

PATHS = r"`((?:src|tests|docs|workflow|presets|config|reference)/[^\s`*]*|[\w.-]+\.(?:md|txt|toml))`"
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md"]
DOCUMENTS += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
LISTINGS = r"^```\w*\n(.*?)^```"
NO_METRIC = {"__init__", "coco_ap", "definitions", "occlusion_bins"}  # COCO's numbers, and what metrics share
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(target: str) -> list[str]:
    """What make would run for a target, but for set-up."""
    printed = subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in printed.splitlines() if ".venv/bin/" in line]


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def without_listings(document: str) -> str:
    return re.sub(LISTINGS, "", text_of(document), flags=re.MULTILINE | re.DOTALL)


def anchors(document: str) -> set[str]:
    """What links can point at in a document: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", without_listings(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_targets_that_a_document_names_are_there(document: str) -> None:
    text = text_of(document)
    paths = re.findall(PATHS, text) + re.findall(r"\bbenchmarks/[\w/]+\.py\b", text)
    assert not [path for path in paths if not (ROOT / path).exists()]
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_of_a_document_lead_somewhere(document: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_listings(document)):
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = ((ROOT / document).parent / path).resolve() if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_a_document_are_ones_that_the_program_takes(document: str) -> None:
    lines = "\n".join(re.findall(LISTINGS, text_of(document), re.MULTILINE | re.DOTALL)).splitlines()
    for line in lines:
        if line.startswith("bcnet "):
            parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_prose_has_lines_that_are_read_at_a_glance(document: str) -> None:
    prose = [line for line in without_listings(document).splitlines() if not line.startswith(("|", "#", "!"))]
    assert not [line for line in prose if len(line) > 110]


def test_the_first_command_of_the_readme_is_on_its_first_screen() -> None:
    assert text_of("README.md").splitlines().index("```") < 25


def test_the_index_lists_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w/]+\.md)\)", text_of("docs/README.md") + text_of("docs/methods.md")))
    pages = {page.removeprefix("docs/") for page in DOCUMENTS if page.startswith("docs/")}
    assert linked >= pages - {"README.md"}


def test_each_method_has_a_page_and_a_row_in_their_index() -> None:
    index = re.findall(r"^\| \[(.+)\]\(methods/(\w+)\.md\)", text_of("docs/methods.md"), re.MULTILINE)
    assert sorted(index) == sorted((method.name, key) for key, method in METHODS.items())


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


def test_a_method_has_what_its_recipe_says() -> None:
    presets = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("presets/*.yaml"))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/methods/**/*.py"))
    for name, method in METHODS.items():
        assert method.module == f"bcnet.methods.{name}"
        assert get_args(method.variant.model_fields["method"].annotation) == (name,)
        assert method.variant.__module__ == f"bcnet.params.entries.{name}"
        assert f"method: {name}" in presets
        assert re.search(rf"\b{name}\b", tests)


def test_a_metric_has_its_section_and_its_test() -> None:
    headings = "\n".join(re.findall("^## .*", text_of("docs/benchmark.md"), re.MULTILINE))
    modules = {path.stem: path for path in (ROOT / "src/bcnet").glob("evaluation/metrics/**/*.py")}
    assert modules.keys() > NO_METRIC - {"__init__"}
    for module in modules.keys() - NO_METRIC:
        assert str(modules[module].relative_to(ROOT / "src/bcnet")) in headings
        assert list(ROOT.glob(f"tests/evaluation/metrics/**/test_{module}.py"))


def test_a_dataset_stands_in_all_places_of_its_recipe() -> None:
    assert READERS.keys() == set(get_args(Files.model_fields["source"].annotation))
    page = text_of("src/bcnet/report/page/page.py")
    for name in READERS:
        assert f'"{name}": ' in page
        assert f"`{name}`" in text_of("config/README.md")
        assert name == "files" or (ROOT / f"presets/{name}.yaml").is_file()
        assert name == "files" or (ROOT / f"tests/data/sources/test_{name}.py").is_file()


def test_each_row_of_other_programs_files_names_its_tests() -> None:
    rows = re.findall(r"^\|(.*)\|$", text_of("docs/compatibility.md").partition("## Not met well")[0], re.MULTILINE)
    named = [re.findall("`([a-z0-9_]+)`", row.split("|")[-1]) for row in rows[2:]]
    assert all(named)
    tests = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    for name in (name for names in named for name in names):
        assert any(f"def test_{name}(" in text for text in tests), name
