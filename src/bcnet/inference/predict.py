"""Predictions of a model: over a part of the dataset, over any annotated set, or over any pictures."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bcnet import layout
from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.sources.coco2017 import test_dev_images
from bcnet.data.sources.image_folders import need_folder, need_images
from bcnet.files import InputError, check_out, sha256, write_json
from bcnet.inference import speed
from bcnet.inference.categories import ids_by_name
from bcnet.inference.chunks import join_chunks, predict_chunks
from bcnet.inference.detect import detect
from bcnet.inference.image_ids import image_ids
from bcnet.layout import IMPORTED, TEST, TEST_DEV, DatasetFiles
from bcnet.models.device import pick_device
from bcnet.parallel import Shard, of_shard
from bcnet.params import Params
from bcnet.params.methods import METHODS
from bcnet.progress import note, progress
from bcnet.unfinished.folder import begin
from bcnet.weights.model_file import ModelFile, load_model

MEASURED = "measured here"  # the origin of predictions of models that were trained here


class Images(NamedTuple):
    """The images that are predicted.

    Attributes:
        annotations: the file that lists them.
        entries: of that list.
        folder: that each `file_name` is relative to.
        ids: the `category_id` of each class of the model (`results`).
    """

    annotations: Path
    entries: list[dict[str, Any]]
    folder: Path
    ids: list[int | None] | None


def results(
    model: ModelFile, picture: np.ndarray, image_id: int | str, ids: Sequence[int | None] | None = None
) -> list[dict[str, Any]]:
    """A picture's detections in COCO's result format, best first.

    Args:
        model: what `load_model` gives.
        picture: (H, W, 3) uint8, RGB.
        image_id: for the results' `image_id`.
        ids: the `category_id` of each class, None of those that are left out (`ids_by_name`); None: the model's own.

    Returns:
        Dicts of `image_id`, `category_id`, `score` and `segmentation` (compressed RLE), and `occluder` (the same, empty
        where the model sees none) if `predict.occluders` asks for it and the head has such a map; `box_score` where
        masks have scores of their own. No `bbox`: pycocotools would take its area for the mask's.
    """
    detections = detect(model, picture)
    if ids is None:
        ids = [category["id"] for category in model.categories]
    entries: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": ids[label],
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
    return [entry for entry in entries if entry["category_id"] is not None]


def predict_split(params: Params, name: str, seed: int, split: str, data: Path, shard: Shard | None = None) -> str:
    """Predict the pictures of a split with a variant or an imported model; provenance and speed go beside them.

    An imported model sees them in the size of its own configuration, which its file holds.

    A killed run goes on where it was: what is done is kept until all is.

    Args:
        params: the run's parameters.
        name: of the variant, or of the imported model.
        seed: of the variant's training.
        split: `val`, `test` of a dataset that has one, or COCO's `test-dev`.
        data: the folder of all datasets.
        shard: only store the predictions of that part of the images; without one, the parts that lie there are taken.

    Returns:
        What was written, for people.

    Raises:
        InputError: no such variant, imported model or file, a picture is missing or corrupt, or the model has no
            category of the split.
    """
    files = DatasetFiles(data / params.dataset)
    run = files.run(name, params.run(name, seed))
    weights = run.model
    if run.run != IMPORTED and params.predict.checkpoint == "best":
        weights = run.best_model
    model = load_model(weights, None if run.run == IMPORTED else params.predict)
    best = model.provenance.get("best")
    if best and best["annotations_sha256"] != sha256(files.annotations("val")):
        chosen = f"{weights}: was chosen by its AP on other annotations than {files.annotations('val')}"
        raise InputError(f"{chosen}: `snakemake --forcerun train` chooses anew, `predict.checkpoint: last` needs none")
    if run.run == IMPORTED:
        origin, label = IMPORTED, params.imported[name].label
    else:
        origin, label = MEASURED, params.variants[name].label or name
    hashes = {}  # only what is trained and evaluated on has hashes
    if split != TEST_DEV:
        if split == TEST and not files.annotations(TEST).exists():
            raise InputError(f"{files.annotations(TEST)}: no such file (`{files.fetch_test_command}` makes it)")
        hashes = {"images_sha256": sha256(files.image_hashes(split))}
        need_images(files, split)
        images = _images(model, files.annotations(split), files.images(split))
    else:
        images = Images(files.test_list, test_dev_images(files.folder), files.images("test"), None)
    about = {"origin": origin, "name": name, "label": label, "dataset": params.dataset, **hashes}
    return _predict(model, weights, images, about, run.predictions(split), data, shard)


def predict_annotated(
    weights: Path, annotations: Path, pictures: Path, out: Path, data: Path, shard: Shard | None = None
) -> str:
    """Predict the images of any annotation file with a model file; provenance and speed go beside them.

    Image ids are those of the file, and so are those of categories, which are the model's if they have its names
    (`ids_by_name`); how they differ is said on stderr. A killed run goes on where it was.

    Args:
        weights: a model file.
        annotations: a COCO-format file; it may lack annotations.
        pictures: the folder that each `file_name` is relative to.
        out: a JSON file in COCO's result format.
        data: the folder below which unfinished work lies.
        shard: as of `predict_split`.

    Returns:
        What was written, for people.

    Raises:
        InputError: the model, the file or a picture is missing or wrong, the categories have no name in common, or
            `out` is not a .json file of its own.
    """
    check_out(out, annotations=annotations)
    model = load_model(weights)
    images = _images(model, annotations, pictures)
    need_folder(pictures, images.entries, "--images ")
    name = model.provenance.get("name", weights.stem)
    origin = IMPORTED if model.provenance.get("origin") == IMPORTED else MEASURED
    about = {"origin": origin, "name": name, "label": name, "dataset": annotations.stem}
    return _predict(model, weights, images, about, out, data, shard)


def _images(model: ModelFile, annotations: Path, folder: Path) -> Images:
    """Those of an annotation file; how its categories differ from the model's is said on stderr."""
    entries, categories = annotation_file.read_images_and_categories(annotations)
    ids, remarks = ids_by_name(model.categories, categories, annotations)
    for remark in remarks:
        note(f"bcnet predict: {remark}")
    return Images(annotations, entries, folder, ids)


