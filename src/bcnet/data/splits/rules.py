"""What the rules of splits measure: one value for each image, which a threshold is compared with."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bcnet.data.occlusion.geometry import box_intersection, box_iou
from bcnet.params.data import Split

Annotations = Sequence[dict[str, Any]]


WORDS = {  # rule -> the images that it selects; T is the threshold
    "all": "all images",
    "image_ids": "the images that FILE lists",
    "box_iou": "images with two boxes of IoU T or more",
    "box_iou_inclusive": "images with two boxes of IoU T or more, computed with widths and heights plus 1",
    "box_over_smaller": "images with two boxes whose overlap is T or more of the smaller one",
    "box_over_larger": "images with two boxes whose overlap is T or more of the larger one",
    "box_cover": "images with an object with T or more of its box covered by other masks",
    "mask_cover": "images with an object with T or more of its mask overlapped by other masks",
    "image_overlap": "images in which T or more of the area covered by boxes is covered by two or more",
}


def in_words(split: Split) -> str:
    """What a split is, in a line."""
    line = (
        WORDS[split.rule].replace("T ", f"{split.threshold:g} ") if split.threshold is not None else WORDS[split.rule]
    )
    line = line.replace("FILE", split.file.name if split.file else "")
    line = line.replace("two boxes", "two boxes of one category") if split.same_category else line
    return f"{line}; whole (amodal) masks are the ground truth" if split.masks == "amodal" else line


def image_values(data: dict[str, Any], rule: str, same_category: bool = False) -> dict[int, float]:
    """`image_value` of every image of an annotation file, by image id, in file order.

    Args:
        data: a converted annotation file (from `coco.read`).
    """
    by_image = defaultdict(list)
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return {image["id"]: image_value(by_image[image["id"]], rule, same_category) for image in data["images"]}


def image_value(annotations: Annotations, rule: str, same_category: bool = False) -> float:
    """The value of a rule in an image: the highest of its pairs of objects (`PAIRS`) or of its objects, or its own.

    Crowd regions are no objects. A rule with a threshold selects an image when value >= threshold.

    Args:
        annotations: those of the image, converted.
        rule: of `Split.rule`, one that takes a threshold.
        same_category: of the pairs, only those of one category count.

    Returns:
        0 to 1; nan, which reaches no threshold, for an image without such a pair, or without objects.
    """
    objects = [annotation for annotation in annotations if not annotation["iscrowd"]]
    boxes = np.array([annotation["bbox"] for annotation in objects], float).reshape(-1, 4)
    if rule == "image_overlap":
        return overlapped_share(boxes)
    if rule in PAIRS:
        pairs = np.triu(np.ones((len(objects), len(objects)), bool), 1)
        if same_category:
            categories = np.array([annotation["category_id"] for annotation in objects])
            pairs &= np.equal.outer(categories, categories)
        values = PAIRS[rule](boxes)[pairs]
    else:
        values = np.array([annotation["occlusion"][rule] for annotation in objects], float)
    return float(values.max()) if len(values) else np.nan


def box_over_area(boxes: np.ndarray, which: np.ufunc) -> np.ndarray:
    """Intersection of every pair of boxes over the area of one of them.

    Args:
        boxes: (N, 4) float, COCO's x, y, width, height.
        which: np.minimum: of the smaller box; np.maximum: of the larger.

    Returns:
        (N, N) float64, 0 to 1; 0 where that area is 0.
    """
    intersection, area = box_intersection(boxes)
    over = which.outer(area, area)
    return np.divide(intersection, over, out=np.zeros_like(over), where=over > 0)


def overlapped_share(boxes: np.ndarray) -> float:
    """Share of the area under any box that lies under two or more, in the continuous plane.

    All edges of boxes cut the plane into cells, each of which lies wholly inside or outside of every box.

    Args:
        boxes: (N, 4) float, COCO's x, y, width, height.

    Returns:
        0 to 1; nan if no area lies under a box.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides, inside = [], []
    for axis in (0, 1):
        edges = np.unique([low[:, axis], high[:, axis]])
        sides.append(np.diff(edges))
        inside.append((low[:, axis, None] <= edges[:-1]) & (edges[1:] <= high[:, axis, None]))  # (N, cells)
    layers = inside[1].T.astype(int) @ inside[0]  # (rows, columns): how many boxes lie on a cell
    area = np.outer(sides[1], sides[0])
    covered = area[layers > 0].sum()
    return float(area[layers > 1].sum() / covered) if covered else np.nan


PAIRS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # rule of two boxes -> its values, (N, 4) to (N, N)
    "box_iou": box_iou,
    "box_iou_inclusive": partial(box_iou, inclusive=True),
    "box_over_smaller": partial(box_over_area, which=np.minimum),
    "box_over_larger": partial(box_over_area, which=np.maximum),
}
