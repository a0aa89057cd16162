"""A small right annotation file, and `bcnet check` run on what a test makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from bcnet.cli import main

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]
EMPTY = {"size": [30, 40], "counts": [1200]}


def annotation(**values: Any) -> dict[str, Any]:
    square = {"id": 7, "image_id": 3, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [10, 10, 10, 10]}
    return square | {"segmentation": [SQUARE]} | values


def content(*annotations: Any) -> dict[str, Any]:
    image = {"id": 3, "width": 40, "height": 30, "file_name": "a.png"}
    return {"images": [image], "annotations": list(annotations), "categories": [{"id": 1, "name": "cat"}]}


class Checker:
    """Runs `bcnet check` in a folder and keeps what it says."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.path, self.out = folder / "file.json", folder / "out.json"

    def __call__(self, data: Any, *arguments: str) -> tuple[int, list[str], str]:
        """Exit code, lines, and the line of the error."""
        self.path.write_text(data if isinstance(data, str) else json.dumps(data))
        self.out.unlink(missing_ok=True)
        code = main(["check", str(self.path), *arguments])
        said = self.capsys.readouterr()
        return code, said.out.replace(f"{self.folder}/", "").splitlines(), said.err.replace(f"{self.folder}/", "")

    def fix(self, data: Any, *arguments: str) -> tuple[int, list[str], Any]:
        """Exit code, lines, and the fixed content, None if none was written."""
        code, lines, _ = self(data, "--fix", str(self.out), *arguments)
        if not self.out.exists():
            return code, lines, None
        assert main(["check", str(self.out)]) == 0
        self.capsys.readouterr()
        return code, lines, json.loads(self.out.read_text())

    def fixed(self, data: Any, *arguments: str) -> Any:
        """The fixed content of a file that can be fixed."""
        code, _, content = self.fix(data, *arguments)
        assert code == 0
        return content