def _predict(
    model: ModelFile,
    weights: Path,
    images: Images,
    about: dict[str, Any],
    out: Path,
    data: Path,
    shard: Shard | None,
) -> str:
    """Predict images; `about` is what provenance says of the model and of the images."""
    of_shard((), shard or (1, 1))  # a shard that does not exist leaves no folder behind
    device = pick_device()
    model.module.to(device)
    trained_with = ("init", "train_on", "seed", "schedule", "resumed", "best")
    own = ("kind", "file_sha256") if about["origin"] == IMPORTED else trained_with
    provenance = {
        **about,
        "detector": getattr(model.variant, "detector", None),
        "backbone": model.variant.backbone,
        "method": METHODS[model.variant.method].name,
        "masks": model.variant.masks,
        **{key: model.provenance[key] for key in own if key in model.provenance},
        "predict": model.predict.model_dump(mode="json"),
        "annotations_sha256": sha256(images.annotations),
        "model_sha256": sha256(weights),
        "versions": model.provenance["versions"],
    }

    def predicted(image: dict[str, Any]) -> list[dict[str, Any]]:
        picture = read_image(images.folder / image["file_name"], (image["height"], image["width"]))
        return results(model, picture, image["id"], images.ids)

    code = [__name__, METHODS[model.variant.method].module]
    done = begin(data, out, [weights, images.annotations], {**provenance, "device": device.type}, code)
    on = speed.device_name(device)
    what = f"predicting {about['name']}"
    entries = sorted(images.entries, key=lambda image: image["id"])
    stored = predict_chunks(entries, predicted, what, done, on, shard or (1, 1))
    if shard:
        return f"stored the predictions of {stored} of {len(entries)} images for {out}"
    times, count = join_chunks(entries, done, out)
    write_json(layout.provenance(out), provenance, indent=True)
    speed.write(layout.speed(out), speed.speed(times, on))
    shutil.rmtree(done)
    return f"wrote {out}: {count} predictions of {len(entries)} images"


def predict_images(weights: Path, pictures: list[Path], out: Path) -> str:
    """Predict any pictures with a model file; `image_id` is as of `image_ids`. EXIF rotation is respected.

    Args:
        weights: a model file.
        pictures: picture files.
        out: a JSON file in COCO's result format.

    Returns:
        What was written, for people.

    Raises:
        InputError: the model or a picture is missing or corrupt, one is given twice, or `out` is not a .json file.
    """
    check_out(out)
    ids = image_ids(pictures)
    model = load_model(weights)
    model.module.to(pick_device())
    entries: list[dict[str, Any]] = []
    for path, image_id in progress(zip(pictures, ids, strict=True), "predicting", len(pictures)):
        entries += results(model, read_image(path), image_id)
    write_json(out, entries)
    return f"wrote {out}: {len(entries)} predictions of {len(pictures)} images"
