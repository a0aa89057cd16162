"""What tests of synthetic images share."""

from pathlib import Path

import pytest
from synthetic_factory import make_data, pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_data(tmp_path, pictures())
