"""The COCO file format: annotation files, masks and pictures, checked as they are read.

Specification: https://cocodataset.org/#format-data.
"""

import json
import math
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

from bcnet.files import InputError, read_json

# pixels that a polygon or box may reach outside its image: annotation tools round, COCO itself never does
TOLERANCE = 2.0
UPRIGHT = {  # what an EXIF orientation asks for
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read(path: Path) -> dict[str, Any]:
    """Read and check an annotation file.

    What a file may leave out is filled in: `iscrowd` with 0, `bbox` and `area` from the mask. A box without height or
    without width is accepted (train2017 has two), a polygon may reach `TOLERANCE` pixels outside its image.

    Returns:
        The file's content with `images`, `annotations` and `categories`; all else in it is kept.

    Raises:
        InputError: not JSON, or not COCO's format; names the image, annotation or category and what is wrong with it.
    """
    try:
        data = read_json(path)
    except InputError:
        with suppress(OSError, ValueError):
            _check(path, json.loads(path.read_bytes()))  # Python writes NaN, which JSON has not: name the annotation
        raise
    _check(path, data)
    return data


def _check(path: Path, data: Any) -> None:
    for section in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(section), list):
            raise InputError(f"{path}: no list {section!r}, expected a COCO annotation file")
    images = _by_id(path, data["images"], "image", image_problem)
    categories = _by_id(path, data["categories"], "category", category_problem)
    _by_id(path, data["annotations"], "annotation", lambda entry: annotation_problem(entry, images, categories))


def _by_id(path: Path, entries: list, what: str, problem_of: Any) -> dict[int, dict]:
    """Check the entries of a section one by one, and give them by their id."""
    known: dict[int, dict] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or type(entry.get("id")) is not int:
            raise InputError(f"{path}: {what} at place {place} has no whole number as 'id'")
        if entry["id"] in known:
            raise InputError(f"{path}: {what} {entry['id']}: this id is there twice")
        if problem := problem_of(entry):
            raise InputError(f"{path}: {what} {entry['id']}: {problem}")
        known[entry["id"]] = entry
    return known


def image_problem(image: dict) -> str | None:
    """What is wrong with an image beside its id, None if nothing is."""
    for key in ("width", "height"):
        if type(image.get(key)) is not int or image[key] < 1:
            return f"{key} is {image.get(key)!r}, expected a whole number of pixels"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        return f"file_name is {name!r}, expected a path below the picture folder"
    if name.startswith("/") or ".." in PurePosixPath(name).parts or any(c in name for c in "\t\n\r"):
        return f"file_name {name!r} leaves the picture folder or holds a tab or line end"
    return None


def category_problem(category: dict) -> str | None:
    """What is wrong with a category beside its id, None if nothing is."""
    return None if isinstance(category.get("name"), str) else f"name is {category.get('name')!r}, expected a text"


def annotation_problem(annotation: dict, images: dict[int, dict], categories: dict[int, dict]) -> str | None:
    """What is wrong with an annotation beside its id, None if nothing is; then what it leaves out is filled in.

    Args:
        annotation: an entry of `annotations`; missing `iscrowd`, `bbox` and `area` are added to it.
        images, categories: the checked entries of the file by id.
    """
    image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
    if type(image_id) is not int or image_id not in images:
        return f"image_id {image_id!r} is not the id of an image of this file"
    if type(category_id) is not int or category_id not in categories:
        return f"category_id {category_id!r} is not the id of a category of this file"
    if annotation.setdefault("iscrowd", 0) not in (0, 1):
        return f"iscrowd is {annotation['iscrowd']!r}, expected 0 or 1"
    height, width = images[image_id]["height"], images[image_id]["width"]
    if problem := segmentation_problem(annotation.get("segmentation"), height, width):
        return problem
    if annotation.get("bbox") is None or annotation.get("area") is None:
        rle = to_rle(annotation["segmentation"], height, width)
        if not (area := int(coco_mask.area(rle))):
            return "its mask is empty, so no bbox and area can be computed from it"
        annotation["bbox"] = annotation.get("bbox") or coco_mask.toBbox(rle).tolist()
        annotation["area"] = area if annotation.get("area") is None else annotation["area"]
    area, box = annotation["area"], annotation["bbox"]
    if not isinstance(area, int | float) or not 0 <= area < math.inf:
        return f"area is {area!r}, expected a number of pixels"
    return _box_problem(box, height, width)


