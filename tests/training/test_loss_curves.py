"""Each detector with each mask head learns as it did: the losses of six iterations, to six digits.

A difference is either a fault or meant: then `python tests/factories/models/curve_factory.py` writes the golden curves
again, and the commit says why they changed.
"""

import json

import pytest
from curve_factory import GOLDEN, SCHEDULE, VARIANTS, curve, versions

CONTENT = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", VARIANTS)
def test_losses_of_six_iterations(name: str) -> None:
    golden = CONTENT["curves"][name]
    assert len(golden) == SCHEDULE.iterations
    why = f"golden curves of {CONTENT['versions']}, here {versions()}"
    for iteration, (found, expected) in enumerate(zip(curve(VARIANTS[name]), golden, strict=True)):
        # weights changed by 1e-12 move a curve by 1e-9 at most; the faults that they notice, by far more
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), f"iteration {iteration}; {why}"


def test_every_detector_and_mask_head_has_a_curve() -> None:
    assert CONTENT["curves"].keys() == VARIANTS.keys()
