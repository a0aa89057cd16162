"""A change of the code is in force at once, also where compiled code is kept on disk."""

import shutil
import subprocess
import sys
from pathlib import Path

import bcnet

PROGRAM = """
import numpy as np
from bcnet.evaluation.overlap import areas
print(areas(np.array([2, 5]), np.array([2]))[0])
"""


def test_a_changed_function_is_compiled_into_those_of_other_files_that_call_it(tmp_path: Path):
    package = tmp_path / "bcnet"
    shutil.copytree(Path(bcnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def area() -> str:
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert area() == "3\n"
    assert list(package.rglob("*.nbi"))  # it is kept, so that there is something to be out of date
    runs = package / "data/runs.py"
    runs.write_text(runs.read_text().replace("(runs[1::2] - runs[::2]).sum()", "2 * (runs[1::2] - runs[::2]).sum()"))
    assert area() == "6\n"
