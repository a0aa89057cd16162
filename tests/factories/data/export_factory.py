"""A right annotation file of four rectangles, to be written as other programs do."""

from typing import Any

import numpy as np

HEIGHT, WIDTH = 30, 40
BOXES = {1: (4, 6, 10, 8), 2: (20, 3, 5, 20), 3: (11, 17, 18, 9), 4: (2, 2, 30, 25)}


def outline(box: tuple[int, ...]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def mask(box: tuple[int, ...]) -> np.ndarray:
    x, y, w, h = box
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + h, x : x + w] = True
    return pixels


def right() -> dict[str, Any]:
    """Four rectangles, all of it right."""
    annotations = [
        {"id": key, "image_id": 3, "category_id": 1 + key % 2, "iscrowd": 0, "bbox": list(box)}
        | {"area": box[2] * box[3], "segmentation": [outline(box)]}
        for key, box in BOXES.items()
    ]
    image = {"id": 3, "width": WIDTH, "height": HEIGHT, "file_name": "a.png"}
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "plate"}]
    return {"images": [image], "annotations": annotations, "categories": categories}
