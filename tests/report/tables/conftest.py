"""What tests of `bcnet compare` share."""

import pytest
from tables_factory import write_reports


@pytest.fixture
def reports(tmp_path):
    return write_reports(tmp_path)
