"""Sizes of images, anchors and levels that fit a set of annotations, as lines for `params.yaml`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LONGEST = 1333, 800  # pixels: the sides that larger images are reduced to, as detectron2 does
STEP = 32  # of a side: the coarsest level of the backbone
LEAST_RATIO = 1.25  # of one anchor to the next smaller one, and of one range to the next
WHOLE = 2048  # SOLOv2's last range: all that is larger


def proposal(images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]) -> str:
    """Lines of `params.yaml`: the size to train and predict at, anchors, and ranges of levels.

    Images keep the median's size, or are reduced to `LONGEST`. All else is in pixels of the resized images. Anchors go
    from the 5th to the 95th percentile of the root of the boxes' areas, each larger than the one before by one factor.
    Ranges divide the objects evenly between levels: FCOS's by half of the longer side, which is the farthest side from
    an object's centre, SOLOv2's by the root of the area.

    Args:
        images: with `height` and `width`.
        annotations: with `image_id` and `bbox`; crowds and boxes without area do not count.

    Returns:
        The lines; empty if there is no object.
    """
    sides = {image["id"]: sorted((image["height"], image["width"])) for image in images}
    objects = [
        (sides[a["image_id"]], a["bbox"][2:]) for a in annotations if not a.get("iscrowd") and min(a["bbox"][2:])
    ]
    if not objects:
        return ""
    short, long = np.median(list(sides.values()), axis=0)
    scale = min(1.0, LONGEST[0] / long, LONGEST[1] / short)
    short_side = max(STEP, round(scale * short / STEP) * STEP)
    max_side = int(np.ceil(short_side * long / (short * STEP))) * STEP  # which leaves the short one as it is
    of_images = np.array([sides_of for sides_of, _ in objects], float)
    boxes = np.array([box for _, box in objects], float)
    boxes *= np.minimum(short_side / of_images[:, 0], max_side / of_images[:, 1])[:, None]
    roots, halves = np.sqrt(boxes.prod(axis=1)), boxes.max(axis=1) / 2
    low, high = np.percentile(roots, [5, 95])
    middle, factor = np.sqrt(low * high), max(LEAST_RATIO, (high / low) ** 0.25)
    anchors = [max(4, round(middle * factor**power)) for power in range(-2, 3)]
    solov2 = _rising(np.percentile(roots, [20, 40, 60, 80]))
    return "\n".join(
        [
            f"schedule: {{short_side: [{short_side}], max_side: {max_side}}}",
            f"predict: {{short_side: {short_side}, max_side: {max_side}}}",
            "model:",
            f"  anchor_sizes: {anchors}",
            f"  fcos_ranges: {_rising(np.percentile(halves, [20, 40, 60, 80]))}",
            f"  solov2_ranges: {[*solov2, max(WHOLE, 2 * solov2[-1])]}",
        ]
    )


def _rising(ends: np.ndarray) -> list[int]:
    """Whole numbers near these, each larger than the one before by `LEAST_RATIO` at least."""
    result: list[int] = []
    for end in ends.tolist():
        least = np.ceil(LEAST_RATIO * result[-1]) if result else 4
        result.append(int(max(round(end), least)))
    return result
