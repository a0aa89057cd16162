"""Predictions of a model: over a split, or over any pictures."""

import shutil
import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from bcnet import layout
from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.sources.coco2017 import test_dev_images
from bcnet.files import atomic_output, sha256, write_json
from bcnet.inference import speed
from bcnet.inference.detect import detect
from bcnet.inference.image_ids import image_ids
from bcnet.layout import IMPORTED, DatasetFiles
from bcnet.models.device import pick_device
from bcnet.params import Params
from bcnet.params.methods import METHODS
from bcnet.progress import note, progress
from bcnet.training.unfinished import begin
from bcnet.weights.model_file import ModelFile, load_model

CHUNK = 100  # pictures whose predictions are stored together: a killed run loses no more


def results(model: ModelFile, picture: np.ndarray, image_id: int | str) -> list[dict[str, Any]]:
    """A picture's detections in COCO's result format, best first.

    Args:
        model: what `load_model` gives.
        picture: (H, W, 3) uint8, RGB.
        image_id: for the results' `image_id`.

    Returns:
        Dicts of `image_id`, `category_id`, `score` and `segmentation` (compressed RLE), and `occluder` (the same, empty
        where the model sees none) if `predict.occluders` asks for it and the head has such a map; `box_score` where
        masks have scores of their own. No `bbox`: pycocotools would take its area for the mask's.
    """
    detections = detect(model, picture)
    entries = [
        {
            "image_id": image_id,
            "category_id": model.categories[label]["id"],
            "score": round(score, 6),
            "segmentation": rle,
        }
        for label, score, rle in zip(detections.classes, detections.scores, detections.masks.rles, strict=True)
    ]
    if detections.box_scores is not None:
        for entry, box_score in zip(entries, detections.box_scores, strict=True):
            entry["box_score"] = round(box_score, 6)
    if detections.occluders is not None:
        for entry, occluder in zip(entries, detections.occluders.rles, strict=True):
            entry["occluder"] = occluder
    return entries


def predict_split(params: Params, name: str, seed: int, split: str, data: Path) -> None:
    """Predict the pictures of a split with a variant or an imported model; provenance and speed go beside them.

    An imported model sees them in the size of its own configuration, which its file holds.

    A killed run goes on where it was: what is done is kept until all is.

    Args:
        params: the run's parameters.
        name: of the variant, or of the imported model.
        seed: of the variant's training.
        split: `val`, or COCO's `test-dev`.
        data: the folder of all datasets.

    Raises:
        InputError: no such variant, imported model or file, or a picture is missing or corrupt.
    """
    files = DatasetFiles(data / params.dataset)
    run = files.run(name, params.run(name, seed))
    weights = run.model
    model = load_model(weights, None if run.run == IMPORTED else params.predict)
    if run.run == IMPORTED:
        origin, label = IMPORTED, params.imported[name].label
        training = {key: model.provenance[key] for key in ("kind", "file_sha256")}
    else:
        origin, label = "measured here", params.variants[name].label or name
        training = {"train_on": model.provenance["train_on"], "seed": seed, "schedule": model.provenance["schedule"]}
    device = pick_device()
    model.module.to(device)
    if split == "val":
        annotations, pictures = files.annotations("val"), files.images("val")
        images = annotation_file.read_images(annotations)
        hashes = {"images_sha256": sha256(files.image_hashes("val"))}
    else:
        annotations, pictures = files.test_list, files.images("test")
        images, hashes = test_dev_images(files.folder), {}  # only what is trained and evaluated on has hashes
    provenance = {
        "origin": origin,
        "name": name,
        "label": label,
        "detector": getattr(model.variant, "detector", None),
        "backbone": model.variant.backbone,
        "method": METHODS[model.variant.method].name,
        "masks": model.variant.masks,
        "dataset": params.dataset,
        **training,
        "predict": model.predict.model_dump(mode="json"),
        "annotations_sha256": sha256(annotations),
        **hashes,
        "model_sha256": sha256(weights),
        "versions": model.provenance["versions"],
    }

    def predicted(image: dict[str, Any]) -> list[dict[str, Any]]:
        picture = read_image(pictures / image["file_name"], (image["height"], image["width"]))
        return results(model, picture, image["id"])

    out = run.predictions(split)
    code = [__name__, METHODS[model.variant.method].module]
    done = begin(data, out, [weights, annotations], {**provenance, "device": device.type}, code)
    on = speed.device_name(device)
    times = in_chunks(sorted(images, key=lambda image: image["id"]), predicted, f"predicting {name}", done, on, out)
    write_json(layout.provenance(out), provenance, indent=True)
    speed.write(layout.speed(out), speed.speed(times, on))
    shutil.rmtree(done)


def in_chunks(
    images: Sequence[dict[str, Any]],
    predicted: Callable[[dict[str, Any]], list[dict[str, Any]]],
    what: str,
    done: Path,
    device: str,
    out: Path,
) -> list[speed.Times]:
    """Write the predictions of all images, those of `CHUNK` images at a time into a folder and at the end together.

    Args:
        images: their entries, in the order of the predictions.
        predicted: gives an image's.
        what: for the progress line.
        done: the folder, named by all that determines the predictions; what lies there is not predicted again.
        device: the name of what computes, for the times.
        out: the JSON file of all.

    Returns:
        How long the images of each chunk took, those that lay there as well.
    """
    chunks = {done / f"{start:08d}.json": images[start : start + CHUNK] for start in range(0, len(images), CHUNK)}
    times = {path: path.with_suffix(".seconds.json") for path in chunks}
    done.mkdir(parents=True, exist_ok=True)
    left = {path: chunk for path, chunk in chunks.items() if not path.exists()}
    todo = list(chain.from_iterable(left.values()))
    if len(todo) < len(images):
        note(f"{what}: resuming, {len(images) - len(todo)} of {len(images)} images are done")
    moving = progress(todo, what)
    for path, chunk in left.items():
        entries: list[dict[str, Any]] = []
        seconds: list[float] = []
        processor: list[float] = []
        for image in islice(moving, len(chunk)):
            start, work = time.perf_counter(), time.process_time()
            entries += predicted(image)  # on the host, also where a GPU has computed it
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - work)
        taken = speed.Times(device=device, seconds=tuple(seconds), processor_seconds=tuple(processor))
        speed.write(times[path], taken)
        write_json(path, entries)  # after the times: what lies there is complete
    with atomic_output(out) as temporary, temporary.open("wb") as file:  # as JSON objects COCO's would take gigabytes
        file.write(b"[")
        texts = (path.read_bytes().removeprefix(b"[").removesuffix(b"]") for path in chunks)
        for place, text in enumerate(filter(None, texts)):
            file.write((b"," if place else b"") + text)
        file.write(b"]")
    return [speed.read(path, speed.Times) for path in times.values()]


def predict_images(weights: Path, pictures: list[Path], out: Path) -> None:
    """Predict any pictures with a model file; `image_id` is as of `image_ids`. EXIF rotation is respected.

    Args:
        weights: a model file.
        pictures: picture files.
        out: a JSON file in COCO's result format.

    Raises:
        InputError: the model or a picture is missing or corrupt, or one is given twice.
    """
    ids = image_ids(pictures)
    model = load_model(weights)
    model.module.to(pick_device())
    entries: list[dict[str, Any]] = []
    for path, image_id in progress(zip(pictures, ids, strict=True), "predicting", len(pictures)):
        entries += results(model, read_image(path), image_id)
    write_json(out, entries)
