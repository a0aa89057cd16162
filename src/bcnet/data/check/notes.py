"""Notes: what is legal in an annotation file but odd."""

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import permutations
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from bcnet.data.check.entries import FEWEST
from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.coco.images import bits_in_use
from bcnet.data.masks.segmentation import to_rle
from bcnet.files import InputError, shown
from bcnet.progress import progress

STILL = 3  # frames
BOX_SLACK = 5.0  # pixels between the sides of a box and of its mask: annotation tools round, and draw boxes by hand


def left_out(data: Any) -> Iterator[Problem]:
    """What annotations leave out, and `coco.read` fills in."""
    for annotation in [] if annotation_file.missing_sections(data) else data["annotations"]:
        if isinstance(annotation, dict):
            name = f"annotation {shown(annotation.get('id'))}"
            for key, value in (("iscrowd", "0"), ("bbox", "its mask's"), ("area", "its mask's")):
                if key not in annotation:
                    yield Problem(name, f"{name}: no {key}, {value} is taken")


def notes(data: Any, folder: Path | None, wrong: set[str]) -> Iterator[Problem]:
    """What is legal but odd, of entries that are not `wrong`."""
    if annotation_file.missing_sections(data):
        return
    right = {
        what: {
            key: entry for key, entry in annotation_file.by_id(data[section]).items() if f"{what} {key}" not in wrong
        }
        for section, what in annotation_file.SECTIONS.items()
    }
    yield from _file_notes(data, right)
    yield from _annotation_notes(right["annotation"], right["image"])
    for what in ("image", "category"):
        used = {shown(entry.get(f"{what}_id")) for entry in data["annotations"] if isinstance(entry, dict)}
        for key in right[what]:
            if str(key) not in used:
                yield Problem(f"{what} {key}", f"{what} {key}: no annotations")
    files: dict[PurePosixPath, int] = {}
    for key, image in right["image"].items():
        if (first := files.setdefault(PurePosixPath(image["file_name"]), key)) != key:
            yield Problem(f"image {key}", f"image {key}: its file is that of image {first}")
    if folder:
        yield from _picture_notes(data["images"], folder)


def _file_notes(data: Any, right: dict[str, dict[int, dict]]) -> Iterator[Problem]:
    """Of the file as a whole: that there are crowds only, amodal masks, LVIS's partial annotation, odd names."""
    annotations = right["annotation"].values()
    if not data["annotations"]:
        yield Problem("file", "file: no annotations at all: was an export without masks chosen?")
    if annotations and all(annotation.get("iscrowd", 0) for annotation in annotations):
        yield Problem("file", "file: all annotations are crowds (iscrowd 1), which nothing is trained on or scored by")
    for count, line in _common_oddities(annotations, right["image"]):
        if count:
            yield Problem("file", f"file: {count} {line}")
    if any("neg_category_ids" in image for image in right["image"].values()):
        line = "LVIS annotates each image for some categories only, and nothing here knows which: true detections count"
        yield Problem("file", f"file: {line} as false")
    yield from _name_notes(right["category"])


def _common_oddities(annotations: Collection[dict], images: dict[int, dict]) -> Iterator[tuple[int, str]]:
    """What is odd with several annotations of a file: with how many, and the words behind this number."""
    for keys, source in annotation_file.AMODAL.items():
        amodal = sum(annotation.keys() >= set(keys) for annotation in annotations)
        what = f"annotations have {' and '.join(keys)}: their segmentation is amodal"
        yield amodal, f"{what}, `source: {source}` reads them as such"
    holes = sum(has_a_hole(annotation["segmentation"]) for annotation in annotations)
    yield holes, "annotations have a polygon inside another of theirs: COCO unites them, a hole needs RLE"
    ignored = sum(bool(annotation.get("ignore")) for annotation in annotations)
    yield ignored, "annotations have ignore, which COCO's evaluation doesn't read: iscrowd is what it leaves out"
    outside = sum(map(annotation_file.is_outside, annotations))
    yield outside, "annotations are marked as outside (attributes): no object is there, --fix removes them"
    line = f"tracks have one outline in their last {STILL} frames, which end the file: objects that rest look so, and"
    yield _still_tracks(annotations, images), f"{line} those that are gone and weren't marked as outside"


def _name_notes(categories: dict[int, dict]) -> Iterator[Problem]:
    """Names of categories that are blank or another one's."""
    of_name: dict[str, list[int]] = {}
    for key, category in categories.items():
        of_name.setdefault(category["name"].strip().casefold(), []).append(key)
    for key, category in categories.items():
        name = category["name"].strip().casefold()
        others = [other for other in of_name[name] if other != key]
        if not name:
            yield Problem(f"category {key}", f"category {key}: its name is blank: {shown(category['name'])}")
        elif others:
            line = f"its name {shown(category['name'])} is category {others[0]}'s"
            yield Problem(f"category {key}", f"category {key}: {line}")


