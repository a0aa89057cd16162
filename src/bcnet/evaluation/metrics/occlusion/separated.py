"""Which objects are separated: what is seen of them is in two or more parts, split by an occluder."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks import pixel_runs
from bcnet.data.masks.pixel_runs import parts
from bcnet.evaluation.matching.arrays import Objects, over_images, starts

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
    result, in_parts = np.zeros((2, len(objects.place)), bool)
    firsts, run_starts = starts(objects.ends), starts(objects.run_ends)
    heights = np.array([height for height, _ in sizes], np.int64)

    def of_images(first: int, last: int) -> None:
        _find_in_parts(first, last, objects, heights, in_parts)
        for image in range(first, last):
            if in_parts[firsts[image] : objects.ends[image]].any():
                solid = [g for g in range(firsts[image], objects.ends[image]) if not objects.crowd[g]]
                masks = [objects.runs[run_starts[g] : objects.run_ends[g]] for g in solid]
                for g, mask in zip(solid, masks, strict=True):
                    result[objects.place[g]] = in_parts[g] and is_split(mask, masks, sizes[image][0])

    over_images(of_images, len(sizes), "separated objects")
    return result.tolist()


@njit(cache=True, nogil=True)
def _find_in_parts(first: int, last: int, objects: Objects, heights: np.ndarray, in_parts: np.ndarray) -> None:
    """Fill in `in_parts`, which objects have two parts or more, for the images `first` to `last`, exclusive."""
    for image in range(first, last):
        for g in range(objects.ends[image - 1] if image else 0, objects.ends[image]):
            mask = objects.runs[objects.run_ends[g - 1] if g else 0 : objects.run_ends[g]]
            in_parts[g] = not objects.crowd[g] and len(_parts(mask, heights[image])[2]) > 1


@njit(cache=True, nogil=True)
def _parts(mask: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of a mask and the component that each is of (`pixel_runs.parts`), and which components are parts."""
    pieces, component = parts(mask, height)
    sizes = np.zeros(component.max() + 1 if len(component) else 0, np.int64)
    for piece in range(len(component)):
        sizes[component[piece]] += pieces[piece, 1] - pieces[piece, 0]
    return pieces, component, np.flatnonzero(sizes >= max(MIN_PIXELS, MIN_SHARE * sizes.sum()))


def is_split(mask: np.ndarray, masks: Sequence[np.ndarray], height: int) -> bool:
    """Whether one of `masks`, which may hold `mask` itself, splits it (`separated`); all as runs, of one image."""
    pieces, component, numbers = _parts(mask, height)
    if len(numbers) < 2:
        return False
    lumps = [pieces[component == number].ravel() for number in numbers]
    rivals = _rivals(mask, masks, lumps, height)
    if not rivals:
        return False
    from scipy.ndimage import distance_transform_edt  # takes long to load, and hardly any file needs it

    box = _box(pieces.ravel(), height)
    for rival, (first, second) in rivals:
        window = _window(lumps[first], lumps[second], box, height)
        to_first, to_second = (
            distance_transform_edt(~pixel_runs.pixels(lumps[k], window, height)) for k in (first, second)
        )
        occluder, own = (pixel_runs.pixels(runs, window, height) for runs in (rival, mask))
        if _splits(occluder, to_first, to_second, ~own):
            return True
    return False


def _window(first: np.ndarray, second: np.ndarray, box: np.ndarray, height: int) -> np.ndarray:
    """A part of a box in which two lumps have the same gap as in the whole of it; mostly it is much smaller.

    No pixel of a gap is further from either lump than the lumps are apart, and `WIDTH`. Nor is what of a lump is
    nearest to it further from the other lump, which the two distances together show.
    """
    reach = int(np.ceil(_at_most_apart(first, second, height) + WIDTH))
    grown = np.stack([box, *(_box(lump, height, reach) for lump in (first, second))])
    return np.concatenate([grown[:, :2].max(axis=0), grown[:, 2:].min(axis=0)])


def _at_most_apart(first: np.ndarray, second: np.ndarray, height: int) -> float:
    """How far two lumps are from each other, or a little more: from end to end of a run of each."""
    ends = [np.stack(np.divmod(np.concatenate([lump[::2], lump[1::2] - 1]), height), 1) for lump in (first, second)]
    point: np.ndarray = ends[1].mean(axis=0)
    distance = 0.0
    for of_lump in (*ends, *ends):
        away = np.hypot(*(of_lump - point).T)
        point, distance = of_lump[away.argmin()], float(away.min())
    return distance


def _rivals(
    mask: np.ndarray, masks: Sequence[np.ndarray], lumps: Sequence[np.ndarray], height: int
) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Masks that come near two parts of `mask` and do not lie under it, with the places of these in `lumps`."""
    grown = [_box(lump, height, REACH) for lump in lumps]
    near = [[place for place, box in enumerate(grown) if len(pixel_runs.cut(rival, box, height))] for rival in masks]
    return [
        (rival, pair)
        for rival, touched in zip(masks, near, strict=True)
        if len(touched) > 1 and pixel_runs.shared_area(mask, rival) < UNDERLAY * pixel_runs.area(mask)
        for pair in combinations(touched, 2)
    ]


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
