"""One table defines the numbers: docs/benchmark.md has its headings, its names and its thresholds."""

import re
from pathlib import Path

import pytest
from places import ROOT

import bcnet
from bcnet.evaluation.metrics import definitions, failures
from bcnet.evaluation.metrics.definitions import DEFINITIONS

HEADINGS = tuple(dict.fromkeys(definition.heading for definition in DEFINITIONS))
SECTION = re.compile(r"^## (.*?) \((.*?)\)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def sections() -> dict[str, tuple[str, str]]:
    """Of each section of docs/benchmark.md its modules and its text, by heading."""
    text = (ROOT / "docs/benchmark.md").read_text(encoding="utf-8")
    assert len(SECTION.findall(text)) == text.count("\n## ")
    return {heading: (modules, content) for heading, modules, content in SECTION.findall(text)}


def test_every_heading_has_its_section_and_its_module(sections):
    assert set(sections) == set(HEADINGS)
    for modules, _ in sections.values():
        for module in re.findall("`(.*?)`", modules):
            assert (Path(bcnet.__file__).parent / module).is_file(), module


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_section_has_the_names_of_its_definitions(sections, heading):
    names = "; ".join(definition.name for definition in DEFINITIONS if definition.heading == heading)
    assert sections[heading][1].startswith(f"On the report's page: {names}.\n")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_a_threshold_is_written_as_it_is_computed_with(sections, definition):
    """In the definition and in the document."""
    text = sections[definition.heading][1]
    for threshold in definition.thresholds:
        assert threshold in f"{definition.text} {definition.formula} {definition.after}"
        assert re.search(rf"(?<![\d.]){re.escape(threshold)}(?![\d])", text), threshold


def test_thresholds_are_those_of_the_code():
    found = next(definition for definition in DEFINITIONS if definition.name == "found")
    assert found.thresholds == (f"{failures.MIN_SCORE:g}"[1:], f"{failures.FOUND_IOU:g}"[1:])
    assert definitions.percent(0.02) == "2 %"
    assert definitions.side(1024.0) == "32²"
