"""Conventions of single programs in outlines, masks and sizes: what reads wrongly, or not at all, as COCO."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from bcnet.data.check.entries import FEWEST, MOST, Convention, entry_name, how_many, is_four_numbers, objects, put
from bcnet.data.coco import annotation_file
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.masks.segmentation import TOLERANCE, are_triples


def brush(data: Any) -> Convention | None:
    """Label Studio's own encoding of masks, which isn't run lengths."""
    entries = [entry for entry in data["annotations"] if isinstance(entry, dict)]
    masks = [mask for entry in entries if isinstance(mask := entry.get("segmentation"), dict)]
    brushes = sum("rle" in mask and "counts" not in mask for mask in masks)
    if brushes <= MOST * len(entries):
        return None
    line = "masks are Label Studio's brush encoding (format, rle), which is another than COCO's RLE"
    return Convention(f"{how_many(brushes, len(entries))} {line}: export COCO from Label Studio, or decode them there")


def two_points(data: Any) -> Convention | None:
    """Outlines of two points, which enclose nothing: a rectangle's corners, or a circle's centre and a point of it."""
    entries = [entry for entry in data["annotations"] if isinstance(entry, dict)]
    pairs = [entry for entry in entries if _is_pair(entry.get("segmentation"))]
    if len(pairs) < FEWEST or len(pairs) <= MOST * len(entries):
        return None
    line = "outlines are two points, as labelme writes rectangles (corners) and circles (centre and rim)"
    return Convention(f"{how_many(len(pairs), len(entries))} {line}: export polygons")


def _is_pair(segmentation: Any) -> bool:
    return isinstance(segmentation, list) and bool(segmentation) and all(map(is_four_numbers, segmentation))


def triples(data: Any) -> Convention | None:
    """Outlines of x, y, z triples, which read as pairs are other outlines."""
    outlines = [
        (entry_name("annotation", entry, place), entry)
        for place, entry in enumerate(data["annotations"])
        if isinstance(entry, dict) and isinstance(entry.get("segmentation"), list) and entry["segmentation"]
    ]
    if not are_triples(entry["segmentation"] for _, entry in outlines):
        return None

    def mend() -> Iterator[Problem]:
        for name, entry in outlines:
            pairs = [[n for k, n in enumerate(polygon) if k % 3 < 2] for polygon in entry["segmentation"]]
            yield from put(entry, "segmentation", pairs, name)

    return Convention(f"all {len(outlines)} outlines are x, y, z triples, where COCO has x, y pairs", mend)


def swapped(data: Any) -> Convention | None:
    """Width and height of images exchanged, told by masks that fit the image only the other way round."""
    told: Counter[bool] = Counter()
    for evidence in _evidence(data).values():
        if len(evidence) == 1:
            told += Counter(evidence)
        elif evidence:
            told[False] += 1  # it fits neither way
    if told[True] < FEWEST:
        return None
    line = f"{told[True]} images have annotations that fit them only if width and height are exchanged"
    if told[False]:
        return Convention(f"{line}; as {told[False]} have others, none is changed", stops=True)

    def mend() -> Iterator[Problem]:
        for place, image in enumerate(data["images"]):
            if isinstance(image, dict) and annotation_file.has_size(image) and image["width"] != image["height"]:
                width, height, name = image["width"], image["height"], entry_name("image", image, place)
                yield from put(image, "width", height, name)
                yield from put(image, "height", width, name)

    return Convention(line, mend)


def _evidence(data: Any) -> dict[int, set[bool]]:
    """By image what its annotations tell: true, that its sides are exchanged, false, that they aren't."""
    evidence: dict[int, set[bool]] = {}
    for it in objects(data):
        if it.width == it.height:
            continue
        of_image = evidence.setdefault(it.entry["image_id"], set())
        size = it.mask.get("size") if isinstance(it.mask, dict) else None
        if size in ([it.height, it.width], [it.width, it.height]):
            of_image.add(size == [it.width, it.height])
        elif isinstance(it.mask, list):
            right, bottom = (max(max(polygon[k::2]) for polygon in it.mask) - TOLERANCE for k in (0, 1))
            as_it_is, exchanged = (
                right <= width and bottom <= height for width, height in ((it.width, it.height), (it.height, it.width))
            )
            if as_it_is != exchanged:
                of_image.add(exchanged)
    return evidence
