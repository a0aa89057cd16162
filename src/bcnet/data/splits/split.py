"""Splits: the images of an annotation file that a rule selects.

The authors' COCO-OCC is a list of images made by hand or by a rule that was never published. A split made here
carries its rule in its `info`.
"""

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bcnet import layout
from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.occlusion.convert import occlusion_table
from bcnet.data.occlusion.converted import check_converted
from bcnet.data.splits.rules import image_values
from bcnet.files import InputError, at_place, atomic_output, check_out, read_json, readable, sha256, shown, write_json
from bcnet.params.data import Split

COVERS = ("box_cover", "mask_cover")  # the rules that are keys of `occlusion`


def split(annotations: Path, out: Path, name: str, rule: Split) -> str:
    """Write the COCO file, and the occlusion table, of the images whose value (`image_value`) reaches the threshold.

    Rule "all" takes every image, "image_ids" those that its file lists. A chosen image keeps all its annotations. With
    `masks: amodal` they get their amodal masks, boxes and areas in place of the visible ones, and the visible masks as
    `visible_segmentation`; the choice is made, and `occlusion` stays, of what is visible. With `masks: visible` objects
    that are visible nowhere are left out: no prediction could find them. `info.split` tells all of this
    (docs/formats.md).

    Args:
        annotations: a file that `convert` wrote.
        out: the JSON file; the table goes to the same name with .parquet.

    Returns:
        What was written, for people.

    Raises:
        InputError: `annotations` is not right or not converted, lacks amodal masks or listed images, the rule selects
            no image, or `out` is not a .json file of its own.
    """
    check_out(out, annotations=annotations, file=rule.file)
    data = read_converted(annotations)
    if rule.masks == "visible":
        data["annotations"] = [
            annotation for annotation in data["annotations"] if not annotation_file.hidden(annotation)
        ]
    images = {image["id"] for image in data["images"]}
    chosen = _chosen(data, images, rule)
    about: dict[str, Any] = {"name": name, **rule.model_dump(include={"rule", "threshold", "same_category", "masks"})}
    if rule.file is not None:
        about |= {"file": rule.file.name, "file_sha256": sha256(rule.file)}
    if not chosen:
        raise InputError(
            f"{annotations}: split {name!r} ({rule.rule} {rule.threshold}) selects none of {len(images)} images"
        )
    data["info"] = {**(data.get("info") or {}), "split": {**about, "other_images": sorted(images - chosen)}}
    if rule.masks == "amodal":
        data["annotations"] = with_amodal_masks(annotations, data)
    data["images"] = [image for image in data["images"] if image["id"] in chosen]
    data["annotations"] = [annotation for annotation in data["annotations"] if annotation["image_id"] in chosen]
    with atomic_output(layout.occlusion_table(out)) as temporary:
        pq.write_table(occlusion_table(data["annotations"]), temporary)
        write_json(out, data)
    return f"wrote {out}: {len(chosen)} of {len(images)} images with {len(data['annotations'])} annotations"


def _chosen(data: dict[str, Any], images: set[int], rule: Split) -> set[int]:
    """The ids of the images that the rule selects, of all `images`."""
    if rule.file is not None:
        return listed_images(rule.file, images)
    if rule.threshold is None:
        return images
    values = image_values(data, rule.rule, rule.same_category)
    return {image for image, value in values.items() if value >= rule.threshold}


def read_converted(path: Path) -> dict[str, Any]:
    """Read and check an annotation file that `convert` wrote.

    Raises:
        InputError: as `coco.read`, or an annotation has no `occlusion`.
    """
    data = annotation_file.read(path)
    check_converted(path, data["annotations"])
    return data


def listed_images(path: Path, images: Set[int]) -> set[int]:
    """The image ids of a COCO-format file (.json; only its `images` are looked at), or of a text with an id a line.

    Args:
        images: the ids that are legal.

    Raises:
        InputError: unreadable, no ids, or ids of other images; says how many of how many, and the first.
    """
    listed = _ids_of_coco(path) if path.suffix == ".json" else _ids_of_text(path)
    if not listed:
        raise InputError(f"{path}: lists no image, expected a COCO-format .json file or a text with an image id a line")
    if others := [image for image in listed if image not in images]:
        raise InputError(
            f"{path}: {len(others)} of its {len(listed)} images are not in the annotations, the first is {others[0]}"
        )
    return set(listed)


def _ids_of_coco(path: Path) -> list[int]:
    content = read_json(path)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise InputError(f"{path}: no list 'images', expected a COCO-format file")
    for place, image in enumerate(images):
        if not isinstance(image, dict) or not annotation_file.is_id(image.get("id")):
            raise InputError(f"{path}: {at_place('image', place)} has no whole number as 'id'")
    return list(dict.fromkeys(image["id"] for image in images))


def _ids_of_text(path: Path) -> list[int]:
    try:
        with readable(path):
            lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(lines, 1):
        if not re.fullmatch("[0-9]{0,20}", line.strip()):
            raise InputError(f"{path}:{number}: {shown(line)}: expected an image id")
    return list(dict.fromkeys(int(line) for line in lines if line.strip()))


def with_amodal_masks(path: Path, data: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations of a file with their amodal masks, boxes and areas in place of the visible ones, checked.

    Args:
        path: what errors call the file.
        data: its content.

    Raises:
        InputError: one has no amodal mask, or a wrong one.
    """
    images = {image["id"]: image for image in data["images"]}
    categories = {category["id"]: category for category in data["categories"]}
    swapped = []
    for annotation in data["annotations"]:
        where = f"{path}: annotation {annotation['id']}"
        if annotation.get("amodal_segmentation") is None:
            raise InputError(f"{where} has no 'amodal_segmentation', which masks: amodal needs of every annotation")
        amodal = {"segmentation": annotation["amodal_segmentation"], "bbox": annotation.get("amodal_bbox")}
        amodal["visible_segmentation"] = annotation["segmentation"]
        swapped.append(annotation | amodal | {"area": None})  # None: the mask's, filled in
        if problem := annotation_rules.annotation_problem(swapped[-1], images, categories):
            raise InputError(f"{where}: amodal: {problem}")
        annotation_rules.fill_annotation(swapped[-1], images[annotation["image_id"]])
    return swapped
