"""The text that benchmarks/results_text.py writes of a run's tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from bcnet.report.tables.csv_file import write_csv

SCRIPT = Path(__file__).parents[3] / "benchmarks/results_text.py"
PAGE = "# Results\n\n<!-- results -->\nstale\n<!-- end of results -->\nThe end.\n"
THIRD = "=Third"  # a name that a spreadsheet would take for a formula
KEY = ["split", "metric", "measure", "from", "to"]
NUMBERS = [
    ("val", "AP", "", None, None),
    ("val", "boundary_AP", "", None, None),
    ("val", "leak", "", None, None),
    ("val", "AR", "box_cover", 0.0, 0.3),
    ("val", "AR", "box_cover", 0.3, 1.0),
    ("val", "AR", "max_box_iou", 0.5, 1.0),  # of another measure: not told
    ("occluded", "AP", "", None, None),  # of another split: not told
]


def rows(values: list[dict], label: str, **more: str) -> list[dict]:
    """A row of each number, with what `values` says of it."""
    return [
        dict(zip(KEY, key, strict=True), label=label, **more) | value
        for key, value in zip(NUMBERS, values, strict=True)
    ]


def interval(value: float) -> dict:
    return {"value": value, "low": value - 1, "high": value + 1, "objects": 1234}


def difference(size: float, verdict: str) -> dict:
    return {"difference": size, "low": size - 0.5, "high": size + 0.5, "verdict": verdict}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A run of three methods, the second surely better but for its leak, the third like the first."""
    unclear = difference(0.1, "not clear")
    second = [
        difference(5, "higher"),
        difference(6, "higher"),
        difference(1, "higher"),
        *[difference(7, "higher")] * 2,
        *[difference(77, "higher")] * 2,
    ]
    content = {
        "intervals": rows([interval(10 + number) for number in range(7)], "First")
        + rows([interval(20 + number) for number in range(7)], "Second")
        + rows([{"value": None, "low": None, "high": None, "objects": None}] * 7, THIRD),
        "comparison": [{"split": "val", "seeds": 1, "iterations": 2000, "images": 400, "objects": 5678}],
        "differences": rows(second, "Second", baseline="First") + rows([unclear] * 7, THIRD, baseline="First"),
        "ablations": rows(second, "Second", baseline="First", switch="layer", before="no", after="yes"),
    }
    for name, table in content.items():
        write_csv(tmp_path / f"{name}.csv", table, list(table[0]), {})
    return tmp_path


def written(tables: Path, page: str = PAGE) -> tuple[subprocess.CompletedProcess[str], str]:
    path = tables / "page.md"
    path.write_text(page)
    result = subprocess.run([sys.executable, SCRIPT, tables, path], capture_output=True, text=True)
    return result, path.read_text()


def test_numbers_differences_and_steps_stand_between_the_marks(tables: Path) -> None:
    result, text = written(tables)
    assert result.returncode == 0, result.stderr
    assert text.startswith("# Results\n\n<!-- results -->\n")
    assert text.endswith("<!-- end of results -->\nThe end.\n")
    assert "stale" not in text
    for line in (
        "400 images with 5,678 objects; 2,000 iterations; 1 seed; in brackets 95 % intervals.",
        "Most covered: others cover 30 % or more of the box, 1,234 objects.",
        "| First | 10.0 [9.0, 11.0] | 11.0 [10.0, 12.0] | 13.0 [12.0, 14.0] | 14.0 [13.0, 15.0] | 12.0 [11.0, 13.0] |",
        "| =Third | - | - | - | - | - |",
        "| Second | **+5.0 (+4.5 to +5.5)** | **+6.0 (+5.5 to +6.5)** | **+7.0 (+6.5 to +7.5)** "
        "| **+1.0 (+0.5 to +1.5)** |",
        "- AP against First. Better: Second. Not to be told apart: =Third.",
        "- leak against First. Worse: Second. Not to be told apart: =Third.",
        "| `layer`: no → yes | First → Second | **+5.0 (+4.5 to +5.5)** | **+6.0 (+5.5 to +6.5)** "
        "| **+7.0 (+6.5 to +7.5)** | **+1.0 (+0.5 to +1.5)** |",
    ):
        assert line in text.splitlines()
    assert "| =Third | +0.1 (-0.4 to +0.6) | +0.1" in text
    assert "One seed:" in text
    assert "77" not in text


def test_writing_again_changes_nothing(tables: Path) -> None:
    once = written(tables)[1]
    assert written(tables, once)[1] == once


@pytest.mark.parametrize(
    ("page", "message"), [("# No marks\n", "has no line <!-- results -->"), (PAGE, "is missing, or no table")]
)
def test_what_is_not_there_is_said_and_the_page_stays(tables: Path, page: str, message: str) -> None:
    if page == PAGE:
        (tables / "intervals.csv").unlink()
    result, text = written(tables, page)
    assert (result.returncode, text) == (2, page)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