def _still_tracks(annotations: Collection[dict], images: dict[int, dict]) -> int:
    """How many tracks of a video stay as they are, by interpolation alone, up to its last frame."""
    tracks: dict[tuple[str, int], list[dict]] = {}
    for annotation in annotations:
        attributes = annotation.get("attributes")
        if isinstance(attributes, dict) and "track_id" in attributes and not annotation_file.is_outside(annotation):
            tracks.setdefault((str(attributes["track_id"]), annotation["category_id"]), []).append(annotation)
    ends = (sorted(track, key=lambda it: it["image_id"])[-STILL:] for track in tracks.values())
    return sum(
        len(end) == STILL
        and end[-1]["image_id"] == max(images)
        and all(it["segmentation"] == end[0]["segmentation"] for it in end)
        and all(it["attributes"].get("keyframe") is False for it in end[1:])
        for end in ends
    )


def has_a_hole(segmentation: Any) -> bool:
    """Whether a polygon's box lies well inside that of another one, by a pixel or more on each side."""
    if not isinstance(segmentation, list) or len(segmentation) < 2:
        return False
    boxes = [(min(it[::2]), min(it[1::2]), max(it[::2]), max(it[1::2])) for it in segmentation]
    return any(
        inner[0] >= outer[0] + 1 and inner[1] >= outer[1] + 1 and inner[2] <= outer[2] - 1 and inner[3] <= outer[3] - 1
        for inner, outer in permutations(boxes, 2)
    )


def _annotation_notes(annotations: dict[int, dict], images: dict[int, dict]) -> Iterator[Problem]:
    """Of annotations without problems, by id: boxes and areas far from the masks, and equal annotations."""
    masks: dict[tuple, int] = {}
    parts = 0
    for key, annotation in progress(annotations.items(), "compare boxes and masks", len(annotations)):
        name, image_id = f"annotation {key}", annotation["image_id"]
        if image := images.get(image_id):
            whole = dict(annotation)
            annotation_rules.fill_annotation(whole, image)
            rle = to_rle(whole["segmentation"], image["height"], image["width"])
            yield from (Problem(name, f"{name}: {text}") for text in _mask_notes(whole, rle))
            parts += _is_part(whole, rle)
            digest = sha256(rle["counts"].encode()).digest()
            content = (image_id, whole["category_id"], whole["iscrowd"], digest)
            if (first := masks.setdefault(content, key)) != key:
                yield Problem(name, f"{name}: its image, category and mask are those of annotation {first}")
    if parts >= FEWEST:
        line = f"{parts} annotations have a box and an area of more than their one polygon: were parts of objects lost"
        yield Problem("file", f"file: {line} (supervision until June 2026 writes the first one only)?")


def _is_part(annotation: dict, rle: dict) -> bool:
    """Whether box and area are larger than the only polygon, the area not just as that of the box."""
    sides, pixels, area = _beyond(annotation["bbox"], rle), int(coco_mask.area(rle)), annotation["area"]
    larger = min(sides) >= -BOX_SLACK and max(sides) > BOX_SLACK and pixels < area < math.prod(annotation["bbox"][2:])
    return isinstance(annotation["segmentation"], list) and len(annotation["segmentation"]) == 1 and larger


def _beyond(box: list[float], rle: dict) -> tuple[float, float, float, float]:
    """How far a box reaches beyond that of a mask, pixels: left, top, right, bottom."""
    (x, y, w, h), (left, top, mask_w, mask_h) = box, coco_mask.toBbox(rle).tolist()
    return left - x, top - y, x + w - left - mask_w, y + h - top - mask_h


def _picture_notes(images: list[Any], folder: Path) -> Iterator[Problem]:
    """Pictures whose values use few of their bits, and pictures that no image names."""
    right = [image for image in images if isinstance(image, dict) and annotation_file.names_a_file(image)]
    for image in right:
        with suppress(InputError):  # the problems tell it
            if (bits := bits_in_use(folder / image["file_name"])) not in (None, 16):
                name = f"image {image.get('id')}"
                line = f"its 16-bit values use {bits} bits, and are taken as such: {shown(image['file_name'])}"
                yield Problem(name, f"{name}: {line}")
    named = {PurePosixPath(image["file_name"]) for image in right}
    Image.init()
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in Image.EXTENSION and file.relative_to(folder) not in named:
            yield Problem("image file", f"image file: not in the annotations: {shown(str(file.relative_to(folder)))}")


def _mask_notes(annotation: dict, rle: dict) -> Iterator[str]:
    if not (pixels := int(coco_mask.area(rle))):
        yield "its mask is empty"
        return
    if max(map(abs, _beyond(annotation["bbox"], rle))) > BOX_SLACK:
        yield f"bbox is {annotation['bbox']}, its mask's is {coco_mask.toBbox(rle).tolist()}"
    if annotation_rules.is_far(area := annotation["area"], pixels) or not area:
        yield f"area is {area}, its mask has {pixels} pixels"
