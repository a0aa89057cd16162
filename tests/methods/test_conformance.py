"""Every method of the table does what training, prediction and report expect of it, on every detector it stands on."""

from pathlib import Path
from typing import Any

import pytest
from conformance import checks
from model_factory import variants

from bcnet.params import methods
from bcnet.params.variants import Variant


@pytest.fixture(params=variants().values(), ids=variants())
def variant(request: Any) -> Variant:
    """A variant of each method on each of its detectors, with the method's own keys as by default."""
    return methods.variant(backbone="efficientnet_lite0", **request.param)


@checks
def test_every_method(variant: Variant, check: Any, tmp_path: Path) -> None:
    check(variant, tmp_path)
