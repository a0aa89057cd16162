"""A part of a dataset of one small picture."""

from typing import Any

HEIGHT, WIDTH = 12, 16
CATEGORIES = [{"id": 1, "name": "cup"}, {"id": 2, "name": "plate"}]


def rectangle(left: int, top: int, right: int, bottom: int) -> list[int]:
    """A polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def content(categories: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Annotations: an object of the first category, with more keys."""
    image = {"id": 1, "height": HEIGHT, "width": WIDTH, "file_name": "a.png"}
    first = {"id": 1, "image_id": 1, "category_id": categories[0]["id"], "segmentation": [rectangle(2, 2, 9, 8)]}
    return {"images": [image], "annotations": [first | more], "categories": categories}
