"""One module knows where files lie."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

from bcnet.layout import BROUGHT, IMPORTED, DatasetFiles, ReportFiles

SOURCE = ROOT / "src/bcnet"
FOLDERS = (
    "annotations images bilayer splits weights models predictions metrics tables checkpoints downloads submissions"
)
PATH = re.compile(  # a folder with something below it, or the name of a file
    rf"(^|[/ `'])({FOLDERS.replace(' ', '|')})/|instances_|model\.safetensors|images.*\.tsv|training\.jsonl|index\.html"
    r"|image_info|\.parquet$|\.provenance|\.speed|^(data|reports)/"
)
COCO_OWN = "2017"  # names of COCO's own files have the year


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module's code, parts of f-strings and of `folder / "name"` too; no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield node.lineno, f"{node.right.value}/"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def test_no_other_module_spells_out_a_path() -> None:
    spelt = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "layout.py"
        for line, text in literals(path)
        if PATH.search(text) and COCO_OWN not in text
    ]
    assert spelt == []


@pytest.mark.parametrize(
    "text", ['f / "bilayer" / x', 'f / f"models/{x}"', 'f"{x}.parquet"', '"data/demo"', '"a `metrics/`"']
)
def test_such_a_path_would_be_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"path = {text}\n")
    assert any(PATH.search(literal) for _, literal in literals(tmp_path / "module.py"))


def test_commands_name_the_paths_that_they_make() -> None:
    files = DatasetFiles(Path("data/demo"))
    run, metrics = files.run("bcnet", "1"), ReportFiles(Path("reports/demo")).metrics("bcnet", "1", "occluded")
    assert files.split_command("occluded") == (
        "bcnet split --annotations data/demo/bilayer/val.json --rule occluded --out data/demo/splits/occluded.json"
    )
    assert run.evaluate_command("occluded", metrics) == (
        "bcnet evaluate --annotations data/demo/splits/occluded.json"
        " --predictions data/demo/predictions/bcnet/1/val.json --out reports/demo/metrics/bcnet/1/occluded.json"
    )


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ("1", "bcnet predict net --seed 1 --split val"),
        (IMPORTED, "bcnet predict net --split val"),
        (BROUGHT, "bcnet fetch demo --predictions net"),
    ],
)
def test_predictions_are_made_as_their_run_asks(run: str, command: str) -> None:
    assert DatasetFiles(Path("data/demo")).run("net", run).predictions_command() == command
