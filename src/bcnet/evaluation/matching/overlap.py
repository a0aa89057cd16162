"""How much the detections and the objects of an image overlap: by mask, by box, by boundary; compiled.

Masks are runs of pixels (`bcnet.data.masks.pixel_runs`), those of one image one after the other in one array with
where each ends.
"""

from collections.abc import Sequence

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks.pixel_runs import area, decode, shared_area

CROSS_CATEGORY_MIN_IOU = (
    0.09  # IoU with an object of another category from which it is exact: below it nothing asks (TIDE: .1)
)
DILATION = 0.02  # width of a boundary, of the image's diagonal


@njit(cache=True, nogil=True)
def decode_all(texts: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of the masks whose compressed RLE strings lie in `texts`, (bytes,) uint8, and where each mask's runs end."""
    runs, ends = np.empty((stops - starts).sum() + len(starts), np.int64), np.empty(len(starts), np.int64)
    count = 0
    for place in range(len(starts)):
        mask = decode(texts[starts[place] : stops[place]])
        runs[count : count + len(mask)] = mask
        count += len(mask)
        ends[place] = count
    return runs[:count], ends


@njit(cache=True, nogil=True)
def mask_at(runs: np.ndarray, ends: np.ndarray, place: int) -> np.ndarray:
    """The runs of one of the masks."""
    return runs[ends[place - 1] if place else 0 : ends[place]]


@njit(cache=True, nogil=True)
def boxes_around(runs: np.ndarray, ends: np.ndarray, height: int) -> np.ndarray:
    """(N, 4) float64: x, y, width and height of the box around each mask, pixels; zeros around an empty one."""
    boxes = np.zeros((len(ends), 4))
    start = 0
    for place, end in enumerate(ends):
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
            boxes[place] = left, top, right - left, bottom - top
        start = end
    return boxes


@njit(cache=True, nogil=True)
def areas(runs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) int64: pixels of each mask."""
    pixels = np.zeros(len(ends), np.int64)
    start = 0
    for place, end in enumerate(ends):
        pixels[place] = area(runs[start:end])
        start = end
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
) -> np.ndarray:
    """(D, G) float64: IoU of pairs of masks, given the boxes around them and our areas, (D,) float64.

    Pairs that are not `same` (D, G), of different categories, whose IoU is below `CROSS_CATEGORY_MIN_IOU` may be
    reported as 0: only TIDE reads them, from .1 up.
    """
    shared = np.zeros(same.shape, np.int64)
    their_areas = areas(theirs, their_ends)
    for d in range(len(our_ends)):
        mask, a = mask_at(ours, our_ends, d), our_boxes[d]
        for g in range(len(their_ends)):
            b = their_boxes[g]
            width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
            height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
            if width <= 0 or height <= 0:
                continue
            if same[d, g] or width * height >= CROSS_CATEGORY_MIN_IOU * max(our_areas[d], their_areas[g]):
                shared[d, g] = shared_area(mask, mask_at(theirs, their_ends, g))
    return iou_of(shared, our_areas, their_areas, crowd)


@njit(cache=True, nogil=True)
def iou_of(shared: np.ndarray, ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) float64, 0 to 1, of shared areas (D, G) and areas (D,), (G,); with a crowd: the share of the detection.

    Source: cocoapi, maskApi.c, `rleIou` and `bbIou`.
    """
    ious = np.zeros(shared.shape)
    for d in range(len(ours)):
        for g in range(len(theirs)):
            if shared[d, g] > 0:
                ious[d, g] = shared[d, g] / (ours[d] if crowd[g] else ours[d] + theirs[g] - shared[d, g])
    return ious


@njit(cache=True, nogil=True)
def coco_box_iou(ours: np.ndarray, theirs: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) float64: IoU of boxes (D, 4) and (G, 4), float64 x, y, width, height; with a crowd as of `iou_of`.

    That of `data.occlusion.geometry`, by which occluders are chosen, is another: it knows no crowds, and may count the
    pixels at both ends as the released converter does.
    """
    shared = np.zeros((len(ours), len(theirs)))
    for d in range(len(ours)):
        for g in range(len(theirs)):
            a, b = ours[d], theirs[g]
            width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
            height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
            if width > 0 and height > 0:
                shared[d, g] = width * height
    return iou_of(shared, ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3], crowd)


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
    shared = np.zeros(wanted.shape, np.int64)
    insides = [np.empty(0, np.int64) for _ in their_ends]
    their_areas, our_areas = np.zeros(len(their_ends), np.int64), np.zeros(len(our_ends), np.int64)
    for g in range(len(their_ends)):
        if wanted[:, g].any():
            mask = mask_at(theirs, their_ends, g)
            insides[g] = inside(mask, height, width)
            their_areas[g] = area(mask) - area(insides[g])
    for d in range(len(our_ends)):
        if not wanted[d].any():
            continue
        mask = mask_at(ours, our_ends, d)
        within = inside(mask, height, width)
        our_areas[d] = area(mask) - area(within)
        for g in range(len(their_ends)):
            if wanted[d, g]:
                other = mask_at(theirs, their_ends, g)
                shared[d, g] = shared_area(mask, other) - shared_area(mask, insides[g])
                shared[d, g] += shared_area(within, insides[g]) - shared_area(within, other)
    return iou_of(shared, our_areas, their_areas, np.zeros(len(their_areas), np.bool_))


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
    return part + width * height


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
