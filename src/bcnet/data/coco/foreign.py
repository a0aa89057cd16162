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
    ("a file of SA-1B, of one image", {"image", "annotations"}, "put all of them into one COCO file with categories"),
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
    if rows is OBJECTS and (odd := _odd_sections(keys)):
        return odd
    if rows is OBJECTS and any(isinstance(entry, dict) and "regions" in entry for entry in keys.values()):
        return f"VIA's annotations: {EXPORT}"
    return None


def _odd_sections(data: dict[str, Any]) -> str | None:
    """COCO's sections, but of another kind than lists of objects."""
    images, annotations = data.get("images"), data.get("annotations")
    for name in ("images", "annotations", "categories"):
        if isinstance(data.get(name), dict):
            return f"COCO-like, but its {name} are an object: write a list, each entry with its id"
    if _first_has("caption", annotations):
        return "COCO's captions: take the file of instances"
    if _first_has("annotations", images):
        return "COCO-like, but with annotations inside images: write one list, each entry with its image_id"
    return None


def _first_has(key: str, entries: Any) -> bool:
    return isinstance(entries, list) and bool(entries) and isinstance(entries[0], dict) and key in entries[0]
