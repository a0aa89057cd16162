"""How much a number rests on: its objects, the images that have them, and how sure draws of few images are."""

from typing import NamedTuple

import numpy as np

FEW = 20  # fewer objects, or images that have them, say too little of a method: docs/significance.md


class Sample(NamedTuple):
    """What a number rests on.

    `objects`, `images`: how many objects it is about, and how many images have one; `widening`: by what the variance
    over draws is multiplied, 1 or more; `freedom`: its degrees of freedom, 1 or more.
    """

    objects: int
    images: int
    widening: float
    freedom: float

    @property
    def few(self) -> bool:
        """Whether these are too few for a statement about a method."""
        return min(self.objects, self.images) < FEW


def sample(image: np.ndarray, group: np.ndarray, images: int) -> Sample:
    """What a mean over groups of objects rests on.

    Draws of n images have on average only 1 - 1/n of the variance of other n images, known to n - 1 degrees of freedom.
    A mean over categories is as sure as its rarest ones: the variance of each category's part goes with 1 / n of its
    own images, and the degrees of freedom follow Satterthwaite. Of a category that one image has, draws show nothing:
    it counts like one of two images.

    Args:
        image: (G,) of each object its image.
        group: (G,) of each object its category; all alike for a mean over objects.
        images: of the split.

    Returns:
        The sample; `images` are those with any of the objects.
    """
    pairs = np.unique(np.column_stack([group, image]), axis=0)
    counts = np.unique(pairs[:, 0], return_counts=True)[1]
    with_objects = len(np.unique(image))
    if not with_objects:
        return Sample(0, 0, 1.0, 1.0)
    two = np.maximum(counts, 2)
    variance = 1 / counts  # of a category's part, but for a factor that all share
    widening = variance.sum() / (variance * (1 - 1 / two)).sum()
    freedom = variance.sum() ** 2 / (variance**2 / (two - 1)).sum()
    images = max(images, 2)
    return Sample(
        len(image), with_objects, float(max(widening, images / (images - 1))), float(min(freedom, images - 1))
    )


def smaller(*samples: Sample) -> Sample:
    """The one that a number of all of these rests on: of the fewest images."""
    return min(samples, key=lambda each: (each.images, each.objects))
