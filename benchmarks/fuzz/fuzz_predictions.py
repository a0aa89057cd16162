"""Spoilt predictions, and whether slow Python finds them right."""

import copy
import json
import math
import random
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_forms
from fuzz_annotations import spoil, spoilt_bytes, valid
from fuzz_oracle import all_triples, fits, line_of

from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.masks.segmentation import to_rle
from bcnet.files import InputError


def judge_predictions(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A spoilt file of predictions: taken if and only if slow Python finds it right."""
    truth = valid(rng)
    annotation_file.fill(truth)
    path, boxes = folder / "predictions.json", rng.random() < 0.3
    entries = []
    for annotation in truth["annotations"]:
        entry = {"image_id": annotation["image_id"], "category_id": annotation["category_id"], "score": rng.random()}
        keys = ["bbox"] if boxes else ["segmentation"]
        entries.append(entry | {key: copy.deepcopy(annotation[key]) for key in keys})
        if not boxes and rng.random() < 0.5:
            image = next(image for image in truth["images"] if image["id"] == entry["image_id"])
            entries[-1]["segmentation"] = to_rle(
                entry["segmentation"] if "segmentation" in entry else annotation["segmentation"],
                image["height"],
                image["width"],
            )
        if not boxes and rng.random() < 0.2:
            entries[-1] |= {"box_score": 0.5, "id": 3}
    if not boxes and rng.random() < 0.3:
        form, whole = rng.choice(list(fuzz_forms.OF_MASKS)), {"images": truth["images"], "annotations": entries}
        if form == "triples":  # of four corners each, which can be read as pairs
            fuzz_forms.masks_only(whole)
            fuzz_forms.polygons_only(whole)
        fuzz_forms.write(form, whole)
    holder = {"predictions": entries}
    if rng.random() < 0.75:
        for _ in range(rng.choice((0, 1, 1, 2))):
            with suppress(IndexError):  # nothing is left to be spoilt
                spoil(holder, rng)
        raw = re.sub(
            r'"DEEP (\d+)"', lambda deep: "[" * int(deep[1]) + "]" * int(deep[1]), json.dumps(holder.get("predictions"))
        ).encode()
    else:
        raw = spoilt_bytes(json.dumps(entries).encode(), rng)
    path.write_bytes(raw)
    try:
        prediction_file.read(path, truth)
        kind, wrong = "accepted", []
    except InputError as error:
        kind, wrong = "refused", line_of(error, path)
    right = predictions_are_right(raw, truth)
    if right is not None and right != (kind == "accepted"):
        wrong.append(f"the oracle {'accepts' if right else 'refuses'} it")
    return kind, wrong


def predictions_are_right(raw: bytes, truth: dict[str, Any]) -> bool | None:
    """Whether these are COCO's results; None where parsers differ: of deep nesting, and of 5.0 in the place of 5."""
    if raw.count(b"[") > 800 or re.search(rb"(_id\"|size\").{0,20}\d\.0", raw):
        return None
    try:
        entries = json.loads(raw.decode("utf-8-sig"))
    except ValueError:
        return False
    if not isinstance(entries, list):
        return False
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    boxes = bool(entries) and isinstance(entries[0], dict) and "segmentation" not in entries[0]

    def right(entry: Any) -> bool:
        if not isinstance(entry, dict) or not _is_finite(entry.get("score")):
            return False
        ids = entry.get("image_id"), entry.get("category_id")
        if any(type(number) is not int for number in ids) or ids[0] not in images or ids[1] not in categories:
            return False
        if boxes:
            box = entry.get("bbox")
            return isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box)) and min(box[2:]) >= 0
        sound = entry.get("box_score") is None or _is_finite(entry["box_score"])
        masks = [entry.get("segmentation"), *([entry["occluder"]] if entry.get("occluder") is not None else [])]
        return sound and all(fits(mask, images[ids[0]]["height"], images[ids[0]]["width"]) for mask in masks)

    return all(map(right, entries)) and (boxes or not all_triples(entry["segmentation"] for entry in entries))


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
