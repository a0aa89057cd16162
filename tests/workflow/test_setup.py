"""Set-up: exact pins, and what would stop it is said in one line before anything long is started."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest
from file_server import nobody
from packaging.requirements import Requirement
from places import ROOT

SETUP_FILES = ["requirements.lock", "requirements-detectron2.txt", "bootstrap.py", "pyproject.toml"]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bootstrap.py, set to make its venv in an empty folder."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "UNFINISHED", tmp_path / ".venv/.unfinished")
    monkeypatch.setattr(module, "check_disk", lambda *_: None)
    monkeypatch.setattr(module, "check_index", lambda *_: None)
    return module


def sections() -> dict[str, list[str]]:
    """The packages of requirements.txt by the heading that they stand under."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines()[1:]:
        if line.startswith("# "):
            names = found.setdefault(line[2:], [])
        elif line:
            names.append(normal(line.split("==")[0]))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    lines = [line.split("#")[0].split() for line in (ROOT / file).read_text().splitlines()]
    return {normal(name): version for name, version in (line[0].split("==") for line in lines if line)}


def needed(names: Iterable[str]) -> dict[str, str]:
    """Versions of the installed packages of these names and of all that they need in turn."""
    # of this folder only: who imports pkg_resources puts setuptools' own copies of packages on the path
    installed = {normal(each.name): each for each in distributions(path=[sysconfig.get_path("purelib")])}
    asked = [(name, "") for name in names]  # with an extra, "" for none
    for name, extra in asked:  # which grows
        for line in (installed[name].requires or []) if name in installed else []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                more = [(normal(requirement.name), each) for each in ("", *requirement.extras)]
                asked += [each for each in more if each not in asked]
    return {name: installed[name].version for name, _ in asked if name in installed}


def test_every_package_that_is_needed_is_pinned_at_its_version() -> None:
    """What somebody added to the environment for himself is his."""
    direct = pins("requirements.txt")
    pinned = direct | pins("constraints.txt") | pins("requirements-detectron2.txt")
    found = needed([*pins("requirements-detectron2.txt"), "detectron2", *direct])
    assert found.keys() > direct.keys()
    found.pop("detectron2", None)  # built from source it has no version of an index
    assert found.items() <= pinned.items()


def locked() -> dict[str, tuple[str, list[str]]]:
    """The packages of requirements.lock: version, and hashes."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    pinned = [(*line[0].split("=="), [part for part in line if part.startswith("--hash=")]) for line in lines]
    return {normal(name): (version, hashes) for name, version, hashes in pinned}


def test_every_file_that_set_up_installs_has_a_hash() -> None:
    """`make hashes` writes them anew."""
    direct, lock = pins("requirements.txt"), locked()
    for_mutants = needed(pins("requirements-mutants.txt")).keys() - needed(direct).keys()
    brought = {name: version for name, version in pins("constraints.txt").items() if name in lock}
    assert {name: version for name, (version, _) in lock.items() if name in direct | brought} == direct | brought
    assert needed(direct).keys() <= lock.keys() | for_mutants
    assert all(hashes for _, hashes in lock.values())
    assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for _, hashes in lock.values() for each in hashes)
    assert 'install(python, "Packages", "--require-hashes", "-r", "requirements.lock")' in (
        ROOT / "bootstrap.py"
    ).read_text(encoding="utf-8")


def test_each_direct_dependency_says_why_it_is_there() -> None:
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"\S+==\S+ +# \S.*", line), line
    assert not pins("requirements.txt").keys() & pins("constraints.txt").keys()


def test_each_package_of_the_program_has_a_range_that_holds_its_pin() -> None:
    """requirements.txt has exact versions for `make setup`, pyproject.toml ranges for a user's own environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    remotes = {normal(each.name): each.specifier for each in map(Requirement, extras.pop("remotes"))}
    assert not remotes.keys() & pins("requirements.txt").keys(), "`make setup` installs it anyway"
    assert all(pins("constraints.txt")[name] in allowed for name, allowed in remotes.items())
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    requirements = [each for line in lines if (each := Requirement(line)).name != project["name"]]
    ranges = {normal(each.name): each.specifier for each in requirements}
    assert len(ranges) == len(requirements), "a package stands in two extras"
    pinned, of_tests = pins("requirements.txt"), set(sections()["tests"])
    assert ranges.keys() == pinned.keys() - of_tests
    assert not {name: pinned[name] for name, allowed in ranges.items() if pinned[name] not in allowed}


def test_bootstrap_is_understood_by_python_3_6() -> None:
    ast.parse((ROOT / "bootstrap.py").read_text(), feature_version=(3, 6))


def test_no_python_3_11(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho False\n")
    old.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(old))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.SetupError, match=r"Python 3\.11 with its venv module is needed, .*PYTHON="):
        bootstrap.make_venv()
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the Python that runs the tests stands for the one in PATH")
def test_python_3_11_of_path_is_found(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.11").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_python() == os.path.realpath(tmp_path / "python3.11")


def test_code_is_compiled_ahead_and_a_failure_of_it_stops_nothing(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo packages && exit\necho "$@" >> said\nexit 1\n')
    python.chmod(0o755)
    bootstrap.compile_ahead(python)
    commands = sorted((tmp_path / "said").read_text().splitlines())
    assert commands == ["-m bcnet.evaluation.warm", "-m compileall -q -x /tests?/ packages"]


def test_full_disk(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(bootstrap.SetupError, match=rf"the packages need 7 GiB, 3\.0 GiB are free in {tmp_path}"):
        bootstrap.check_disk(tmp_path, 7, "the packages")


def test_package_index_out_of_reach(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    said = r"index cannot be reached: set HTTPS_PROXY .* PIP_INDEX_URL"
    with nobody() as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        with pytest.raises(bootstrap.SetupError, match=said) as error:
            bootstrap.check_index(sys.executable)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("there", "missing"), [((), "a C\\+\\+ compiler"), (("c++",), "git")])
def test_only_the_source_of_detectron2_needs_a_compiler(
    there: tuple[str, ...], missing: str, bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / name).touch(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.SetupError, match=f"DETECTRON2=source needs {missing}"):
        bootstrap.check_compiler()


def test_a_killed_set_up_starts_anew_and_a_whole_one_is_kept(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = bootstrap.make_venv()
    trace = tmp_path / ".venv/trace"
    trace.touch()
    assert subprocess.call([python, "-c", "import pip"]) == 0
    bootstrap.mark_finished()
    bootstrap.make_venv()
    assert trace.exists(), "a whole venv is kept"
    bootstrap.make_venv()
    assert not trace.exists(), "the one before was not marked as finished: killed"


def test_make_sets_up_again_only_after_a_change(tmp_path: Path) -> None:
    for name in [*SETUP_FILES, "Makefile"]:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.setup-source").touch()
    up_to_date = ["make", "--question", "setup"]
    assert subprocess.call(up_to_date, cwd=tmp_path) == 0
    assert subprocess.call([*up_to_date, "DETECTRON2=wheel"], cwd=tmp_path) == 1
    for name in SETUP_FILES:
        os.utime(tmp_path / name, (2**32, 2**32))
        assert subprocess.call(up_to_date, cwd=tmp_path) == 1, name
        os.utime(tmp_path / name, (1, 1))
