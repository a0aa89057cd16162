"""Predictions of a model: over a split, or over any pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from bcnet.data import coco
from bcnet.data.masks import encode
from bcnet.data.pictures import read_image
from bcnet.files import sha256, write_json
from bcnet.models.build import MASK_HEADS, ModelFile, detect, load_model, pick_device
from bcnet.params import Params
from bcnet.params.models import Predict
from bcnet.progress import progress


def results(model: ModelFile, predict: Predict, picture: np.ndarray, image_id: int | str) -> list[dict[str, Any]]:
    """A picture's detections in COCO's result format, best first.

    Args:
        model: what `load_model` gives.
        predict: the size that the picture is shown to the model in.
        picture: (H, W, 3) uint8, RGB.
        image_id: for the results' `image_id`.

    Returns:
        Dicts of `image_id`, `category_id`, `score` and `segmentation` (compressed RLE). No `bbox`: pycocotools would
        take its area for the mask's.
    """
    classes, scores, masks = detect(model, picture, predict)
    return [
        {
            "image_id": image_id,
            "category_id": model.categories[label]["id"],
            "score": round(score, 6),
            "segmentation": encode(mask),
        }
        for label, score, mask in zip(classes, scores, masks, strict=True)
    ]


def predict_split(params: Params, name: str, seed: int, split: str, data: Path) -> None:
    """Predict the pictures of a split with a trained variant; provenance goes beside the predictions.

    Args:
        params: the run's parameters.
        name: of the variant.
        seed: of its training.
        split: `val`.
        data: the folder with `DATASET/models`, `DATASET/annotations`, `DATASET/images`.

    Raises:
        InputError: no such variant or model, or a picture is missing or corrupt.
    """
    variant, folder = params.variant(name), data / params.dataset
    weights = folder / f"models/{name}/{seed}/model.safetensors"
    annotations = folder / f"annotations/instances_{split}.json"
    model = load_model(weights)
    model.module.to(pick_device())
    found: list[dict[str, Any]] = []
    for image in progress(
        sorted(coco.read(annotations)["images"], key=lambda image: image["id"]), f"predicting {name}"
    ):
        picture = read_image(folder / "images" / split / image["file_name"], (image["height"], image["width"]))
        found += results(model, params.predict, picture, image["id"])
    out = folder / f"predictions/{name}/{seed}/{split}.json"
    provenance = {
        "origin": "measured here",
        "name": name,
        "label": variant.label or name,
        "detector": variant.detector,
        "backbone": variant.backbone,
        "method": MASK_HEADS[variant.mask_head].method,
        "masks": model.variant.masks,
        "dataset": params.dataset,
        "train_on": model.provenance["train_on"],
        "seed": seed,
        "schedule": model.provenance["schedule"],
        "predict": params.predict.model_dump(mode="json"),
        "annotations_sha256": sha256(annotations),
        "images_sha256": sha256(folder / "images.tsv"),
        "model_sha256": sha256(weights),
        "versions": model.provenance["versions"],
    }
    write_json(out, found)
    write_json(out.with_suffix(".provenance.json"), provenance, indent=True)


def predict_images(weights: Path, pictures: list[Path], out: Path) -> None:
    """Predict any pictures with a model file; `image_id` is the picture's file name. EXIF rotation is respected.

    Args:
        weights: a model file.
        pictures: picture files.
        out: a JSON file in COCO's result format.

    Raises:
        InputError: the model or a picture is missing or corrupt.
    """
    model = load_model(weights)
    model.module.to(pick_device())
    found: list[dict[str, Any]] = []
    for path in progress(pictures, "predicting"):
        found += results(model, model.predict, read_image(path), path.name)
    write_json(out, found)
