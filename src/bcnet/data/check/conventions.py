"""Conventions: what most entries of an annotation file have in common that is not COCO's way.

Such a file isn't broken here and there. It is of another kind, which is told as a whole, and mended everywhere or not
at all.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from bcnet.data.check.entries import FEWEST, MOST, Convention, entry_name, how_many, is_four_numbers, objects, put
from bcnet.data.check.forms import as_coco
from bcnet.data.check.outlines import brush, swapped, triples, two_points
from bcnet.data.coco import annotation_file
from bcnet.data.coco.annotation_file import Problem
from bcnet.files import as_in_file, at_place, shown

CLOSE = 0.5  # IoU of a box with its mask's from which its form can be told


def conventions(data: Any) -> Iterator[Convention]:
    """The conventions of a file's content, in the order in which they are to be mended; each sees the last ones' work.

    Args:
        data: with all of COCO's sections; nothing in it is changed but by a `mend`.
    """
    for look in (
        _lvis,
        _text_ids,
        _names_for_ids,
        _no_masks,
        brush,
        two_points,
        swapped,
        triples,
        _forms,
        _normalised,
        _boxes,
    ):
        if convention := look(data):
            yield convention


def _lvis(data: Any) -> Convention | None:
    """Images by their address, as LVIS has them: folder and file are its last two parts."""
    images = [image for image in data["images"] if isinstance(image, dict)]
    named = [image for image in images if "file_name" not in image and isinstance(image.get("coco_url"), str)]
    if not named or len(named) <= MOST * len(images):
        return None

    def mend() -> Iterator[Problem]:
        for place, image in enumerate(named):
            parts = image["coco_url"].split("/")[-2:]
            yield from put(image, "file_name", "/".join(parts), entry_name("image", image, place))

    return Convention(f"{how_many(len(named), len(images))} images have no file_name but LVIS's coco_url", mend)


def _names_for_ids(data: Any) -> Convention | None:
    """References by name, where the names are different."""
    entries = [entry for entry in data["annotations"] if isinstance(entry, dict)]
    mends: list[tuple[dict, str, dict[str, int]]] = []
    for key, section, called in (("category_id", "categories", "name"), ("image_id", "images", "file_name")):
        known = annotation_file.by_id(data[section])
        named = [(text, number) for number, entry in known.items() if isinstance(text := entry.get(called), str)]
        times = Counter(text for text, _ in named)
        ids = {text: number for text, number in named if times[text] == 1 and not text.isdigit()}
        mends += [(entry, key, ids) for entry in entries if isinstance(entry.get(key), str) and entry[key] in ids]
    if not mends:
        return None

    def mend() -> Iterator[Problem]:
        for entry, key, ids in mends:
            name = f"annotation {shown(entry.get('id'))}"
            yield from put(entry, key, ids[entry[key]], name)

    return Convention(f"{len(mends)} references are names where COCO has ids", mend)


def _text_ids(data: Any) -> Convention | None:
    """Images or categories whose ids are different texts, such as names of files."""
    mends: list[tuple[str, list[dict], dict[str, int]]] = []
    for what, section in (("image", "images"), ("category", "categories")):
        entries = [entry for entry in data[section] if isinstance(entry, dict)]
        texts = [text for entry in entries if isinstance(text := entry.get("id"), str)]
        if entries and len(entries) == len(set(texts)) and not any(text.isdigit() for text in texts):
            mends.append((what, entries, {text: number for number, text in enumerate(texts, 1)}))
    if not mends:
        return None

    def mend() -> Iterator[Problem]:
        for what, entries, ids in mends:
            for place, entry in enumerate(entries):
                yield from put(entry, "id", ids[entry["id"]], at_place(what, place))
            for place, entry in enumerate(data["annotations"]):
                if isinstance(entry, dict) and isinstance(old := entry.get(f"{what}_id"), str) and old in ids:
                    yield from put(entry, f"{what}_id", ids[old], entry_name("annotation", entry, place))

    named = " and ".join(f"{len(entries)} ids of {what}" for what, entries, _ in mends)
    return Convention(f"{named} are texts, where COCO has numbers: predictions need the numbers of the copy", mend)


def _no_masks(data: Any) -> Convention | None:
    """Boxes without masks, as exports for detectors have; panoptic files, whose masks are pictures."""
    entries = [entry for entry in data["annotations"] if isinstance(entry, dict)]
    panoptic = sum("segments_info" in entry for entry in entries)
    if panoptic > MOST * len(entries):
        line = "annotations have segments_info: this is COCO's panoptic format, whose masks are PNG files: convert it"
        return Convention(f"{how_many(panoptic, len(entries))} {line} to instances first (panopticapi does)")
    bare = [entry for entry in entries if entry.get("segmentation") in (None, [], [[]], {}, "")]
    rotated = sum(_is_rotated(entry.get("bbox")) for entry in bare)
    if rotated > MOST * len(entries):
        line = "annotations have a rotated box (x, y, width, height, angle) and no mask"
        return Convention(f"{how_many(rotated, len(entries))} {line}: export its four corners as a polygon")
    boxes = sum(is_four_numbers(entry.get("bbox")) for entry in bare)
    if boxes <= MOST * len(entries):
        return None
    what = "a box, keypoints and no mask" if all("keypoints" in entry for entry in bare) else "a box and no mask"
    why = "instance segmentation needs masks: export polygons or RLE"
    return Convention(f"{how_many(boxes, len(entries))} annotations have {what}; {why}")


def _is_rotated(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 5 and is_four_numbers(box[:4]) and is_four_numbers([box[4], 0, 0, 0])


def _forms(data: Any) -> Convention | None:
    """Masks in a form of their own."""
    sized = objects(data)
    forms = Counter(it.form for it in sized if it.form)
    if not forms or forms.most_common(1)[0][1] <= MOST * len(sized):
        return None
    form, count = forms.most_common(1)[0]

    def mend() -> Iterator[Problem]:
        for it in sized:
            yield from mend_form(it.entry, it.height, it.width, it.name)

    return Convention(f"{how_many(count, len(sized))} segmentations are {form}, where COCO has polygons or RLE", mend)


def mend_form(entry: dict, height: int, width: int, name: str) -> Iterator[Problem]:
    """Write a mask in a form of its own as COCO has it, and say so."""
    old = entry.get("segmentation")
    if form := as_coco(old, height, width):
        entry["segmentation"] = form[1]
        kind = "polygons" if isinstance(form[1], list) else "RLE"
        yield Problem(name, f"{name}: segmentation: {form[0]}: {as_in_file(old)} -> {kind}")


def _normalised(data: Any) -> Convention | None:
    """Coordinates from 0 to 1, shares of the image's size."""
    drawn = [it for it in objects(data) if isinstance(it.mask, list) and min(it.height, it.width) > 2]
    small = [it for it in drawn if _is_normalised([number for polygon in it.mask for number in polygon])]
    if not small or len(small) <= MOST * len(drawn):
        return None
    line = f"{how_many(len(small), len(drawn))} outlines have coordinates from 0 to 1, where COCO has pixels"
    if len(small) < len(drawn):
        return Convention(f"{line}; as others haven't, none is multiplied by its image's size")

    def mend() -> Iterator[Problem]:
        boxes = all(_is_normalised(it.entry["bbox"]) for it in small if is_four_numbers(it.entry.get("bbox")))
        for it in small:
            size = it.width, it.height
            scaled = [[number * size[k % 2] for k, number in enumerate(polygon)] for polygon in it.mask]
            yield from put(it.entry, "segmentation", scaled, it.name)
            if boxes and is_four_numbers(it.entry.get("bbox")):
                yield from put(it.entry, "bbox", [n * size[k % 2] for k, n in enumerate(it.entry["bbox"])], it.name)
            it.entry["area"] = None  # to be taken from the mask

    return Convention(line, mend)


