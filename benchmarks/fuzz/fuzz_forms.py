"""Annotation files as other programs write them, made of right ones, and whether a mended copy means the same."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bcnet.data.masks.segmentation import decode, encode, run_lengths
from bcnet.files import at_place

Entry = dict[str, Any]
KEYS = ("id", "image_id", "category_id", "iscrowd", "bbox", "area", "segmentation")


def _polygons(change: Callable[[list], Any]) -> Callable[[Entry], None]:
    """What writes the polygons of an annotation in another form; RLE stays."""

    def write(entry: Entry) -> None:
        if isinstance(entry["segmentation"], list):
            entry["segmentation"] = change(entry["segmentation"])

    return write


def _boxes(change: Callable[..., list]) -> Callable[[Entry], None]:
    def write(entry: Entry) -> None:
        if entry.get("bbox"):
            entry["bbox"] = change(*entry["bbox"])

    return write


def _put(**values: Any) -> Callable[[Entry], None]:
    return lambda entry: entry.update(values)


def _points(polygon: list) -> list[list]:
    return [polygon[k : k + 2] for k in range(0, len(polygon), 2)]


def _pixels(entry: Entry, image: Entry) -> np.ndarray:
    return decode(entry["segmentation"], image["height"], image["width"])


def _text_of_bytes(entry: Entry) -> None:
    if isinstance(entry["segmentation"], dict) and isinstance(entry["segmentation"]["counts"], str):
        entry["segmentation"]["counts"] = str(entry["segmentation"]["counts"].encode())


def _real_lengths(entry: Entry) -> None:
    mask = entry["segmentation"]
    if isinstance(mask, dict):
        counts = mask["counts"] if isinstance(mask["counts"], list) else run_lengths(mask["counts"]).tolist()
        mask["counts"] = list(map(float, counts))


def _two_corners(entry: Entry) -> None:
    if isinstance(entry["segmentation"], list):
        polygon = entry["segmentation"][0]
        entry["segmentation"] = [[min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])]]


OF_MASKS: dict[str, Callable[[Entry], None]] = {
    "as it is": _put(),
    "pairs": _polygons(lambda polygons: [_points(polygon) for polygon in polygons]),
    "points of objects": _polygons(lambda it: [[{"x": x, "y": y} for x, y in _points(polygon)] for polygon in it]),
    "deeper": _polygons(lambda polygons: [polygons]),
    "numbers as text": _polygons(lambda polygons: [list(map(str, polygon)) for polygon in polygons]),
    "flat": _polygons(lambda polygons: polygons[0] if len(polygons) == 1 else polygons),
    "triples": _polygons(lambda it: [[n for point in _points(polygon) for n in (*point, 1)] for polygon in it]),
    "text": lambda entry: entry.update(segmentation=json.dumps(entry["segmentation"])),
    "RLE as text of bytes": _text_of_bytes,
    "run lengths with .0": _real_lengths,
    "RLE in a list": lambda it: it.update(segmentation=[it["segmentation"]]) if "size" in it["segmentation"] else None,
    "two corners": _two_corners,
    "brush": _put(segmentation={"format": "rle", "rle": [0, 0, 1]}),
    "no mask": lambda entry: entry.pop("segmentation"),
    "empty mask": _put(segmentation=[]),
    "rotated": lambda entry: entry.update(segmentation=[], bbox=[2, 2, 3, 3, 45]),
}
OF_ENTRIES: dict[str, Callable[[Entry], None]] = {
    **OF_MASKS,
    "box of corners": _boxes(lambda x, y, w, h: [x, y, x + w, y + h]),
    "box by its centre": _boxes(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
    "no area": _put(area=0),
    "far area": _put(area=100_000),
    "real ids": lambda entry: entry.update({key: float(entry[key]) for key in ("id", "image_id", "category_id")}),
    "ids as text": lambda entry: entry.update({key: str(entry[key]) for key in ("id", "image_id", "category_id")}),
    "words as ids": lambda entry: entry.update(id=f"a-{entry['id']}"),
    "one id": _put(id=0),
    "outside": lambda entry: entry.update(attributes={"track_id": 0, "outside": entry["id"] % 20 == 0}),
}


def _swapped(data: Entry) -> None:
    for image in data["images"]:
        image["width"], image["height"] = image["height"], image["width"]


def _shares(data: Entry) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    for entry in data["annotations"]:
        size = sizes[entry["image_id"]]
        if isinstance(entry["segmentation"], list):
            entry["segmentation"] = [[n / size[k % 2] for k, n in enumerate(it)] for it in entry["segmentation"]]
        if entry.get("bbox"):
            entry["bbox"] = [n / size[k % 2] for k, n in enumerate(entry["bbox"])]


def _texts_for_ids(section: str, key: str) -> Callable[[Entry], None]:
    def write(data: Entry) -> None:
        for entry in data["annotations"]:
            entry[key] = f"of-{entry[key]}"
        for entry in data[section]:
            entry["id"] = f"of-{entry['id']}"

    return write


def _names_for_ids(data: Entry) -> None:
    names = {category["id"]: category["name"] for category in data["categories"]}
    files = {image["id"]: image["file_name"] for image in data["images"]}
    for entry in data["annotations"]:
        entry |= {"category_id": names[entry["category_id"]], "image_id": files[entry["image_id"]]}


def _addresses(data: Entry) -> None:
    for image in data["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')}"


OF_FILES: dict[str, Callable[[Entry], None]] = {
    "sides exchanged": _swapped,
    "coordinates from 0 to 1": _shares,
    "words as ids of images": _texts_for_ids("images", "image_id"),
    "words as ids of categories": _texts_for_ids("categories", "category_id"),
    "names for ids": _names_for_ids,
    "addresses": _addresses,
}
FORMS = (*OF_ENTRIES, *OF_FILES)
EMPTY = {"two corners", "brush", "no mask", "empty mask", "rotated"}  # nobody knows the masks: never to be mended
UNSURE = {*EMPTY, "sides exchanged", "coordinates from 0 to 1", "outside"}  # mended only where enough tells it


def write(form: str, data: Entry) -> None:
    """Write a right file in that form, in place."""
    if form in OF_FILES:
        OF_FILES[form](data)
        return
    for entry in data["annotations"]:
        OF_ENTRIES[form](entry)


def polygons_only(data: Entry) -> None:
    """Write the masks of RLE as their boxes' outlines, so that all are polygons."""
    images = {image["id"]: image for image in data["images"]}
    for entry in data["annotations"]:
        if isinstance(entry["segmentation"], dict):
            rows, columns = np.nonzero(_pixels(entry, images[entry["image_id"]]))
            x, y, right, bottom = (int(n) for n in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            entry["segmentation"] = [[x, y, right, y, right, bottom, x, bottom]]


def masks_only(data: Entry) -> None:
    """Write polygons as RLE."""
    images = {image["id"]: image for image in data["images"]}
    for entry in data["annotations"]:
        if isinstance(entry["segmentation"], list):
            entry["segmentation"] = encode(_pixels(entry, images[entry["image_id"]]))


def other_meaning(right: Entry, before: Entry, after: Entry, said: str) -> Iterator[str]:
    """Where a mended copy says something else than the right file behind it, and no line says so.

    Args:
        right: the file before it was written in another form.
        before: as it was given to be mended; annotations have their place as `tag`.
    """
    lines = said.splitlines()
    images, names = (
        [{entry["id"]: entry for entry in data[section]} for data in (right, after)]
        for section in ("images", "categories")
    )
    boxes_told = any("boxes are" in line and "(--fix mends all)" in line for line in lines)
    for entry in after["annotations"]:
        original, given = right["annotations"][entry["tag"]], before["annotations"][entry["tag"]]
        image, own = images[0][original["image_id"]], images[1][entry["image_id"]]
        name = f"annotation {original['id']}"
        if own["file_name"].split("/")[-1] != image["file_name"]:
            yield f"{name}: is of image {own['file_name']}, was of {image['file_name']}"
        if names[1][entry["category_id"]]["name"] != names[0][original["category_id"]]["name"]:
            yield f"{name}: has another category"
        if entry["iscrowd"] != original.get("iscrowd", 0):
            yield f"{name}: iscrowd is {entry['iscrowd']}"
        about = [line for line in lines if line.startswith((f"{name}:", f"{at_place('annotation', entry['tag'])}:"))]
        if any("cut at" in line or "dropped" in line for line in about):
            continue
        if not _same_mask(original, image, entry, own):
            yield f"{name}: has another mask: {original['segmentation']!s:.80} -> {entry['segmentation']!s:.80}"
            continue
        pixels = _pixels(entry, own)
        rows, columns = np.nonzero(pixels)
        extent = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] if len(rows) else None
        boxes = [original.get("bbox"), extent, *([] if boxes_told else [given.get("bbox")])]
        if not any(box and np.allclose(box, entry["bbox"]) for box in boxes):
            yield f"{name}: has another box: {given.get('bbox')} -> {entry['bbox']}, expected one of {boxes}"
        if entry["area"] not in (original.get("area"), given.get("area"), int(pixels.sum())):
            yield f"{name}: has another area: {given.get('area')} -> {entry['area']}"


