"""How much the detections and the objects of an image overlap: by mask, by box, by boundary; compiled.

Masks are runs of pixels (`bcnet.data.masks.pixel_runs`), those of one image one after the other in one array with
where each ends.
"""

from collections.abc import Sequence

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks.pixel_runs import append, area, decode_to, shared_area
from bcnet.evaluation.matching.coco_matching import IOU_THRESHOLDS

CROSS_CATEGORY_MIN_IOU = 0.09  # with an object of another category: below it nothing asks (TIDE: from .1 up)
DILATION = 0.02  # width of a boundary, of the image's diagonal


@njit(cache=True, nogil=True)
def decode_all(texts: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of the masks whose compressed RLE strings lie in `texts`, (bytes,) uint8, and where each mask's runs end."""
    size = count = 0
    for place in range(len(starts)):
        size += stops[place] - starts[place]
    runs, ends = np.empty(size, np.int64), np.empty(len(starts), np.int64)
    for place in range(len(starts)):
        count += decode_to(texts, starts[place], stops[place], runs[count:])
        ends[place] = count
    return runs[:count], ends


@njit(cache=True, nogil=True)
def ends_from(ends: np.ndarray, before: int) -> np.ndarray:
    """Where the masks of an image end in its own runs, by where they end in all and how much of that is before."""
    own = np.empty(len(ends), np.int64)
    for place in range(len(ends)):
        own[place] = ends[place] - before
    return own


@njit(cache=True, nogil=True)
def same_category(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(D, G) bool: whether categories (D,) and (G,) are equal."""
    same = np.empty((len(ours), len(theirs)), np.bool_)
    for d in range(len(ours)):
        for g in range(len(theirs)):
            same[d, g] = ours[d] == theirs[g]
    return same


@njit(cache=True, nogil=True)
def mask_at(runs: np.ndarray, ends: np.ndarray, place: int) -> np.ndarray:
    """The runs of one of the masks."""
    return runs[ends[place - 1] if place else 0 : ends[place]]


@njit(cache=True, nogil=True)
def boxes_around(runs: np.ndarray, ends: np.ndarray, height: int) -> np.ndarray:
    """(N, 4) float64: x, y, width and height of the box around each mask, pixels; zeros around an empty one."""
    boxes = np.zeros((len(ends), 4))
    start = 0
    for place in range(len(ends)):
        end = ends[place]
        left, top, right, bottom = np.int64(-1), np.int64(height), np.int64(-1), np.int64(-1)
        column, base = np.int64(0), np.int64(0)  # base: the column's first pixel (a division for each run takes longer)
        for k in range(start, end, 2):
            if runs[k + 1] == runs[k]:
                continue
            while runs[k] >= base + height:
                column, base = column + 1, base + height
            left = column if left < 0 else left
            top = min(top, runs[k] - base)
            while runs[k + 1] > base + height:  # on into another column: through the whole height
                column, base = column + 1, base + height
                top, bottom = np.int64(0), np.int64(height)
            right, bottom = column + 1, max(bottom, runs[k + 1] - base)
        if right >= 0:
            boxes[place, 0], boxes[place, 1] = left, top
            boxes[place, 2], boxes[place, 3] = right - left, bottom - top
        start = end
    return boxes


@njit(cache=True, nogil=True)
def areas(runs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) float64: pixels of each mask."""
    pixels = np.empty(len(ends))
    for place in range(len(ends)):
        pixels[place] = area(mask_at(runs, ends, place))
    return pixels


@njit(cache=True, nogil=True)
def mask_iou(
    ours: np.ndarray,
    our_ends: np.ndarray,
    our_areas: np.ndarray,
    our_boxes: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    their_boxes: np.ndarray,
    crowd: np.ndarray,
    same: np.ndarray,
    least: float,
) -> np.ndarray:
    """(D, G) float64: IoU of pairs of masks, given the boxes around them and our areas, (D,) float64.

    Pairs that are not `same` (D, G), of different categories, whose IoU is below `least` may be reported as 0.
    """
    shared, their_areas = shared_boxes(our_boxes, their_boxes), areas(theirs, their_ends)
    for d in range(len(our_ends)):
        mask = mask_at(ours, our_ends, d)
        for g in range(len(their_ends)):
            of_boxes, shared[d, g] = shared[d, g], 0.0
            if of_boxes <= 0:
                continue
            if same[d, g] or of_boxes >= least * max(our_areas[d], their_areas[g]):
                shared[d, g] = shared_area(mask, mask_at(theirs, their_ends, g))
    return iou_of(shared, our_areas, their_areas, crowd)


@njit(cache=True, nogil=True)
def iou_of(shared: np.ndarray, ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) 0 to 1, of shared areas (D, G) and areas (D,), (G,), all float64; with a crowd: the detection's share.

    Source: cocoapi, maskApi.c, `rleIou` and `bbIou`.
    """
    ious = np.zeros((len(ours), len(theirs)))
    for d in range(len(ours)):
        for g in range(len(theirs)):
            if shared[d, g] > 0:
                ious[d, g] = shared[d, g] / (ours[d] if crowd[g] else ours[d] + theirs[g] - shared[d, g])
    return ious


@njit(cache=True, nogil=True)
def shared_boxes(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(D, G) float64: area that boxes (D, 4) and (G, 4), float64 x, y, width, height, share."""
    shared = np.zeros((len(ours), len(theirs)))
    for d in range(len(ours)):
        for g in range(len(theirs)):
            left, top = max(ours[d, 0], theirs[g, 0]), max(ours[d, 1], theirs[g, 1])
            width = min(ours[d, 0] + ours[d, 2], theirs[g, 0] + theirs[g, 2]) - left
            height = min(ours[d, 1] + ours[d, 3], theirs[g, 1] + theirs[g, 3]) - top
            if width > 0 and height > 0:
                shared[d, g] = width * height
    return shared


@njit(cache=True, nogil=True)
def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N,) float64: width times height."""
    pixels = np.empty(len(boxes))
    for place in range(len(boxes)):
        pixels[place] = boxes[place, 2] * boxes[place, 3]
    return pixels


@njit(cache=True, nogil=True)
def coco_box_iou(ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) float64: IoU of boxes (D, 4) and (G, 4), float64 x, y, width, height; with a crowd as of `iou_of`.

    That of `data.occlusion.geometry`, by which occluders are chosen, is another: it knows no crowds, and may count the
    pixels at both ends as the released converter does.
    """
    return iou_of(shared_boxes(ours, theirs), box_areas(ours), box_areas(theirs), crowd)


def boundary_widths(sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """(N,) int64: the width of a boundary in images of (height, width), pixels: 2 % of the diagonal, at least 1."""
    return np.array([max(1, round(DILATION * (height**2 + width**2) ** 0.5)) for height, width in sizes], np.int64)


@njit(cache=True, nogil=True)
def boundary_iou(
    ours: np.ndarray,
    our_ends: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    wanted: np.ndarray,
    height: int,
    width: int,
) -> np.ndarray:
    """(D, G) float64: IoU of boundaries of the pairs `wanted` (D, G) bool, 0 for others.

    The boundary of a mask: its pixels that are at most `width` pixels, along rows, columns or diagonals, away from one
    that is not in the mask; beyond the image nothing is. Source: Cheng et al., Boundary IoU, CVPR 2021, section 3.
    """
    shared, no_crowd = np.zeros((len(our_ends), len(their_ends))), np.zeros(len(their_ends), np.bool_)
    our_areas, their_areas = np.zeros(len(our_ends)), np.zeros(len(their_ends))
    insides, inside_ends, count = np.empty(len(theirs), np.int64), np.empty(len(their_ends), np.int64), 0
    for g in range(len(their_ends)):
        for d in range(len(our_ends)):
            if wanted[d, g]:
                mask = mask_at(theirs, their_ends, g)
                within = inside(mask, height, width)
                their_areas[g] = area(mask) - area(within)
                insides = append(insides, count, within)
                count += len(within)
                break
        inside_ends[g] = count
    for d in range(len(our_ends)):
        mask, within = mask_at(ours, our_ends, d), insides[:0]
        for g in range(len(their_ends)):
            if not wanted[d, g]:
                continue
            if our_areas[d] == 0:  # the first one wanted: what has pixels has a boundary
                within = inside(mask, height, width)
                our_areas[d] = area(mask) - area(within)
            other, their_inside = mask_at(theirs, their_ends, g), mask_at(insides, inside_ends, g)
            shared[d, g] = shared_area(mask, other) - shared_area(mask, their_inside)
            shared[d, g] += shared_area(within, their_inside) - shared_area(within, other)
    return iou_of(shared, our_areas, their_areas, no_crowd)


@njit(cache=True, nogil=True)
def lower_iou(
    ious: np.ndarray,
    same: np.ndarray,
    crowd: np.ndarray,
    ours: np.ndarray,
    our_ends: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    height: int,
    width: int,
) -> np.ndarray:
    """(D, G) float64: the lower of the IoUs of masks (D, G) and of boundaries; with a crowd that of masks.

    The first is asked first: for pairs that are not `same` (D, G), or whose masks reach no threshold, it is 0.
    """
    wanted, lower = np.zeros(same.shape, np.bool_), np.zeros(same.shape)
    for d in range(len(our_ends)):
        for g in range(len(their_ends)):
            wanted[d, g] = same[d, g] and not crowd[g] and ious[d, g] >= IOU_THRESHOLDS[0]
    by_boundary = boundary_iou(ours, our_ends, theirs, their_ends, wanted, height, width)
    for d in range(len(our_ends)):
        for g in range(len(their_ends)):
            lower[d, g] = ious[d, g] if crowd[g] else min(ious[d, g], by_boundary[d, g])
    return lower


@njit(cache=True, nogil=True)
def inside(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Runs of the pixels of a mask all of whose neighbours up to `width` pixels away are in it: an erosion."""
    shorter, count = np.empty(2 * (len(runs) // 2) + 2 * _columns(runs, height), np.int64), 0
    k = 0
    while k < len(runs):
        start, end = runs[k], runs[k + 1]
        while k + 2 < len(runs) and runs[k + 2] == end:  # goes on: a background run of no pixels
            k += 2
            end = runs[k + 1]
        while start < end:  # one column after the other
            stop = min(end, (start // height + 1) * height)
            if stop - start > 2 * width:
                shorter[count], shorter[count + 1] = start + width, stop - width
                count += 2
            start = stop
        k += 2
    part, columns, wanted = shorter[:count], 1, 2 * width + 1
    while columns < wanted:  # pixels from which the mask goes on for so many columns to the right, ever more of them
        step = min(columns, wanted - columns)
        part = _and_further(part, step * height)
        columns += step
    for k in range(len(part)):
        part[k] += width * height
    return part


@njit(cache=True, nogil=True)
def _columns(runs: np.ndarray, height: int) -> int:
    """How many columns the runs cross into."""
    count = 0
    for k in range(0, len(runs), 2):
        if runs[k + 1] > runs[k]:
            count += (runs[k + 1] - 1) // height - runs[k] // height
    return count


@njit(cache=True, nogil=True)
def _and_further(runs: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of a mask for which the pixel whose number is `distance` higher is in it too."""
    both, count, i, j = np.empty(2 * len(runs), np.int64), 0, 0, 0
    while i < len(runs) and j < len(runs):
        start, end = max(runs[i], runs[j] - distance), min(runs[i + 1], runs[j + 1] - distance)
        if start < end:
            both[count], both[count + 1] = start, end
            count += 2
        if runs[i + 1] < runs[j + 1] - distance:
            i += 2
        else:
            j += 2
    return both[:count]
