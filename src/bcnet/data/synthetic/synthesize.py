"""Synthesize: training pictures with whole objects of other pictures pasted over theirs."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from PIL import Image
from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.masks.crops import crop, paste
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.sources.image_hashes import read_hashes, write_hashes
from bcnet.data.synthetic.cutpaste import Pasted, Source, arrange, blend, crops, cut_out, whole_objects
from bcnet.files import InputError, atomic_output, sha256, write_json
from bcnet.layout import DatasetFiles
from bcnet.parallel import in_processes
from bcnet.params.data import Synthetic
from bcnet.progress import progress

BASES = 20  # base pictures tried for one picture
Annotations = list[dict[str, Any]]


class Inputs(NamedTuple):
    """What every picture is made from. Processes share it: bytes stay where they are, dicts would be copied."""

    name: str
    settings: Synthetic
    folder: Path  # data/DATASET
    records: list[bytes]  # an image each, as JSON, with its `annotations`
    whole: np.ndarray  # (objects, 2) int, by record: the record of a whole object, its place among the annotations


_inputs: Inputs  # of a worker process


def synthesize(settings: Synthetic, name: str, folder: Path, jobs: int) -> str:
    """Write pictures in which objects hide others in a known way, and annotations with amodal masks and depth.

    Picture i is a function of (seed, i) and the train part, whatever `jobs`. The annotation file is written last and
    has every picture's SHA-256.

    Args:
        settings: from params.yaml.
        name: its key there.
        folder: the dataset, data/DATASET, fetched.
        jobs: processes.

    Returns:
        What was written, for people.

    Raises:
        InputError: fewer than one job, the train part is not right, has no two pictures with a whole object, or none in
            which the objects that `settings` asks for find a place.
    """
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: expected 1 or more")
    files = DatasetFiles(folder)
    train, out, own = files.annotations("train"), files.annotations(name), files.images(name)
    data = annotation_file.read(train)
    digests = read_hashes(files.image_hashes("train"))
    if missing := [i["file_name"] for i in data["images"] if f"train/{i['file_name']}" not in digests]:
        raise InputError(f"{files.image_hashes('train')}: no line of train/{missing[0]}, run `{files.fetch_command}`")
    by_image = defaultdict(list)
    for annotation in data["annotations"]:
        if problem := annotation_file.depth_problem(annotation):
            raise InputError(f"{train}: annotation {annotation['id']}: {problem}")
        by_image[annotation["image_id"]].append(annotation)
    records = [orjson.dumps({**image, "annotations": by_image[image["id"]]}) for image in data["images"]]
    del by_image
    complete = in_processes(partial(_whole, min_pixels=settings.min_pixels), records, jobs)
    places = list(progress(complete, f"looking for complete objects in {train}", len(records)))
    whole = np.array([(record, place) for record, complete in enumerate(places) for place in complete], int).reshape(
        -1, 2
    )
    if len(np.unique(whole[:, 0])) < 2:
        what = f"not a crowd, {settings.min_pixels} pixels (synthetic.{name}.min_pixels) in one piece, off the border, "
        what += "no other object in its box"
        lacks = "paste over: no second image" if len(whole) else "paste: no image"
        raise InputError(f"{train}: no object to {lacks} has a complete one ({what})")

    out.unlink(missing_ok=True)  # from now on the pictures are not those that it stands for
    _own_folder(own, settings.keep_real)
    inputs = Inputs(name, settings, folder, records, whole)
    made = in_processes(_make, range(1, settings.pictures + 1), jobs, start=partial(_start, inputs))
    pictures = list(progress(made, f"synthesize {name}", settings.pictures))
    drawn = {own / image["file_name"] for image, _ in pictures}
    for stale in set(own.glob("[0-9]" * 6 + ".png")) - drawn:
        stale.unlink()
    made_of = _coco(data, pictures, digests, name, settings)
    write_hashes(files, name, {image["file_name"]: image["sha256"] for image in made_of["images"]})
    write_json(out, made_of)
    return f"wrote {out}: {len(made_of['images'])} images with {len(made_of['annotations'])} annotations"


def _whole(record: bytes, min_pixels: int) -> list[int]:
    image = orjson.loads(record)
    return whole_objects(image["annotations"], image["height"], image["width"], min_pixels)


def _own_folder(pictures: Path, keep_real: bool) -> None:
    """Make the picture folder, with the link to the real pictures or without it; nothing of a user's is touched."""
    link = pictures / "real"
    if pictures.is_symlink():
        raise InputError(f"{pictures}: is a link, expected a folder of synthetic images: move it away")
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link}: is a folder, expected a link to ../train: move it away")
    pictures.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    if keep_real:
        link.symlink_to("../train", target_is_directory=True)


def _start(inputs: Inputs) -> None:
    global _inputs
    _inputs = inputs


