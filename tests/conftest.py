"""What several tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: torch's threads would wait for each other

from collections.abc import Iterator

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("bcnet", deadline=None)  # what is compiled at its first use takes a second then
hypothesis.settings.load_profile("bcnet")


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Training flushes them in its process; hypothesis refuses to draw numbers then."""
    yield
    torch.set_flush_denormal(False)
