"""The table of faults fits the code: `make mutants` runs it, which takes too long for every run of the tests."""

import ast
import tomllib
from pathlib import Path

from mutants.__main__ import PACKAGE, ROOT, TABLE, code_only, written
from mutants.__main__ import tests_of as guards_of

CONTENT = tomllib.loads(TABLE.read_text())


def test_every_fault_changes_one_place_of_a_module() -> None:
    mutants = list(written(CONTENT))
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 40
    for mutant in mutants:
        assert code_only(mutant.text) != code_only((PACKAGE / mutant.module).read_text()), mutant.name
        ast.parse(mutant.text)


def test_the_tests_that_are_to_notice_are_there() -> None:
    named = {test for tests in CONTENT["tests"].values() for test in tests}
    assert {test for test in named if not (ROOT / "tests" / test).exists()} == set()


def test_every_pattern_of_modules_fits_some() -> None:
    for pattern in (*CONTENT["tests"], *CONTENT["generate"]["modules"]):
        assert list(Path(PACKAGE).glob(pattern)), pattern


def test_every_module_that_faults_are_drawn_from_has_tests() -> None:
    modules = [path for pattern in CONTENT["generate"]["modules"] for path in sorted(PACKAGE.glob(pattern))]
    assert len(modules) > 30
    for path in filter(Path.read_text, modules):  # an empty one has no faults
        assert guards_of(str(path.relative_to(PACKAGE)), CONTENT)
