"""Two and four processes give the step that one gives on the whole batch: real processes, whose gradients are averaged
by DistributedDataParallel. `process_factory.py` says of what.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
from places import ROOT
from process_factory import CASES

NEAR = 1e-5  # of the largest value; what is float32 deviates by 2e-7


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """Of each process, what it is (how many they were, group, place), and what it found in each case."""
    out = tmp_path_factory.mktemp("processes") / "found.json"
    factory = ROOT / "tests/factories/models/process_factory.py"
    subprocess.run([sys.executable, str(factory), str(out)], check=True, timeout=1800)
    return json.loads(out.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(str, case)))
def test_processes_learn_what_one_learns_on_the_whole_batch(
    found: list[tuple[str, dict[str, Any]]], case: tuple[int, str, str]
) -> None:
    world, *words = case
    name = " ".join(words)
    of_each = [cases[name] for process, cases in found if process.startswith(str(world)) and name in cases]
    assert len(of_each) == world
    for process in of_each:
        for loss, (mean, whole) in process["losses"].items():
            assert mean == pytest.approx(whole, rel=NEAR, abs=1e-12), loss
        apart = process["gradients"]
        assert len(apart) > 40
        assert [key for key, value in apart.items() if value is None or value > NEAR] == []
