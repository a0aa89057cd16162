"""A second opinion on annotation files, from COCO's description of the format: a JSON schema and slow Python."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import jsonschema
import numpy as np
from pycocotools import mask as coco_mask

from bcnet.files import InputError

OUTSIDE = 2  # pixels that a polygon or box may reach outside
ID = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
SCHEMA = {
    "type": "object",
    "required": ["images", "annotations", "categories"],
    "properties": {
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "width", "height", "file_name"],
                "properties": {
                    "id": ID,
                    "width": {"type": "integer", "minimum": 1},
                    "height": {"type": "integer", "minimum": 1},
                    "file_name": {
                        "type": "string",
                        "minLength": 1,
                        "allOf": [
                            {"not": {"pattern": pattern}}
                            for pattern in (r"\A/", r"(\A|/)\.\.(/|\Z)", r"[\x00-\x1f\x7f-\x9f]", r"[\u2028\u2029]")
                        ],
                    },
                },
            },
        },
        "categories": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {"id": ID, "name": {"type": "string"}},
            },
        },
        "annotations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "image_id", "category_id", "segmentation"],
                "properties": {
                    "id": ID,
                    "image_id": ID,
                    "category_id": ID,
                    "iscrowd": {"type": "integer", "enum": [0, 1]},
                    "area": {"type": ["number", "null"], "minimum": 0, "maximum": 2**53},
                    "bbox": {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                    "segmentation": {
                        "anyOf": [
                            {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "minItems": 6, "items": {"type": "number"}},
                            },
                            {
                                "type": "object",
                                "required": ["size", "counts"],
                                "properties": {
                                    "size": {"type": "array", "items": {"type": "integer"}},
                                    "counts": {
                                        "type": ["array", "string"],
                                        "items": {"type": "integer", "minimum": 0},
                                    },
                                },
                            },
                        ]
                    },
                },
            },
        },
    },
}
STRICT = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
VALIDATOR = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=STRICT)(SCHEMA)


def line_of(error: InputError, path: Path) -> list[str]:
    """What is wrong with an error's line."""
    line = str(error)
    if len(line.splitlines()) != 1 or str(path) not in line or len(line) > 1500 + len(str(path)):
        return [f"not one line that names the file: {line:.300}"]
    return []


def depth(raw: bytes) -> int:
    """How many levels of lists and objects a JSON text has, at most; brackets in strings do not count."""
    level = deepest = 0
    quoted = escaped = False
    for byte in raw:
        if quoted:
            quoted, escaped = escaped or byte != ord('"'), not escaped and byte == ord("\\")
        elif byte == ord('"'):
            quoted = True
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def is_right(raw: bytes) -> bool:
    """Whether the bytes are a right annotation file."""
    if depth(raw) > 900:  # parsers differ in where between 900 and 1100 they give up: the fuzzer makes nothing there
        return False
    try:
        data = json.loads(raw.decode(), parse_constant=_finite, parse_float=_finite)
        json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except ValueError:
        return False
    if not VALIDATOR.is_valid(data) or not _is_consistent(data):
        return False
    return not all_triples(annotation["segmentation"] for annotation in data["annotations"])


def _is_consistent(data: dict) -> bool:
    """What a schema cannot say: references, sizes, sums."""
    for section in ("images", "annotations", "categories"):
        ids = [entry["id"] for entry in data[section]]
        if len(ids) > len(set(ids)):
            return False
    images = {image["id"]: image for image in data["images"]}
    categories = [category["id"] for category in data["categories"]]
    if any(image["width"] * image["height"] > 178956970 for image in images.values()):
        return False
    return all(
        annotation["category_id"] in categories
        and annotation["image_id"] in images
        and _fits(annotation, images[annotation["image_id"]]["height"], images[annotation["image_id"]]["width"])
        for annotation in data["annotations"]
    )


def all_triples(segmentations: Iterable[object]) -> bool:
    """Whether three polygons or more, all of them, are x, y, z of one z each."""
    polygons = [polygon for it in segmentations if isinstance(it, list) for polygon in it]
    flat = [len(it) % 3 == 0 and len(it) >= 9 and len(set(map(float, it[2::3]))) == 1 for it in polygons]
    return len(flat) >= 3 and all(flat)


def fits(segmentation: object, height: int, width: int) -> bool:
    """Whether this is a right segmentation of an image of that size."""
    annotation = {"id": 0, "image_id": 0, "category_id": 0, "segmentation": segmentation, "area": 1}
    try:
        json.dumps(annotation, allow_nan=False)  # no infinities either
    except ValueError:
        return False
    image = {"id": 0, "width": width, "height": height, "file_name": "a"}
    data = {"images": [image], "categories": [{"id": 0, "name": ""}], "annotations": [annotation]}
    return VALIDATOR.is_valid(data) and _fits(annotation, height, width)


def _fits(annotation: dict, height: int, width: int) -> bool:
    segmentation, box = annotation["segmentation"], annotation.get("bbox")
    if isinstance(segmentation, dict):
        runs = segmentation["counts"] if isinstance(segmentation["counts"], list) else _runs(segmentation["counts"])
        if segmentation["size"] != [height, width] or runs is None or sum(runs) != height * width:
            return False
        empty = not sum(runs[1::2])
    else:
        if not all(_polygon_fits(polygon, height, width) for polygon in segmentation):
            return False
        rles = coco_mask.frPyObjects([list(map(float, polygon)) for polygon in segmentation], height, width)
        empty = not np.any(coco_mask.decode(rles))
    if (box is None or annotation.get("area") is None) and empty:
        return False
    if box is None:
        return True
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    return min(box[2:]) >= 0 < max(box[2:]) and _inside([left, right], width) and _inside([top, bottom], height)


def _polygon_fits(polygon: list, height: int, width: int) -> bool:
    xs, ys = polygon[0::2], polygon[1::2]
    touches = any(x >= 0 for x in xs) and any(x <= width for x in xs)
    touches = touches and any(y >= 0 for y in ys) and any(y <= height for y in ys)
    return len(xs) == len(ys) and touches and _inside(xs, width) and _inside(ys, height)


def _inside(coordinates: list, side: int) -> bool:
    return all(-OUTSIDE <= coordinate <= side + OUTSIDE for coordinate in coordinates)


def _runs(text: str) -> list[int] | None:
    """Run lengths of a compressed RLE, letter by letter: 5 bits each, a sixth for more, the last's top for minus."""
    runs: list[int] = []
    letters = iter(text)
    for letter in letters:
        number = groups = 0
        while True:
            value = ord(letter) - 48
            if not 0 <= value < 64 or groups == 6:
                return None
            number |= (value & 31) << 5 * groups
            groups += 1
            if not value & 32:
                break
            letter = next(letters, "")
            if not letter:
                return None
        if value & 16:
            number -= 1 << 5 * groups
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        if runs[-1] < 0:
            return None
    return runs or None
