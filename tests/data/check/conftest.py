"""What tests of `bcnet check` share."""

from pathlib import Path

import pytest
from check_factory import Checker
from PIL import Image


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checker:
    return Checker(tmp_path, capsys)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name, size in (("a.png", (40, 30)), ("small.png", (4, 3)), ("sub/extra.JPG", (4, 4))):
        Image.new("RGB", size).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "readme.txt").write_text("no picture")
    return folder
