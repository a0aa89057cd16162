"""How much of a predicted mask bleeds into the occluder."""

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks import pixel_runs


@njit(cache=True, nogil=True)
def leak(prediction: np.ndarray, occluder: np.ndarray, target: np.ndarray) -> float:
    """The share of a prediction's pixels that fall on the target's annotated occluder.

    |P and O and not T| / |P|: annotations overlap a little, and pixels that are the target's as well are no leak. The
    number of a method is the mean over the objects that have an occluder and that COCO's matching at IoU .5 gives a
    prediction.

    It is conditional on being matched: a mask that leaks so much that it is no longer matched counts nowhere, so that
    a method may have less leak because it finds fewer occluded objects (set it beside recall), and two methods' means
    are of different objects. Nor does it see pixels that the target wrongly loses to its occluder, or that bleed into
    what is not annotated; and an occluder in COCO is any neighbour whose box overlaps, in front or behind.

    Args:
        prediction: P, as runs (`bcnet.data.masks.pixel_runs`).
        occluder: O, the union of occluders cut to the target's box (`data.occlusion`).
        target: T, the object's own mask.

    Returns:
        0 to 1; 0 for an empty prediction.
    """
    pixels = pixel_runs.area(prediction)
    return pixel_runs.shared_area(prediction, pixel_runs.difference(occluder, target)) / pixels if pixels else 0.0