def _is_normalised(numbers: list[float]) -> bool:
    return min(numbers) >= 0 and max(numbers) <= 1 and any(0 < number < 1 for number in numbers)


def _corners(box: list[float], form: str) -> np.ndarray:
    """Left, top, right and bottom of a box in one of the forms."""
    a, b, c, d = box
    match form:
        case "x1, y1, x2, y2":
            return np.array([a, b, c, d])
        case "centre x, centre y, width, height":
            return np.array([a - c / 2, b - d / 2, a + c / 2, b + d / 2])
    return np.array([a, b, a + c, b + d])


COCO_BOX = "x, y, width, height"
BOXES = (COCO_BOX, "x1, y1, x2, y2", "centre x, centre y, width, height")


def _boxes(data: Any) -> Convention | None:
    """Boxes in another form than COCO's, told by comparing them with the masks."""
    boxed = [it for it in objects(data) if it.mask is not None and is_four_numbers(it.entry.get("bbox"))]
    extents = [(it.entry["bbox"], extent) for it in boxed if (extent := it.extent()) is not None]
    votes = Counter(filter(None, (_form_of_box(box, extent) for box, extent in extents)))
    if not votes or (form := votes.most_common(1)[0][0]) == COCO_BOX or votes.total() < FEWEST:
        return None
    if (count := votes[form]) <= MOST * len(boxed):
        return None
    line = f"{how_many(count, len(boxed))} boxes are {form}, where COCO has {COCO_BOX}"
    if count < votes.total():
        return Convention(f"{line}; as {votes.total() - count} aren't, each wrong one is taken from its mask")

    def mend() -> Iterator[Problem]:
        for it in boxed:
            left, top, right, bottom = _corners(it.entry["bbox"], form).tolist()
            yield from put(it.entry, "bbox", [left, top, right - left, bottom - top], it.name)

    return Convention(line, mend)


def _form_of_box(box: list[float], extent: np.ndarray) -> str | None:
    """In which of BOXES a box is one around its mask; None if in none, or in several alike."""
    ious = {form: _iou(_corners(box, form), extent) for form in BOXES}
    best = max(BOXES, key=lambda form: ious[form])
    if ious[best] >= CLOSE and ious[best] > ious[COCO_BOX]:
        return best
    return COCO_BOX if ious[COCO_BOX] >= CLOSE and sorted(ious.values())[-2] < ious[COCO_BOX] else None


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two boxes of left, top, right and bottom; 0 for one that is inside out."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(sides.clip(0)))
    areas = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]))
    return common / (areas - common) if (a[2:] > a[:2]).all() and areas > common else 0.0
