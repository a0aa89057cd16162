import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, "0"),
    ],
)
def test_threads_of_the_program_sleep_while_they_wait(given: dict[str, str], count: str) -> None:
    """As OpenMP itself says when PyTorch loads it, which a verb of models does."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    result = subprocess.run(
        [sys.executable, "-m", "bcnet", "predict", "--model", "missing.safetensors", "--out", "a.json", "a.jpg"],
        env={**plain, **given, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    if "GOMP_" not in result.stderr:
        pytest.skip("this PyTorch does not use GNU's OpenMP")
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", result.stderr)) == {count}
