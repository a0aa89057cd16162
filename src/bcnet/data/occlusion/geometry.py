"""Who occludes whom, and by how much: the geometry of one image's annotations.

The rule is that of the released converter (`process_dataset.py`) and of the authors' answers: every other instance
whose box overlaps by more than a threshold is an occluder, whatever its category and depth, cut to the target's box.

Masks are runs of pixels here: their unions and intersections take a hundredth of the time of those of whole images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from skimage.measure import find_contours

from bcnet.compiled import njit
from bcnet.data.masks import pixel_runs
from bcnet.data.masks.rle_text import bytes_of
from bcnet.data.masks.segmentation import decode, to_rle
from bcnet.params.data import Convert

Rle = dict[str, Any]  # compressed, of image size


class Occlusion(NamedTuple):
    """What `occlusions` says of one annotation."""

    occluder: Rle | None
    box_cover: float
    mask_cover: float
    max_box_iou: float
    n_occluders: int
    same_category: bool


NOT_OCCLUDED = Occlusion(None, 0.0, 0.0, 0.0, 0, False)


def occlusions(
    annotations: Sequence[dict[str, Any]],
    height: int,
    width: int,
    rule: Convert,
    masks: Sequence[np.ndarray] | None = None,
) -> list[Occlusion]:
    """The occluder of each annotation of an image and the measures of its occlusion.

    "Others" are the other annotations of the image that are no crowd: a crowd region occludes nothing and is itself
    `NOT_OCCLUDED`. Neighbours are the others with inclusive box IoU > `rule.min_box_iou`; with `rule.in_front` those
    with a greater `depth` than the target's are none. All counts are whole pixels:

    - occluder: the neighbours' masks, united, cut to the target's box (`box_corners`), the target's own pixels
      included; None if that is `rule.min_pixels` pixels or fewer.
    - box_cover: share of the box's pixels that masks of any others cover; 0 for a box without pixels.
    - mask_cover: share of the target's own mask that masks of any others overlap; 0 for an empty mask.
    - max_box_iou: the highest box IoU with any other, without the released converter's +1; 0 without others.
    - n_occluders: neighbours with a pixel in the occluder, 0 without an occluder.
    - same_category: whether the one with most pixels there (the first such in file order) has the target's category.

    Args:
        annotations: those of one image, checked (`coco.read`).
        height, width: size of the image, in pixels.
        masks: of the annotations, as runs; None: they are taken from `segmentation`.

    Returns:
        One for each annotation, in their order.
    """
    places = [place for place, annotation in enumerate(annotations) if not annotation["iscrowd"]]
    objects = [annotations[place] for place in places]
    if len(objects) < 2:
        return [NOT_OCCLUDED] * len(annotations)
    known = [masks[place] for place in places] if masks else [_runs(each, height, width) for each in objects]
    of_objects = iter(_of_objects(objects, known, height, width, rule))
    return [NOT_OCCLUDED if annotation["iscrowd"] else next(of_objects) for annotation in annotations]


def _of_objects(
    objects: Sequence[dict[str, Any]], masks: list[np.ndarray], height: int, width: int, rule: Convert
) -> list[Occlusion]:
    all_runs, ends = np.concatenate(masks), np.cumsum([len(mask) for mask in masks])
    boxes = np.array([annotation["bbox"] for annotation in objects], dtype=float)
    corners = box_corners(boxes, height, width)
    iou, neighbours = box_iou(boxes), box_iou(boxes, inclusive=True) > rule.min_box_iou
    np.fill_diagonal(iou, 0)
    max_iou = iou.max(1).tolist()
    if rule.in_front:
        depth = np.array([annotation.get("depth", np.nan) for annotation in objects], dtype=float)
        neighbours &= ~(depth > depth[:, None])  # where one of the two is unknown, both occlude
    result = []
    for i, target in enumerate(objects):
        box_cover, mask_cover, occluder, n_occluders, main = _of_object(
            i, all_runs, ends, corners[i], neighbours[i], height
        )
        occluded = pixel_runs.area(occluder) > rule.min_pixels
        counts = pixel_runs.encode(occluder, height * width).tobytes().decode() if occluded else ""
        result.append(
            Occlusion(
                occluder={"size": [height, width], "counts": counts} if occluded else None,
                box_cover=box_cover,
                mask_cover=mask_cover,
                max_box_iou=max_iou[i],
                n_occluders=n_occluders if occluded else 0,
                same_category=occluded and objects[main]["category_id"] == target["category_id"],
            )
        )
    return result


@njit(cache=True)
def _of_object(
    i: int, all_runs: np.ndarray, ends: np.ndarray, corners: np.ndarray, neighbours: np.ndarray, height: int
) -> tuple[float, float, np.ndarray, int, int]:
    """`box_cover`, `mask_cover`, the occluder however small, how many are in it, and which has the most pixels there.

    Args:
        i: the target's place.
        all_runs: the runs of all masks of the image, one mask after the other (`bcnet.data.masks.pixel_runs`).
        ends: (masks,) int64, where each mask's runs end.
        corners: (4,) int64, the target's box.
        neighbours: (masks,) bool, who may occlude the target.
    """
    nothing = np.empty(0, np.int64)
    own = all_runs[ends[i - 1] if i else 0 : ends[i]]
    in_box, in_mask, occluder = nothing, nothing, nothing
    n_occluders, main, most = 0, -1, 0
    for j in range(len(ends)):
        neighbour = all_runs[ends[j - 1] if j else 0 : ends[j]]
        if j == i or not len(neighbour):
            continue
        if pixel_runs.shared_area(own, neighbour):
            in_mask = pixel_runs.union(in_mask, neighbour) if len(in_mask) else neighbour
        part = pixel_runs.cut(neighbour, corners, height)
        if not len(part):
            continue
        in_box = pixel_runs.union(in_box, part) if len(in_box) else part
        if neighbours[j]:
            occluder = pixel_runs.union(occluder, part) if len(occluder) else part
            n_occluders += 1
            if pixel_runs.area(part) > most:
                main, most = j, pixel_runs.area(part)
    box_area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    box_cover = pixel_runs.area(in_box) / box_area if box_area else 0.0
    mask_cover = pixel_runs.shared_area(own, in_mask) / pixel_runs.area(own) if len(own) else 0.0
    return box_cover, mask_cover, occluder, n_occluders, main


def _runs(annotation: dict[str, Any], height: int, width: int) -> np.ndarray:
    return pixel_runs.decode(bytes_of(to_rle(annotation["segmentation"], height, width)["counts"]))


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
    plus, low, high = 1.0 if inclusive else 0.0, boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    area = (high[:, 0] - low[:, 0] + plus) * (high[:, 1] - low[:, 1] + plus)
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low) + plus
    shared: np.ndarray = np.maximum(sides[..., 0], 0.0) * np.maximum(sides[..., 1], 0.0)
    return shared, area


def box_corners(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels of COCO boxes: from int(x) to int(x + width), the end exclusive, and so for y; clipped to the image.

    The released converter truncates the corners so and cuts by slicing.

    Args:
        boxes: (N, 4) float, x, y, width, height.

    Returns:
        (N, 4) int64: left, top, right, bottom.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).astype(np.int64)
    return corners.clip(0, [width, height, width, height])


def polygons(mask: Rle) -> list[list[float]]:
    """Outlines of a mask as COCO polygons [x0, y0, x1, y1, …], in pixels of the image.

    They run midway between pixels, so that rasterising them gives the mask again but for single pixels of its outline;
    holes become solid, since COCO's polygons are united. (The released converter draws them up to a pixel wider and
    keeps every 10th to 2nd point of them.)
    """
    x, y, width, height = (int(side) for side in coco_mask.toBbox(mask))
    pixels = decode(mask, *mask["size"])[y : y + height, x : x + width]
    # find_contours counts from pixel centres, COCO from pixel corners, and the padding adds one
    contours = find_contours(np.pad(pixels, 1).astype(float), 0.5)
    return [(contour[:-1, ::-1] + [x - 0.5, y - 0.5]).ravel().tolist() for contour in contours]
