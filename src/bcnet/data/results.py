"""COCO's result format: predicted masks, checked as they are read.

Specification: https://cocodataset.org/#format-results.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bcnet.data import coco
from bcnet.files import InputError, read_json

DETECTIONS = 100  # of an image: all that COCO's evaluation looks at


def read(path: Path, ground_truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Read and check predicted masks in COCO's result format.

    Args:
        ground_truth: the annotation file (from `coco.read`) whose images and categories they are of.

    Returns:
        `{"image_id", "category_id", "score", "segmentation": compressed RLE}` each, in file order, without other keys.

    Raises:
        InputError: not a list of results; names the first wrong one by its place (from 0) and image.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: expected COCO's result format, a list of predictions")
    images = {image["id"]: image for image in ground_truth["images"]}
    categories = {category["id"] for category in ground_truth["categories"]}
    results = []
    for place, entry in enumerate(content):
        if problem := _result_problem(entry, images, categories):
            raise InputError(f"{path}: prediction at place {place}: {problem}")
        image = images[entry["image_id"]]
        rle = coco.to_rle(entry["segmentation"], image["height"], image["width"])
        results.append({key: entry[key] for key in ("image_id", "category_id", "score")} | {"segmentation": rle})
    return results


def _result_problem(entry: Any, images: dict[int, dict], categories: set[int]) -> str | None:
    if not isinstance(entry, dict):
        return "expected a mapping with image_id, category_id, score and segmentation"
    image_id, category_id, score = (entry.get(key) for key in ("image_id", "category_id", "score"))
    if type(image_id) is not int or image_id not in images:
        return f"image_id {image_id!r} is not an image of the annotations"
    if type(category_id) is not int or category_id not in categories:
        return f"image {image_id}: category_id {category_id!r} is not a category of the annotations"
    if not isinstance(score, int | float) or not math.isfinite(score):
        return f"image {image_id}: score is {score!r}, expected a finite number"
    problem = coco.segmentation_problem(
        entry.get("segmentation"), images[image_id]["height"], images[image_id]["width"]
    )
    return problem and f"image {image_id}: {problem}"


def top(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results by image and falling score, equal scores in their order, and of each image the first `DETECTIONS`."""
    kept: list[dict[str, Any]] = []
    for result in sorted(results, key=lambda result: (result["image_id"], -result["score"])):
        place = len(kept) - DETECTIONS
        if place < 0 or kept[place]["image_id"] != result["image_id"]:
            kept.append(result)
    return kept
