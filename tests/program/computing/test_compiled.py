"""A change of the code is in force at once, also where compiled code is kept on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from copies import copy_of

import bcnet

PROGRAM = """
import numpy as np
from bcnet.evaluation.matching.overlap import areas
print(int(areas(np.array([2, 5]), np.array([2]))[0]), len(areas.stats.cache_hits))
"""
THREE, SIX, KEPT = "3 0", "6 0", "3 1"  # what it prints, and whether it had the code already
WHERE = """
from bcnet.compiled import cache_folder
print(cache_folder())
"""
OF_OTHERS = """
import numba
from bcnet.evaluation.matching.overlap import areas
import others
print(others.double(2), others.double.stats.cache_path, numba.config.CACHE_DIR)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the program, in which nothing is compiled."""
    return copy_of(Path(bcnet.__file__).parent, tmp_path / "bcnet")


def run(program: str, folder: Path, **environment: str) -> str:
    """What a new process prints that finds the copy in `folder`."""
    command, surroundings = [sys.executable, "-c", program], os.environ | environment
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True, env=surroundings)
    return done.stdout.strip()


def double_areas(package: Path) -> None:
    """A change in the file of a function that those of other files call."""
    runs = package / "data/masks/pixel_runs.py"
    runs.write_text(runs.read_text().replace("pixels += runs[k + 1]", "pixels += runs[k + 1] - runs[k] + runs[k + 1]"))


def test_a_changed_function_is_compiled_into_those_of_other_files_that_call_it(package: Path, tmp_path: Path):
    assert run(PROGRAM, tmp_path) == THREE
    assert list(package.rglob("*.nbi"))  # it is kept, so that there is something to be out of date
    double_areas(package)
    assert run(PROGRAM, tmp_path) == SIX


def test_where_the_program_cannot_be_written_compiled_code_is_kept_in_the_users_cache(package: Path, tmp_path: Path):
    (package / "__pycache__").write_text("a file in its place stops everyone, also who may write all folders")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run(PROGRAM, tmp_path, **cache) == THREE
    assert list((tmp_path / "cache/bcnet").rglob("*.nbi"))
    double_areas(package)
    assert run(PROGRAM, tmp_path, **cache) == SIX


def test_a_change_elsewhere_leaves_compiled_code_in_force(package: Path, tmp_path: Path):
    assert run(PROGRAM, tmp_path) == THREE
    for other in ("evaluation/metrics/occlusion/leak.py", "data/masks/rasterise.py", "evaluation/measure.py"):
        (package / other).write_text((package / other).read_text() + "\n# changed\n")
    assert run(PROGRAM, tmp_path) == KEPT


def test_what_the_program_has_is_taken_over_where_it_cannot_be_written(package: Path, tmp_path: Path):
    assert run(PROGRAM, tmp_path) == THREE
    elsewhere = "import bcnet.compiled as c; w = c._is_writable\n"
    elsewhere += "c._is_writable = lambda folder: c.PACKAGE not in folder.parents and w(folder)\n"
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run(elsewhere + PROGRAM, tmp_path, **cache) == KEPT
    assert Path(run(elsewhere + WHERE, tmp_path, **cache)) == tmp_path / "cache/bcnet/numba"


def test_without_any_folder_to_keep_it_the_code_is_compiled_for_this_process(package: Path, tmp_path: Path):
    (package / "__pycache__").write_text("no folder")
    (tmp_path / "cache").write_text("no folder")
    (tmp_path / "passing").mkdir()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": "/dev/null", "TMPDIR": str(tmp_path / "passing")}
    assert run(PROGRAM, tmp_path, **nowhere) == THREE
    assert not list((tmp_path / "passing").iterdir())


def test_without_any_folder_at_all_there_is_no_cache(package: Path, tmp_path: Path):
    (package / "__pycache__").write_text("no folder")
    nowhere = {"XDG_CACHE_HOME": "/dev/null", "HOME": "/dev/null"}
    no_temporary = "import tempfile; tempfile.tempdir = '/dev/null'\n"
    assert run(no_temporary + PROGRAM, tmp_path, **nowhere) == THREE
    assert run(no_temporary + WHERE, tmp_path, **nowhere) == "None"


def test_a_home_that_is_unknown_makes_no_folder_of_that_name_where_the_program_runs(package: Path, tmp_path: Path):
    (package / "__pycache__").write_text("no folder")
    where = run(WHERE, tmp_path, HOME="~", XDG_CACHE_HOME="", TMPDIR=str(tmp_path))
    assert Path(where).parent == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bcnet"]


def test_functions_of_other_packages_are_kept_where_they_always_were(tmp_path: Path):
    (tmp_path / "others.py").write_text(
        "from numba import njit\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    )
    assert run(OF_OTHERS, tmp_path, NUMBA_CACHE_DIR="").split() == ["4", str(tmp_path / "__pycache__")]
    own = str(tmp_path / "own")
    doubled, folder, setting = run(OF_OTHERS, tmp_path, NUMBA_CACHE_DIR=own).split()
    assert (doubled, Path(folder).parent, setting) == ("4", Path(own), own)
