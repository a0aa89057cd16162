"""Spoilt datasets of two parts, and spoilt files of KINS, COCOA and COCOA-cls: taken rightly, or refused in a line."""

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_annotations import spoil, valid
from fuzz_forms import masks_only, polygons_only, some_form, write
from fuzz_oracle import is_right, line_of
from PIL import Image

from bcnet.data.masks.segmentation import decode
from bcnet.data.sources.fetch import READERS, fetch
from bcnet.files import InputError
from bcnet.params.data import Files, Part

AMODAL = ("a_segm", "a_bbox", "occluder", "occlusion")  # of the fuzzer's right files
PAIRS = ("", "1-2", "1-2,2-1", "1-1", "7-1", "1-", None, [], "9" * 5000 + "-1", "\u0661-1", "1-2," * 300 + "1-2")


def judge_parts(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Train and val of one dataset: fetched if both are right, have the same categories, and all pictures are there."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    data = {"train": valid(rng)}
    data["val"] = copy.deepcopy(data["train"])
    own = {part: Part(annotations=folder / f"{part}.json", images=folder / "pictures") for part in data}
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    (folder / "pictures").mkdir()
    for image in data["train"]["images"]:
        picture = Image.new("RGB", (image["width"], image["height"]), (rng.randrange(256), 9, 9))
        picture.save(folder / "pictures" / image["file_name"])
    names = [category["name"] for category in data["val"]["categories"]]
    for category in data["val"]["categories"] if rng.random() < 0.3 else ():
        category["name"] = rng.choice((*names, "another"))
    if rng.random() < 0.2:
        write(some_form(rng), data["val"])
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        spoil(data[rng.choice(("train", "val"))], rng)
    for part, content in data.items():
        own[part].annotations.write_text(json.dumps(content))
    right = all(_part_is_right(it) for it in own.values()) and _categories(own["train"]) == _categories(own["val"])
    try:
        fetch(Files(source="files", **own), "mine", folder / "data/mine")
    except InputError as error:
        wrong = line_of(error, folder)
        if (folder / "data/mine/images_val.tsv").exists():
            wrong.append("val is there although fetch failed")
        return "refused", wrong + ["the oracle accepts them: " + str(error)[:300]] * right
    return "accepted", [] if right else ["the oracle refuses them"]


def _part_is_right(part: Part) -> bool:
    raw = part.annotations.read_bytes()
    return is_right(raw) and all(_fits(part.images / image["file_name"], image) for image in json.loads(raw)["images"])


def _fits(file: Path, image: dict[str, Any]) -> bool:
    try:
        with Image.open(file) as picture:
            return picture.size == (image["width"], image["height"])
    except (OSError, ValueError):
        return False


def _categories(part: Part) -> dict[int, str]:
    return {category["id"]: category["name"] for category in json.loads(part.annotations.read_bytes())["categories"]}


def _kins(data: dict[str, Any], rng: random.Random) -> None:
    data["categories"].append({"id": 100, "name": "rider"})
    old = rng.random() < 0.5
    if old:
        masks_only(data)
    for entry in data["annotations"]:
        if old:
            entry["inmodal_seg"] = copy.deepcopy(entry["segmentation"])
        else:
            entry["a_segm"] = entry["i_segm"] = entry.pop("segmentation")
            entry |= {"oco_id": rng.randint(1, 2), "ico_id": rng.randint(1, 3)}
        if rng.random() < 0.2:
            entry["category_id"] = 100


def _cocoa_cls(data: dict[str, Any], rng: random.Random) -> None:
    whole = copy.deepcopy(data)
    masks_only(whole)
    for entry, other in zip(data["annotations"], whole["annotations"], strict=True):
        if not entry["id"] or rng.random() < 0.5:  # the first has one
            entry["visible_mask"] = other["segmentation"]


def _cocoa(data: dict[str, Any], rng: random.Random) -> None:
    whole = copy.deepcopy(data)
    masks_only(whole)
    entries = []
    for image in data["images"]:
        regions = []
        for entry, other in zip(data["annotations"], whole["annotations"], strict=True):
            if entry["image_id"] == image["id"]:
                region = {"segmentation": entry["segmentation"][0], "order": len(regions) + 1, "name": "a"}
                region |= {"isStuff": rng.choice((0, 0, 1, True, False))}
                regions.append(region | ({"visible_mask": other["segmentation"]} if rng.random() < 0.5 else {}))
        pairs = ",".join(f"{k}-{k + 1}" for k in range(1, len(regions)))
        entries.append({"image_id": image["id"], "depth_constraint": pairs, "regions": regions})
    data["annotations"] = entries


SOURCES: dict[str, Callable[[dict[str, Any], random.Random], None]]
SOURCES = {"kins": _kins, "cocoa": _cocoa, "cocoa_cls": _cocoa_cls}


def judge_amodal(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """An amodal file: what is read of it is right in COCO's format, and its masks are those of the file."""
    source, path, data = rng.choice(list(SOURCES)), folder / "amodal.json", valid(rng)
    for entry in data["annotations"]:
        for key in AMODAL:
            entry.pop(key, None)
    polygons_only(data)
    masks = _masks(data, "segmentation")
    SOURCES[source](data, rng)
    spoils = rng.choice((0, 1, 1, 2))
    if odd := source == "cocoa" and rng.random() < 0.2:
        data["annotations"][0]["depth_constraint"] = rng.choice(PAIRS)
    for _ in range(spoils):
        spoil(data, rng)
    if "DEEP" in (text := json.dumps(data)):
        return "left out", []
    path.write_text(text)
    try:
        read = READERS[source](path)
    except InputError as error:
        return "refused", line_of(error, path) + [f"{source}: refused: {error}"] * (not spoils and not odd)
    if not is_right(json.dumps(read).encode()):
        return "accepted", [f"{source}: what was read is no right file"]
    seen, whole = (_masks(read, key) for key in ("segmentation", "amodal_segmentation"))
    if [sum(mask) for _, mask in seen] != [entry["area"] for entry in read["annotations"]]:
        return "accepted", [f"{source}: areas that aren't the masks'"]
    if not spoils and not {*seen, *whole} <= set(masks):
        return "accepted", [f"{source}: other masks than those of the file"]
    return "accepted", []


def _masks(data: dict[str, Any], key: str) -> list[tuple[int, bytes]]:
    """The image and the pixels of each annotation."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    return [
        (entry["image_id"], decode(entry[key], *sizes[entry["image_id"]]).tobytes()) for entry in data["annotations"]
    ]
