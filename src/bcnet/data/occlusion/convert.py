"""Convert: add the occluder and the measures of occlusion to every annotation of a COCO file."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bcnet import layout
from bcnet.data.coco import annotation_file, stream
from bcnet.data.occlusion.geometry import occlusions, polygons
from bcnet.files import InputError, atomic_output, check_out
from bcnet.parallel import Shard, in_processes, of_shard
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
ROW = np.dtype([(name, kind.to_pandas_dtype()) for name, kind in COLUMNS.items()])
OCCLUDER_KEY = {"bilayer": "occluder", "released": "bg_object_segmentation"}
Work = tuple[dict[str, Any], list[bytes]]  # an image and the texts of its annotations


def convert(
    annotations: Path, out: Path, settings: Convert, jobs: int, format: str = "bilayer", shard: Shard = (1, 1)
) -> str:
    """Write a COCO file with `occlusion` and the occluder on every annotation, and beside it the occlusion table.

    The bytes do not depend on `jobs`. Annotations with amodal masks get `amodal_occluder` too: the occluder by the
    same rule, of amodal masks and boxes.

    Args:
        annotations: any COCO-format file.
        out: the JSON file; the table goes to the same name with .parquet.
        jobs: processes.
        format: "bilayer": the occluder as `occluder`, compressed RLE or null; "released": as `bg_object_segmentation`,
            a list of polygons, empty without one, the key that the released code trains from (there thinned, here not).
        shard: the images that are converted; `gather` puts the shards together.

    Returns:
        What was written, for people.

    Raises:
        InputError: `annotations` is not right or has no `depth` for `settings.in_front`, `out` is not a .json file of
            its own, or fewer than one job.
    """
    check_out(out, annotations=annotations)
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: expected 1 or more")
    file = stream.read(annotations)
    if settings.in_front and not any(b'"depth"' in bytes(text) for text in file.texts):
        raise InputError(f"{annotations}: convert.in_front: true needs annotations with 'depth', this file has none")
    head, by_image = _part(file, shard)
    places = sorted(chain.from_iterable(by_image.values()))
    texts: list[Any] = list(file.texts)
    rows = np.zeros(len(texts), ROW)
    images = {image["id"]: {key: image[key] for key in ("id", "height", "width")} for image in head["images"]}
    categories = {category["id"]: category for category in head["categories"]}
    work = ((images[i], [bytes(texts[place]) for place in group]) for i, group in by_image.items())
    function = partial(_convert_image, path=annotations, categories=categories, settings=settings, format=format)
    converted = progress(in_processes(function, work, jobs, together=64), f"convert {annotations}", len(by_image))
    for group, (new_texts, new_rows) in zip(by_image.values(), converted, strict=True):
        rows[group] = np.frombuffer(new_rows, ROW)
        for place, text in zip(group, new_texts, strict=True):
            texts[place] = text
    return _write(out, head, [texts[place] for place in places], _table(rows[places]))


def convert_content(
    content: dict[str, Any], settings: Convert, path: Path, masks: Sequence[np.ndarray] | None = None
) -> None:
    """Add `occlusion` and the occluder to every annotation of a file in memory, as `convert` does.

    Args:
        content: COCO's format, checked (`annotation_file.read`); its annotations are changed.
        settings: who counts as an occluder.
        path: of the file, for errors.
        masks: of the annotations, as runs; None: they are taken from `segmentation`.

    Raises:
        InputError: `settings.in_front` needs a `depth` that is wrong, or that no annotation has.
    """
    if settings.in_front and not any("depth" in annotation for annotation in content["annotations"]):
        raise InputError(f"{path}: in_front: true needs annotations with 'depth', these have none")
    by_image: defaultdict[int, list[int]] = defaultdict(list)
    for place, annotation in enumerate(content["annotations"]):
        by_image[annotation["image_id"]].append(place)
    for image in progress(content["images"], f"convert {path}"):
        places = by_image[image["id"]]
        of_image = [masks[place] for place in places] if masks else None
        add_occlusion([content["annotations"][place] for place in places], image, settings, path, masks=of_image)


def gather(annotations: Path, shards: list[Path], out: Path) -> str:
    """Put the parts that `convert` made of a file together: the bytes of converting it at once.

    Returns:
        What was written, for people.

    Raises:
        InputError: a part is not right, or the parts do not have each annotation of the file once.
    """
    check_out(out, annotations=annotations)
    file = stream.read(annotations)
    parts = [stream.read(shard) for shard in progress(shards, f"read {len(shards)} parts")]
    text_of = {annotation_id: text for part in parts for annotation_id, text in zip(part.ids, part.texts, strict=True)}
    count = sum(len(part.ids) for part in parts)
    if count != len(text_of) or text_of.keys() != set(file.ids):
        has = f"{count} annotations, {len(text_of.keys() & set(file.ids))} of the {len(file.ids)} of {annotations}"
        raise InputError(f"--gather: the {len(shards)} parts have {has}: expected each one once")
    table = pa.concat_tables([_read_table(layout.occlusion_table(shard)) for shard in shards]).combine_chunks()
    row = {annotation_id: index for index, annotation_id in enumerate(table["annotation_id"].to_pylist())}
    if len(row) != table.num_rows or row.keys() != text_of.keys():
        raise InputError(
            f"--gather: the {len(shards)} parts have tables (.parquet) that are not those of their annotations"
        )
    return _write(out, file.head, [text_of[i] for i in file.ids], table.take([row[i] for i in file.ids]))


def _part(file: stream.AnnotationFile, shard: Shard) -> tuple[dict[str, Any], dict[int, list[int]]]:
    """Of a file, the content beside annotations, and the places of annotations by image, for a shard."""
    images = of_shard(file.head["images"], shard)
    chosen = {image["id"] for image in images}
    return {**file.head, "images": images}, {i: places for i, places in file.by_image.items() if i in chosen}


def _convert_image(
    work: Work, path: Path, categories: dict[int, Any], settings: Convert, format: str
) -> tuple[list[bytes], bytes]:
    """The new texts of an image's annotations, and their rows of the table."""
    image, texts = work
    annotations = stream.parse(path, image, texts, categories)
    add_occlusion(annotations, image, settings, path, format)
    try:
        # copied, since what orjson gives keeps a buffer of several times its size
        new_texts = [bytes(memoryview(orjson.dumps(annotation))) for annotation in annotations]
    except orjson.JSONEncodeError as error:  # by a user's content only: lists in lists in lists
        raise InputError(f"{path}: an annotation of image {image['id']}: cannot be written as JSON: {error}") from error
    rows = np.array([_row(annotation) for annotation in annotations], ROW).tobytes()  # an array takes long to send
    return new_texts, rows