def _same_mask(original: Entry, image: Entry, entry: Entry, own: Entry) -> bool:
    """Equal pixels; polygons may differ by the rounding of a multiplication, or be of exchanged sides."""
    one, other = original["segmentation"], entry["segmentation"]
    if isinstance(one, list) and isinstance(other, list):
        return list(map(len, one)) == list(map(len, other)) and all(map(np.allclose, one, other))
    size = (image["height"], image["width"])
    return size == (own["height"], own["width"]) and np.array_equal(_pixels(original, image), _pixels(entry, own))


def contradictions(before: Any, after: Any, said: str, drop: bool) -> Iterator[str]:
    """Where a mended file says something else than its original without a line about it."""
    lines = said.splitlines()
    kept = {entry["tag"]: entry for entry in after["annotations"]}
    total = len(before["annotations"])
    if (lost := total - len(kept)) and f"lost: {lost} of {total} annotations" not in lines[-1]:
        yield f"{lost} annotations are lost, which the last line doesn't say: {lines[-1]:.200}"
    if not drop and lost > total / 10:
        yield f"lost {lost} annotations without --drop"
    for tag, entry in kept.items():
        original = before["annotations"][tag]
        ids = original.get("id"), entry["id"], str(original.get("id")).removesuffix(".0").removeprefix("-")
        names = (f"{at_place('annotation', tag)}:", "file: ", *(f"annotation {it}:" for it in ids))
        about = " ".join(line for line in lines if line.startswith(names))
        for key in KEYS:
            if original.get(key) is not None and original[key] != entry[key] and f" {key}: " not in about:
                yield f"{key} of annotation {original.get('id')!r:.40}: {original[key]!r:.80} -> {entry[key]!r:.80}"


def some_form(rng: random.Random) -> str:
    """A form, half of the times none."""
    return rng.choice(FORMS) if rng.random() < 0.5 else "as it is"
