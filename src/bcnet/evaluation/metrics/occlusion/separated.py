"""Which objects are separated: what is seen of them is in two or more parts, split by an occluder."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bcnet.data.masks import pixel_runs
from bcnet.evaluation.matching.arrays import Objects, by_image, starts

MIN_PIXELS = 20  # fewer are scraps of an outline, no part
MIN_SHARE = 0.02  # of the object's pixels
WIDTH = 2.0  # pixels by which a way through the gap may be longer than the shortest
REACH = 3  # pixels from a part within which an occluder touches it: outlines leave a little free
FILLED = 0.5  # share of the gap
UNDERLAY = 0.5  # share of the object's own pixels


def separated(objects: Objects, sizes: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each annotation is split into parts by one other object of its image.

    - A part: an 8-connected component of the mask, of `MIN_PIXELS` and `MIN_SHARE` of the mask or more.
    - The gap of two parts: the pixels p of the mask's box, none of the mask's, with
      distance(p, one) + distance(p, other) <= the parts' distance + `WIDTH`; distances are between pixels' centres.
    - One other object splits them if it has at least `FILLED` of the gap's pixels, some of these within `REACH` of the
      one part and some within `REACH` of the other, and less than `UNDERLAY` of the object's own pixels: masks in
      front leave out what they hide, those of tables and vehicles go on under what lies on them.

    Crowds are neither separated nor do they split. It cannot tell splitting by what nobody annotated (a pole), by
    several objects together that each fill less than half of the gap, or where the hidden link makes a turn (two legs
    below a table); and it goes by annotated masks, so that of two objects with the same pixels neither is in front.

    Args:
        objects: of a file.
        sizes: height and width of each image, pixels.

    Returns:
        One for each annotation, in the file's order. After the idea of Separated COCO, whose own list is a file: Zhan,
        Xie and Zisserman, A Tri-Layer Plugin to Improve Occluded Detection, BMVC 2022.
    """
    result = np.zeros(len(objects.place), bool)
    firsts, run_starts = starts(objects.ends), starts(objects.run_ends)

    def of_images(first: int, last: int) -> None:
        for image in range(first, last):
            solid = [g for g in range(firsts[image], objects.ends[image]) if not objects.crowd[g]]
            masks = [objects.runs[run_starts[g] : objects.run_ends[g]] for g in solid]
            for g, mask in zip(solid, masks, strict=True):
                result[objects.place[g]] = is_split(mask, masks, sizes[image][0])

    by_image(of_images, len(sizes), "separated objects")
    return result.tolist()


def is_split(mask: np.ndarray, masks: Sequence[np.ndarray], height: int) -> bool:
    """Whether one of `masks`, which may hold `mask` itself, splits it (`separated`); all as runs, of one image."""
    pieces, part = pixel_runs.parts(mask, height)
    if part.max(initial=0) == 0:
        return False
    sizes = np.bincount(part, pieces[:, 1] - pieces[:, 0])
    large = np.flatnonzero(sizes >= max(MIN_PIXELS, MIN_SHARE * sizes.sum()))
    if len(large) < 2:
        return False
    lumps = [pieces[part == number].ravel() for number in large]
    grown = [_box(lump, height, REACH) for lump in lumps]
    rivals = [
        rival
        for rival in masks
        if sum(len(pixel_runs.cut(rival, around, height)) > 0 for around in grown) >= 2  # else it touches none or one
        and pixel_runs.shared_area(mask, rival) < UNDERLAY * pixel_runs.area(mask)
    ]
    if not rivals:
        return False
    from scipy.ndimage import distance_transform_edt  # takes long to load, and hardly any file needs it

    box = _box(pieces.ravel(), height)
    free = ~pixel_runs.pixels(mask, box, height)
    occluders = [pixel_runs.pixels(rival, box, height) for rival in rivals]
    distances = [distance_transform_edt(~pixel_runs.pixels(lump, box, height)) for lump in lumps]
    return any(
        _splits(occluder, first, second, free) for first, second in combinations(distances, 2) for occluder in occluders
    )


def _box(lump: np.ndarray, height: int, margin: int = 0) -> np.ndarray:
    """Corners (as `runs.cut` takes them) of the box around runs that end with their columns, grown by a margin."""
    first, last = lump[::2], lump[1::2] - 1
    left, right = first[0] // height - margin, last[-1] // height + 1 + margin
    top, bottom = (first % height).min() - margin, (last % height).max() + 1 + margin
    return np.array([max(left, 0), max(top, 0), right, min(bottom, height)], np.int64)


def _splits(occluder: np.ndarray, first: np.ndarray, second: np.ndarray, free: np.ndarray) -> bool:
    """Whether an occluder fills the gap of two parts, from the distances to either; all of the box's shape."""
    way = first + second
    gap = free & (way <= way.min() + WIDTH)
    filled = gap & occluder
    return bool(
        filled.any()
        and filled.sum() >= FILLED * gap.sum()
        and first[filled].min() <= REACH
        and second[filled].min() <= REACH
    )
