"""Who occludes whom, and by how much: the geometry of one image's annotations.

The rule is that of the released converter (`process_dataset.py`) and of the authors' answers: every other instance
whose box overlaps by more than a threshold is an occluder, whatever its category and depth, cut to the target's box.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from skimage.measure import find_contours

from bcnet.data import coco
from bcnet.params.data import Convert

Window = tuple[slice, slice]  # rows and columns of the image, with start and stop


class Crop(NamedTuple):
    """A mask without the background around it: pixels (h, w) bool, at `window` of the image."""

    window: Window
    pixels: np.ndarray


class Occlusion(NamedTuple):
    """What `occlusions` says of one annotation."""

    occluder: Crop | None
    box_cover: float
    mask_cover: float
    max_box_iou: float
    n_occluders: int
    same_category: bool


NOT_OCCLUDED = Occlusion(None, 0.0, 0.0, 0.0, 0, False)


def occlusions(annotations: Sequence[dict[str, Any]], height: int, width: int, rule: Convert) -> list[Occlusion]:
    """The occluder of each annotation of an image and the measures of its occlusion.

    "Others" are the other annotations of the image that are no crowd: a crowd region occludes nothing and is itself
    `NOT_OCCLUDED`. Neighbours are the others with inclusive box IoU > `rule.min_box_iou`. All counts are whole pixels:

    - occluder: the neighbours' masks, united, cut to the target's box (`box_window`), the target's own pixels included;
      None if that is `rule.min_pixels` pixels or fewer.
    - box_cover: share of the box's pixels that masks of any others cover; 0 for a box without pixels.
    - mask_cover: share of the target's own mask that masks of any others overlap; 0 for an empty mask.
    - max_box_iou: the highest box IoU with any other, without the released converter's +1; 0 without others.
    - n_occluders: neighbours with a pixel in the occluder, 0 without an occluder.
    - same_category: whether the one with most pixels there (the first such in file order) has the target's category.

    Args:
        annotations: those of one image, checked (`coco.read`).
        height, width: size of the image, in pixels.

    Returns:
        One for each annotation, in their order.
    """
    objects = [i for i, annotation in enumerate(annotations) if not annotation["iscrowd"]]
    if not objects:
        return [NOT_OCCLUDED] * len(annotations)
    crops = {i: crop(coco.decode(annotations[i]["segmentation"], height, width)) for i in objects}
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=float)
    iou, inclusive_iou = box_iou(boxes), box_iou(boxes, inclusive=True)
    layers = np.zeros((height, width), np.int32)  # how many masks lie on a pixel
    for mask in crops.values():
        layers[mask.window] += mask.pixels

    result = [NOT_OCCLUDED] * len(annotations)
    for i in objects:
        own, window = crops[i], box_window(annotations[i]["bbox"], height, width)
        covered_box = layers[window] > seen_through(own, window)
        covered_mask = layers[own.window][own.pixels] > 1
        others = [j for j in objects if j != i]
        neighbours = [j for j in others if inclusive_iou[i, j] > rule.min_box_iou]
        parts = np.array([seen_through(crops[j], window) for j in neighbours], bool)
        parts = parts.reshape(len(neighbours), *covered_box.shape)  # of this shape without neighbours too
        union, pixels = np.any(parts, 0), np.sum(parts, (1, 2))
        exists = int(union.sum()) > rule.min_pixels
        main = annotations[neighbours[pixels.argmax()]] if exists else None
        result[i] = Occlusion(
            occluder=Crop(window, union) if exists else None,
            box_cover=float(covered_box.mean()) if covered_box.size else 0.0,
            mask_cover=float(covered_mask.mean()) if covered_mask.size else 0.0,
            max_box_iou=float(iou[i, others].max(initial=0.0)),
            n_occluders=int((pixels > 0).sum()) if exists else 0,
            same_category=main is not None and main["category_id"] == annotations[i]["category_id"],
        )
    return result


def box_iou(boxes: np.ndarray, inclusive: bool = False) -> np.ndarray:
    """IoU of every pair of boxes.

    Args:
        boxes: (N, 4) float, COCO's x, y, width, height.
        inclusive: add 1 to every width and height, as the released converter does; boxes that lie less than a pixel
            apart then have an IoU above 0.

    Returns:
        (N, N) float64, 0 to 1; 0 for two boxes without area.
    """
    intersection, area = box_intersection(boxes, inclusive)
    union = area[:, None] + area - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def box_intersection(boxes: np.ndarray, inclusive: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Area that every pair of boxes shares, (N, N), and area of each, (N,), float64, pixels; arguments as `box_iou`."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low) + inclusive
    return sides.clip(0).prod(2), (high - low + inclusive).prod(1)


def box_window(box: Sequence[float], height: int, width: int) -> Window:
    """Pixels of a COCO box: from int(x) to int(x + width), the end exclusive, and so for y; clipped to the image.

    The released converter truncates the corners so and cuts by slicing.
    """
    x, y, w, h = box
    left, right = (min(max(int(side), 0), width) for side in (x, x + w))
    top, bottom = (min(max(int(side), 0), height) for side in (y, y + h))
    return slice(top, bottom), slice(left, right)


def crop(mask: np.ndarray) -> Crop:
    """A mask, (H, W) bool, without the background around it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Crop((slice(0, 0), slice(0, 0)), mask[:0, :0])
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return Crop(window, mask[window].copy())


def paste(mask: Crop, height: int, width: int) -> np.ndarray:
    """The mask in its image, (height, width) bool."""
    return seen_through(mask, (slice(0, height), slice(0, width)))


def seen_through(mask: Crop, window: Window) -> np.ndarray:
    """What of a mask lies in a window of the image: bool, of the window's shape."""
    view = np.zeros([side.stop - side.start for side in window], bool)
    shared = [
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(mask.window, window, strict=True)
    ]
    source = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(shared, mask.window, strict=True))
    target = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, window, strict=True))
    view[target] = mask.pixels[source]
    return view


def polygons(mask: Crop) -> list[list[float]]:
    """Outlines of a mask as COCO polygons [x0, y0, x1, y1, …], in pixels of the image.

    They run midway between pixels, so that rasterising them gives the mask again but for single pixels of its outline;
    holes become solid, since COCO's polygons are united. (The released converter draws them up to a pixel wider and
    keeps every 10th to 2nd point of them.)
    """
    rows, columns = mask.window
    # find_contours counts from pixel centres, COCO from pixel corners, and the padding adds one
    offset = np.array([columns.start - 0.5, rows.start - 0.5])
    contours = find_contours(np.pad(mask.pixels, 1).astype(float), 0.5)
    return [(contour[:-1, ::-1] + offset).ravel().tolist() for contour in contours]