def add_occlusion(
    annotations: list[dict[str, Any]],
    image: dict[str, Any],
    settings: Convert,
    path: Path,
    format: str = "bilayer",
    masks: Sequence[np.ndarray] | None = None,
) -> None:
    """Give the annotations of an image, checked, their occluder and `occlusion`, as `convert` says.

    Args:
        image: its entry.
        path: their file, for errors.
        masks: as of `occlusions`.

    Raises:
        InputError: `settings.in_front` asks for a `depth`, and one is wrong.
    """
    for annotation in annotations:
        if settings.in_front and (problem := annotation_file.depth_problem(annotation)):
            raise InputError(f"{path}: annotation {annotation['id']}: {problem}")
    by_annotation = occlusions(annotations, image["height"], image["width"], settings, masks)
    for annotation, occlusion in zip(annotations, by_annotation, strict=True):
        occluder = occlusion.occluder
        annotation[OCCLUDER_KEY[format]] = (
            occluder if format == "bilayer" else polygons(occluder) if occluder is not None else []
        )
        annotation["occlusion"] = {name: getattr(occlusion, name) for name in MEASURES}
    if any("amodal_segmentation" in annotation for annotation in annotations):
        amodal = occlusions(
            [_amodal(annotation) for annotation in annotations], image["height"], image["width"], settings
        )
        for annotation, occlusion in zip(annotations, amodal, strict=True):
            if "amodal_segmentation" in annotation:
                annotation["amodal_occluder"] = occlusion.occluder


def _amodal(annotation: dict[str, Any]) -> dict[str, Any]:
    """An annotation with its amodal mask and box, where it has them, in the place of what is visible."""
    shape = annotation.get("amodal_segmentation", annotation["segmentation"])
    return {**annotation, "segmentation": shape, "bbox": annotation.get("amodal_bbox", annotation["bbox"])}


def _row(annotation: dict[str, Any]) -> tuple[Any, ...]:
    about = {**annotation, **annotation["occlusion"], "annotation_id": annotation["id"]}
    return tuple(about[name] for name in COLUMNS)


def occlusion_table(annotations: list[dict[str, Any]]) -> pa.Table:
    """The occlusion table of converted annotations: `COLUMNS`, a row an annotation."""
    return _table(np.array([_row(annotation) for annotation in annotations], ROW))


def _table(rows: np.ndarray) -> pa.Table:
    return pa.table({name: pa.array(rows[name], kind) for name, kind in COLUMNS.items()})


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable occlusion table: {error}") from error
    if table.column_names != list(COLUMNS):
        raise InputError(f"{path}: not an occlusion table, expected the columns {', '.join(COLUMNS)}")
    return table


def _write(out: Path, head: dict[str, Any], texts: list[Any], table: pa.Table) -> str:
    """Write annotations and their table; what was written, for people."""
    with atomic_output(layout.occlusion_table(out)) as temporary:
        pq.write_table(table, temporary)
        stream.write(out, head, texts)
    occluded = pc.sum(pc.greater(table["n_occluders"], 0)).as_py() or 0
    return f"wrote {out}: {len(texts)} annotations of {len(head['images'])} images, {occluded} with an occluder"
