import os
import re
import subprocess
import sys

import pytest
from places import ROOT

from bcnet.threads import processors, threads

VERB = ["-m", "bcnet", "predict", "--model", "missing.safetensors", "--out", "a.json", "a.jpg"]
LOADED = ["-c", "from bcnet import threads; threads.wait_asleep(); import torch"]


@pytest.mark.parametrize(
    ("program", "given", "count"),
    [
        (VERB, {}, "1000"),
        (LOADED, {"GOMP_SPINCOUNT": "7"}, "7"),
        (LOADED, {"OMP_WAIT_POLICY": "passive"}, "0"),
    ],
)
def test_threads_of_the_program_sleep_while_they_wait(program: list[str], given: dict[str, str], count: str) -> None:
    """As OpenMP itself says when PyTorch loads it, which a verb of models does."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    result = subprocess.run(
        [sys.executable, *program],
        env={**plain, **given, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == (2 if program is VERB else 0), result.stderr
    if "GOMP_" not in result.stderr:
        pytest.skip("this PyTorch does not use GNU's OpenMP")
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", result.stderr)) == {count}


def test_a_process_bound_to_one_processor_has_one() -> None:
    """As those of a cluster's job are bound; what each verb takes by default is what the process has."""
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from bcnet import threads; from bcnet.cli import parser;"
        "print(threads.processors(), parser().parse_args(['convert', '--annotations', 'a', '--out', 'b']).jobs)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "1 1\n"


@pytest.mark.parametrize(
    ("said", "count"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("0", 1), ("", None), ("many", None), (None, None)]
)
def test_threads_are_those_of_openmp(said: str | None, count: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list has a number for each level of nesting; what is no number, OpenMP itself ignores."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == (count or processors())


def test_nothing_asks_for_the_processors_of_the_machine() -> None:
    asking = [path for path in (ROOT / "src").rglob("*.py") if "cpu_count" in path.read_text()]
    assert asking == []
    assert processors() == len(os.sched_getaffinity(0))
