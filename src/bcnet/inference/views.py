"""The views of a picture at test time: in several sizes, and mirrored."""

import numpy as np

from bcnet.models.detections import View
from bcnet.models.model_input import picture_tensor, resized
from bcnet.params.models import Predict


def views_of(picture: np.ndarray, predict: Predict, channel_order: str) -> list[View]:
    """The views of a picture that the parameters ask for.

    Args:
        picture: (H, W, 3) uint8, RGB.
        predict: short sides and flip; `max_side` is that of the view with `short_side` and grows with the others.
        channel_order: `RGB` or `BGR`.
    """
    height, width = picture.shape[:2]
    views = []
    for side in (predict.short_side, *predict.extra_short_sides):
        size = resized(height, width, side, predict.max_side * side / predict.short_side)
        image = picture_tensor(picture, size, channel_order)
        views.append(View(image, flipped=False))
        if predict.flip:
            views.append(View(image.flip(-1), flipped=True))
    return views
