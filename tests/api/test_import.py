"""`import bcnet` changes nothing in the process that does so, and is quick; so is the program's help."""

import subprocess
import sys
from pathlib import Path

import bcnet

# what a process has before and after an import: its environment, its rules for warnings, levels of its loggers
AROUND = """
import copy, logging, os, sys, warnings
def state():
    loggers = {name: logging.getLogger(name) for name in ["", *logging.root.manager.loggerDict]}
    levels = {name: (logger.level, list(logger.handlers)) for name, logger in loggers.items()}
    return dict(os.environ), list(warnings.filters), levels, list(sys.path), list(sys.meta_path)
before, there = state(), set(sys.modules)
import bcnet
assert state() == before
print(*sorted({name.split(".")[0] for name in set(sys.modules) - there} - set(sys.stdlib_module_names)))
"""
HEAVY = {"torch", "detectron2", "numba", "numpy", "scipy", "skimage", "pandas", "pyarrow", "matplotlib", "pydantic"}
HELP = """
import sys
from bcnet.cli import main
try:
    main(["--help"])
finally:
    print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True)


def test_an_import_has_no_effects_and_brings_no_other_package(tmp_path: Path):
    assert run(AROUND, tmp_path).stdout.split() == ["bcnet"]
    assert not list(tmp_path.iterdir())


def test_help_waits_for_nothing_heavy(tmp_path: Path):
    done = run(HELP, tmp_path)
    assert done.stdout.startswith("usage: bcnet")
    assert not HEAVY & set(done.stderr.split())


def test_the_program_is_quiet_and_the_package_is_not(tmp_path: Path):
    """Filters and levels are those of the command line alone."""
    program = "import logging, warnings, bcnet, bcnet.params; print(len(warnings.filters)); {}"
    program += "print(len(warnings.filters), logging.getLogger('torch.fx._symbolic_trace').level)"
    before, after, level = map(int, run(program.format(""), tmp_path).stdout.split())
    assert (after, level) == (before, 0)
    verb = "from bcnet.cli import main; main(['preset', 'none']);"
    before, after, level = map(int, run(program.format(verb), tmp_path).stdout.split())
    assert (after - before, level) == (3, 40)


def test_a_name_that_the_package_does_not_have_is_an_error_of_python_s_own():
    assert not hasattr(bcnet, "no_such_name")
