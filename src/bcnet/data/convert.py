"""Convert: add the occluder and the measures of occlusion to every annotation of a COCO file."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.data import coco
from bcnet.data.occlusion import occlusions, paste, polygons
from bcnet.files import InputError, atomic_output, write_json
from bcnet.params.data import Convert
from bcnet.progress import progress

COLUMNS = {  # of the occlusion table; the last five are the keys of an annotation's `occlusion`
    "annotation_id": pa.int64(),
    "image_id": pa.int64(),
    "category_id": pa.int64(),
    "area": pa.float64(),
    "iscrowd": pa.bool_(),
    "box_cover": pa.float64(),
    "mask_cover": pa.float64(),
    "max_box_iou": pa.float64(),
    "n_occluders": pa.int64(),
    "same_category": pa.bool_(),
}
MEASURES = list(COLUMNS)[5:]
OCCLUDER_KEY = {"bilayer": "occluder", "released": "bg_object_segmentation"}
Image = tuple[list[dict[str, Any]], int, int]  # the annotations of an image, its height and width


def convert(annotations: Path, out: Path, settings: Convert, jobs: int, format: str = "bilayer") -> None:
    """Write a COCO file with `occlusion` and the occluder on every annotation, and beside it the occlusion table.

    The bytes do not depend on `jobs`.

    Args:
        annotations: any COCO-format file.
        out: the JSON file; the table goes to the same name with .parquet.
        jobs: processes.
        format: "bilayer": the occluder as `occluder`, compressed RLE or null; "released": as `bg_object_segmentation`,
            a list of polygons, empty without one, the key that the released code trains from (there thinned, here not).

    Raises:
        InputError: `annotations` is not right, `out` is not a .json file of its own, or fewer than one job.
    """
    if out.suffix != ".json" or out.resolve() == annotations.resolve():
        raise InputError(f"--out {out}: expected a .json file other than --annotations")
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: expected 1 or more")
    data = coco.read(annotations)
    by_image = defaultdict(list)
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    images = [(group, *sizes[image_id]) for image_id, group in by_image.items()]

    converted = _map(partial(_convert_image, settings=settings, format=format), images, jobs)
    for (group, *_), results in zip(images, progress(converted, f"convert {annotations}", len(images)), strict=True):
        for annotation, (occluder, measures) in zip(group, results, strict=True):
            annotation |= {OCCLUDER_KEY[format]: occluder, "occlusion": measures}
    with atomic_output(out.with_suffix(".parquet")) as temporary:
        pq.write_table(_table(data["annotations"]), temporary)
        write_json(out, data)


def _map(function: Any, images: list[Image], jobs: int) -> Iterator[Any]:
    """`function` of each image, in order, by `jobs` processes."""
    if jobs == 1:
        yield from map(function, images)
        return
    with Pool(jobs) as pool:
        yield from pool.imap(function, images, chunksize=16)


def _convert_image(image: Image, settings: Convert, format: str) -> list[tuple[Any, dict[str, Any]]]:
    """The occluder, as the format has it, and `occlusion`, for each annotation of an image."""
    annotations, height, width = image
    result = []
    for occlusion in occlusions(annotations, height, width, settings):
        mask = occlusion.occluder
        if format == "released":
            occluder: Any = polygons(mask) if mask else []
        else:
            occluder = coco.encode(paste(mask, height, width)) if mask else None
        result.append((occluder, {name: getattr(occlusion, name) for name in MEASURES}))
    return result


def _table(annotations: list[dict[str, Any]]) -> pa.Table:
    rows = [
        {
            **annotation,
            **annotation["occlusion"],
            "annotation_id": annotation["id"],
            "iscrowd": bool(annotation["iscrowd"]),
        }
        for annotation in annotations
    ]
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()})
