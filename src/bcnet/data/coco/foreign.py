"""Files of other programs that are mistaken for COCO's annotations, told by their keys."""

from collections.abc import Set
from typing import Any

EXPORT = "export it as COCO instance segmentation"
# What a file is, the keys of its top level, or of the first entry of its list, and what can be done.
OBJECTS: tuple[tuple[str, Set[str], str], ...] = (
    ("a labelme file, of one image", {"shapes", "imagePath"}, "convert the folder with labelme's labelme2coco.py"),
    ("a VIA project", {"_via_img_metadata"}, EXPORT),
    ("a VIA 3 project", {"project", "metadata", "attribute"}, EXPORT),
    ("YouTube-VIS's annotations of videos", {"videos", "annotations"}, "make an image of each frame"),
    ("a Datumaro file", {"items", "categories"}, "convert it: datum convert -f coco_instances"),
    ("a FiftyOne dataset", {"samples"}, "export it as fiftyone.types.COCODetectionDataset"),
    ("GeoJSON", {"type", "features"}, "its coordinates are of a map: cut it into tiles with COCO annotations"),
    ("a Supervisely file, of one image", {"objects", "size"}, EXPORT),
)
ENTRIES: tuple[tuple[str, Set[str], str], ...] = (
    ("predictions in COCO's result format", {"image_id", "category_id", "score"}, "`evaluate --predictions` reads it"),
    ("a list of annotations", {"image_id", "category_id"}, "put it under 'annotations' beside images and categories"),
    ("a Label Studio export", {"data", "annotations"}, EXPORT),
    ("a Labelbox export", {"data_row", "projects"}, EXPORT),
    ("a CreateML file", {"image", "annotations"}, EXPORT),
)


def foreign(data: Any) -> str | None:
    """What a file's content is, and what can be done with it, if it is known and not COCO's format."""
    rows, keys = OBJECTS, data
    if isinstance(data, list) and data:
        rows, keys = ENTRIES, data[0]
    if not isinstance(keys, dict):
        return None
    for what, known, advice in rows:
        if keys.keys() >= known:
            return f"{what}: {advice}"
    if rows is OBJECTS and any(isinstance(entry, dict) and "regions" in entry for entry in keys.values()):
        return f"VIA's annotations: {EXPORT}"
    return None