def _make(index: int) -> tuple[dict[str, Any], Annotations]:
    """Write picture `index` (from 1), and give its image entry and annotations, still without their ids."""
    name, settings, folder, records, whole = _inputs
    rng = np.random.default_rng((settings.seed, index))
    bases = np.unique(whole[:, 0])
    for _ in range(BASES):
        chosen = int(rng.choice(bases))
        base = orjson.loads(records[chosen])
        size = base["height"], base["width"]
        first, end = np.searchsorted(whole[:, 0], [chosen, chosen + 1])

        def draw(first: int = first, end: int = end) -> Source:
            number = int(rng.integers(len(whole) - (end - first)))
            record, place = whole[number if number < first else number + end - first].tolist()
            image = orjson.loads(records[record])
            mask = decode(image["annotations"][place]["segmentation"], image["height"], image["width"])
            return Source(crop(mask), (record, place))

        objects = crops(base["annotations"], *size)
        pasted = arrange(rng, objects, whole[first:end, 1].tolist(), draw, size, settings)
        if len(pasted) >= settings.pasted[0]:
            break
    else:
        raise InputError(
            f"params.yaml: synthetic.{name}: image {index}: tried {BASES} images, in none of them can "
            f"{settings.pasted[0]} objects be placed to hide {list(settings.hidden)} of others: widen hidden, "
            "lower pasted or min_pixels"
        )
    picture = _read(folder, base).copy()
    for cutting in pasted:
        source = orjson.loads(records[cutting.source.name[0]])
        blend(picture, cut_out(_read(folder, source), cutting), cutting.mask)
    path = DatasetFiles(folder).images(name) / f"{index:06}.png"
    with atomic_output(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG", compress_level=3)
        digest = sha256(temporary)
    image = {"file_name": path.name, "width": size[1], "height": size[0], "sha256": digest, "source_image": base["id"]}
    return image, _pasted_rows(pasted, base["annotations"], records, size) + _base_rows(pasted, base, size)


def _read(folder: Path, image: dict[str, Any]) -> np.ndarray:
    return read_image(DatasetFiles(folder).images("train") / image["file_name"], (image["height"], image["width"]))


def _visible(mask: np.ndarray) -> dict[str, Any]:
    """The keys of an annotation that follow from its visible mask, (H, W) bool."""
    rle = encode(mask)
    return {"segmentation": rle, "area": int(mask.sum()), "bbox": coco_mask.toBbox(rle).tolist()}


def _pasted_rows(pasted: list[Pasted], base: Annotations, records: list[bytes], size: tuple[int, int]) -> Annotations:
    """Annotations of the pasted objects, from front to back."""
    rows = []
    nearer = np.zeros(size, bool)
    for depth, cutting in enumerate(reversed(pasted)):
        record, place = cutting.source.name
        source, amodal = orjson.loads(records[record])["annotations"][place], paste(cutting.mask, *size)
        whole = _visible(amodal)
        rows.append(
            {
                "category_id": source["category_id"],
                **_visible(amodal & ~nearer),
                "iscrowd": 0,
                "amodal_segmentation": whole["segmentation"],
                "amodal_bbox": whole["bbox"],
                "depth": depth,
                "source_annotation": source["id"],
                "target_annotation": base[cutting.target]["id"],
                "flipped": cutting.flip,
            }
        )
        nearer |= amodal
    return rows


def _base_rows(pasted: list[Pasted], base: dict[str, Any], size: tuple[int, int]) -> Annotations:
    """Annotations of the base picture's own objects, behind all pasted ones; as they were, where nothing hides them."""
    nearer = np.any([paste(cutting.mask, *size) for cutting in pasted], 0)
    rows = []
    for annotation in map(with_amodal, base["annotations"]):
        mask = decode(annotation["segmentation"], *size)
        hidden = _visible(mask & ~nearer) if (mask & nearer).any() else {}
        behind = {"depth": len(pasted) + annotation["depth"], "source_annotation": annotation["id"]}
        rows.append({**annotation, **hidden, **behind})
    return rows


def with_amodal(annotation: dict[str, Any]) -> dict[str, Any]:
    """An annotation of real data in the amodal form.

    Where the data says nothing else, the mask as annotated stands for the amodal one (which is too small for an object
    that was hidden already), and all objects of a picture have the same depth: their order is unknown.
    """
    known = {"amodal_segmentation": annotation["segmentation"], "amodal_bbox": annotation["bbox"], "depth": 0}
    return known | annotation


def _coco(
    data: dict[str, Any],
    pictures: Iterable[tuple[dict[str, Any], Annotations]],
    digests: dict[str, str],
    name: str,
    settings: Synthetic,
) -> dict[str, Any]:
    """The annotation file: the real images with the ids that they have, if they are kept, and the made ones behind."""
    next_image, next_annotation = (
        max((entry["id"] for entry in data[section]), default=0) + 1 for section in ("images", "annotations")
    )
    images: Annotations = []
    annotations: Annotations = []
    if settings.keep_real:
        for image in data["images"]:
            file = image["file_name"]
            images.append({**image, "file_name": f"real/{file}", "sha256": digests[f"train/{file}"]})
        annotations += map(with_amodal, data["annotations"])
    for image_id, (image, rows) in enumerate(pictures, next_image):
        images.append({"id": image_id, **image})
        for row in rows:
            annotations.append({**row, "id": next_annotation, "image_id": image_id})
            next_annotation += 1
    about = {"name": name, **settings.model_dump(mode="json")}
    info = {**(data.get("info") or {}), "synthetic": about}
    return {**data, "info": info, "images": images, "annotations": annotations}
