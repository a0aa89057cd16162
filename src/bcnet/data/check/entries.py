"""What conventions are told from, a file's annotations with their masks; and how entries are named and changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from bcnet.data.check.forms import as_coco
from bcnet.data.coco import annotation_file
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.masks.segmentation import NUMBERS, segmentation_problem, to_rle
from bcnet.files import at_place, shown

MOST = 0.5  # what a larger share of the entries has in common is a convention
FEWEST = 3  # entries that tell in which form all are: one may look like anything by chance
Mend = Callable[[], Iterator[Problem]]


@dataclass(frozen=True)
class Convention:
    """A convention: a line about it, and what mends it everywhere, None where that isn't possible.

    `stops`: it can't be mended, and to mend the rest, entry by entry, would make wrong masks of right ones.
    """

    line: str
    mend: Mend | None = None
    stops: bool = False

    def told(self) -> str:
        """The line, and whether it can be mended."""
        return self.line + (" (--fix mends all)" if self.mend else "")


@dataclass(frozen=True)
class Object:
    """An annotation, its name in lines, the size of its image, and its mask as COCO has it, polygons or RLE."""

    name: str
    entry: dict[str, Any]
    height: int
    width: int
    form: str | None  # in which the mask is written; None for COCO's own forms
    mask: Any  # None where there is none that can be read

    def extent(self) -> np.ndarray | None:
        """The mask's left, top, right and bottom, pixels."""
        if isinstance(self.mask, list):
            points = np.array([number for polygon in self.mask for number in polygon]).reshape(-1, 2)
            return np.concatenate([points.min(0), points.max(0)])
        if segmentation_problem(self.mask, self.height, self.width):
            return None
        x, y, w, h = coco_mask.toBbox(to_rle(self.mask, self.height, self.width)).tolist()
        return np.array([x, y, x + w, y + h]) if w * h else None


def objects(data: Any) -> list[Object]:
    """The annotations whose image has a size."""
    images = annotation_file.with_size(annotation_file.by_id(data["images"]))
    result = []
    for place, entry in enumerate(data["annotations"]):
        image = images.get(entry["image_id"]) if isinstance(entry, dict) and _is_key(entry.get("image_id")) else None
        if image:
            height, width = image["height"], image["width"]
            form, mask = as_coco(entry.get("segmentation"), height, width) or (None, entry.get("segmentation"))
            if not isinstance(mask, dict) and not (isinstance(mask, list) and mask and all(map(_is_polygon, mask))):
                mask = None
            result.append(Object(entry_name("annotation", entry, place), entry, height, width, form, mask))
    return result


def entry_name(what: str, entry: dict, place: int) -> str:
    """What lines call an entry."""
    return f"{what} {entry['id']}" if annotation_file.is_id(entry.get("id")) else at_place(what, place)


def _is_key(value: Any) -> bool:
    return type(value) is int


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return NUMBERS.issuperset(map(type, polygon)) and all(abs(number) < 1e9 for number in polygon)


def is_four_numbers(value: Any) -> bool:
    """Whether this is four finite numbers."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and NUMBERS.issuperset(map(type, value))
        and all(abs(number) < 1e9 for number in value)
    )


def put(entry: dict, key: str, value: Any, name: str) -> Iterator[Problem]:
    """Set a key, and say so if its value or type is another."""
    old = entry.get(key)
    if key not in entry or type(old) is not type(value) or old != value:
        was = shown(old) if key in entry else "missing"
        entry[key] = value
        yield Problem(name, f"{name}: {key}: {was} -> {shown(value)}")


def how_many(count: int, total: int) -> str:
    """How many of how many, for a line."""
    return f"all {total}" if count == total else f"{count} of {total}"
