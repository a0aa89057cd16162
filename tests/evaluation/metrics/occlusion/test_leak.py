"""How much of a mask bleeds into the occluder, by counting pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_factory import runs_of

from bcnet.evaluation.metrics.occlusion.leak import leak

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=10)


def of(*masks):
    return leak(*(runs_of(mask) for mask in masks))


@given(SHAPES.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 3)))
def test_it_is_a_share_of_the_prediction(masks):
    prediction, occluder, target = masks
    pixels = leaked = 0
    for p, o, t in zip(prediction.flat, occluder.flat, target.flat, strict=True):
        pixels += p
        leaked += p and o and not t
    assert of(prediction, occluder, target) == (leaked / pixels if pixels else 0)


TARGET = np.zeros((10, 20), bool)
TARGET[:, :10] = True
OCCLUDER = np.zeros((10, 20), bool)
OCCLUDER[:, 8:16] = True  # two columns are annotated as both
NOTHING = np.zeros((10, 20), bool)


def test_perfect_swapped_bleeding_nothing():
    assert of(TARGET, OCCLUDER, TARGET) == 0
    assert of(OCCLUDER, OCCLUDER, TARGET) == 0.75
    assert of(TARGET | OCCLUDER, OCCLUDER, TARGET) == 6 / 16
    assert of(~TARGET, OCCLUDER, TARGET) == 0.6  # the rest bleeds into what is no occluder
    assert of(TARGET | OCCLUDER, NOTHING, TARGET) == 0
    assert of(NOTHING, OCCLUDER, TARGET) == 0
