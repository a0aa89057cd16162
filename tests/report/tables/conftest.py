"""What tests of `bcnet compare` share."""

import shutil
from pathlib import Path

import pytest
from tables_factory import write_reports


@pytest.fixture(scope="session")
def made_reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, which no test changes."""
    return write_reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def reports(made_reports: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(made_reports, tmp_path, dirs_exist_ok=True)