def _box_problem(box: Any, height: int, width: int) -> str | None:
    expected = f"expected [x, y, width, height] inside the {width}x{height} image"
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(number, int | float) for number in box):
        return f"bbox is {box!r}, {expected}"
    x, y, w, h = box
    inside = x >= -TOLERANCE and y >= -TOLERANCE and x + w <= width + TOLERANCE and y + h <= height + TOLERANCE
    return None if w >= 0 and h >= 0 and w + h > 0 and inside else f"bbox is {box}, {expected}"


def segmentation_problem(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a segmentation (polygons, compressed or uncompressed RLE), None if nothing is.

    Args:
        height, width: the size of its image, in pixels.
    """
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        return f"segmentation is {segmentation!r}, expected polygons or RLE"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            numbers = f"{len(polygon)} numbers" if isinstance(polygon, list) else repr(polygon)
            return f"a polygon has {numbers}, expected x and y of three points or more"
        try:
            finite = math.isfinite(sum(polygon))
        except TypeError:
            finite = False
        if not finite:
            return "a polygon holds something that is not a finite number"
        xs, ys = polygon[::2], polygon[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        if right < 0 or bottom < 0 or left > width or top > height:
            return f"a polygon lies wholly outside the {width}x{height} image"
        if min(left, top) < -TOLERANCE or right > width + TOLERANCE or bottom > height + TOLERANCE:
            extent = f"x {left} to {right}, y {top} to {bottom}"
            return f"a polygon reaches outside the {width}x{height} image by more than {TOLERANCE:g} pixels: {extent}"
    return None


def _rle_problem(rle: dict, height: int, width: int) -> str | None:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        return f"RLE size is {size}, expected the image's [{height}, {width}]"
    if isinstance(counts, str | bytes):
        counts = run_lengths(counts)
        if counts is None:
            return "RLE counts are broken, expected COCO's compressed string"
    elif not isinstance(counts, list) or not all(type(count) is int for count in counts):
        return f"RLE counts are {type(counts).__name__}, expected a string or a list of whole numbers"
    if len(counts) and min(counts) < 0:
        return "RLE counts hold a negative number"
    if (total := int(sum(counts))) != height * width:
        return f"RLE counts sum to {total}, expected height x width = {height * width}"
    return None


def run_lengths(counts: str | bytes) -> np.ndarray | None:
    """Run lengths behind the string of a compressed RLE, (runs,) int64, background first; None if it is broken.

    pycocotools checks too little here: on a cut string it reads beyond its end. Format: `rleToString` of the COCO API,
    numbers of 5-bit groups, the lowest first, from the fourth on as difference to the last but one.
    """
    text = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(groups & 32 == 0)
    if not len(groups) or groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits: longer than any image
        return None
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((groups & 31) << shifts, starts)
    numbers -= np.where(groups[ends] & 16, 1 << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Compressed RLE `{"size": [height, width], "counts": str}` of a checked segmentation; polygons are united."""
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    counts = rle["counts"]
    return {"size": [height, width], "counts": counts.decode() if isinstance(counts, bytes) else counts}


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE of a mask, (H, W) bool."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Mask of a checked segmentation, (H, W) bool."""
    return coco_mask.decode(to_rle(segmentation, height, width)).astype(bool)


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as its annotations see it, whatever its mode.

    The EXIF orientation is respected when that gives `size` or when no size is asked for; when only the picture as
    stored has that size, the annotations were made on it, and the orientation is ignored.

    Args:
        size: (height, width) of the annotations in pixels, or None.

    Returns:
        (H, W, 3) uint8, RGB, 0 to 255. 16-bit pictures keep their upper 8 bits; transparency is dropped.

    Raises:
        InputError: missing, corrupt or truncated, of a mode that is no picture, or of another size.
    """
    try:
        with Image.open(path) as image:
            stored = (image.height, image.width)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            turn = UPRIGHT.get(orientation)
            upright = stored[::-1] if orientation in (5, 6, 7, 8) else stored
            if size not in (None, stored, upright):
                expected = f"{size[1]}x{size[0]}" if size else ""
                raise InputError(f"{path}: the picture is {upright[1]}x{upright[0]}, its annotation says {expected}")
            return _rgb(image.transpose(turn) if turn is not None and size in (None, upright) else image, path)
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # all by broken files
        raise InputError(f"{path}: not a readable picture: {error}") from error


def _rgb(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "F":
        raise InputError(f"{path}: the picture holds real numbers, expected 8 or 16 bits")
    if image.mode.startswith("I"):  # one channel of 16 bits, which Pillow would clip at 255
        grey = (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette may hold transparent colours, which Pillow warns of otherwise
    return np.asarray(image.convert("RGB"))
