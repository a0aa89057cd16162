"""Check: everything that is wrong with an annotation file at once, and what is legal but odd."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file, annotation_rules
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.coco.fix import fix
from bcnet.data.coco.images import read_image
from bcnet.data.coco.sizes import proposal
from bcnet.data.masks.segmentation import to_rle
from bcnet.files import InputError, readable, shown, write_json
from bcnet.progress import in_threads, progress

SHOWN = 20  # lines of one kind
BOX_SLACK = 5.0  # pixels between the sides of a box and of its mask: annotation tools round, and draw boxes by hand
AREA_FACTOR, AREA_SLACK = 2.0, 50.0  # an area is far from the mask's by this factor and by this many pixels


def check(path: Path, pictures: Path | None, out: Path | None, everything: bool) -> None:
    """Print all problems of an annotation file, then notes on what is legal but odd; or write a fixed copy.

    Args:
        pictures: the folder of its pictures, which are then decoded too; sizes that fit them follow.
        out: where the fixed copy goes; then the changes are printed, or, if one problem cannot be fixed, those that
            cannot, and nothing is written.
        everything: print all lines instead of `SHOWN` of a kind.

    Raises:
        InputError: there is a problem (with `out`: one that cannot be fixed), or `out` is the file itself.
    """
    if out and out.exists() and out.samefile(path):
        raise InputError(f"--fix {out}: expected another file than the one that is checked")
    if pictures and not pictures.is_dir():
        raise InputError(f"--images {pictures}: no such folder")
    with readable(path):
        content = path.read_bytes()
    data, not_json = annotation_file.parse(path, content)
    not_json_line = [Problem("file", str(error).removeprefix(f"{path}: "))] if (error := not_json) else []
    if out:
        changes = fix(data, pictures)
        if problems := list(annotation_file.problems(data)) + _picture_problems(data, pictures):
            _print(problems, everything)
            raise InputError(f"{path}: {_number(problems)} cannot be fixed, {out} is not written")
        write_json(out, data)
        _print(not_json_line + changes, everything)
        print(f"{out}: written, {len(changes + not_json_line)} changes")
        return
    problems = not_json_line + list(annotation_file.problems(data)) + _picture_problems(data, pictures)
    notes = [*_left_out(data), *_notes(data, pictures, {problem.entry for problem in problems})]
    _print(problems, everything)
    _print(notes, everything, "note: ")
    if problems:
        raise InputError(f"{path}: {_number(problems)}")
    print(f"{path}: nothing wrong, {len(notes)} notes")
    annotation_file.fill(data)
    if pictures and (lines := proposal(data["images"], data["annotations"])):
        print(f"sizes for params.yaml that fit these images and boxes:\n{lines}")


def _number(problems: list[Problem]) -> str:
    return f"{len(problems)} problems in {len({problem.entry for problem in problems})} entries"


def _print(problems: list[Problem], everything: bool, prefix: str = "") -> None:
    """Print lines by kind: what a line says of its entry up to the first value."""
    kinds: dict[str, list[str]] = {}
    for entry, line in problems:
        kind = entry.split(" ")[0] + re.split(r"[-\d'\"\[{]", line.removeprefix(entry), maxsplit=1)[0]
        kinds.setdefault(kind, []).append(line)
    for lines in kinds.values():
        for line in lines if everything else lines[:SHOWN]:
            print(prefix + line)
        if len(lines) > SHOWN and not everything:
            print(f"{prefix}and {len(lines) - SHOWN} more of this kind")


def _picture_problems(data: Any, folder: Path | None) -> list[Problem]:
    """Pictures that are missing, unreadable or of another size; of images whose file name is right."""
    if not folder or annotation_file.missing_sections(data):
        return []

    def problem(image: dict) -> Problem | None:
        file, size = image["file_name"], (image["height"], image["width"]) if annotation_file.has_size(image) else None
        text = ""
        if not (folder / file).exists():
            text = "no such image file"
        else:
            try:
                read_image(folder / file, size)
            except InputError as error:
                text = str(error).removeprefix(f"{folder / file}: ")
        return Problem(name := f"image {image.get('id')}", f"{name}: {text}: {shown(file)}") if text else None

    images = [image for image in data["images"] if isinstance(image, dict) and annotation_file.names_a_file(image)]
    return [found for found in in_threads(problem, images, f"check {folder}") if found]


def _left_out(data: Any) -> Iterator[Problem]:
    """What annotations leave out, and `coco.read` fills in."""
    for annotation in [] if annotation_file.missing_sections(data) else data["annotations"]:
        if isinstance(annotation, dict):
            name = f"annotation {shown(annotation.get('id'))}"
            for key, value in (("iscrowd", "0"), ("bbox", "its mask's"), ("area", "its mask's")):
                if key not in annotation:
                    yield Problem(name, f"{name}: no {key}, {value} is taken")


def _notes(data: Any, folder: Path | None, wrong: set[str]) -> Iterator[Problem]:
    """What is legal but odd, of entries that are not `wrong`."""
    if annotation_file.missing_sections(data):
        return
    right = {
        what: {
            key: entry for key, entry in annotation_file.by_id(data[section]).items() if f"{what} {key}" not in wrong
        }
        for section, what in annotation_file.SECTIONS.items()
    }
    yield from _annotation_notes(right["annotation"], right["image"])
    for what in ("image", "category"):
        used = {shown(entry.get(f"{what}_id")) for entry in data["annotations"] if isinstance(entry, dict)}
        for key in right[what]:
            if str(key) not in used:
                yield Problem(f"{what} {key}", f"{what} {key}: no annotations")
    files: dict[PurePosixPath, int] = {}
    for key, image in right["image"].items():
        if (first := files.setdefault(PurePosixPath(image["file_name"]), key)) != key:
            yield Problem(f"image {key}", f"image {key}: its file is that of image {first}")
    if folder:
        yield from _picture_notes(data["images"], folder)


def _annotation_notes(annotations: dict[int, dict], images: dict[int, dict]) -> Iterator[Problem]:
    """Of annotations without problems, by id: boxes and areas far from the masks, and equal annotations."""
    masks: dict[tuple, int] = {}
    for key, annotation in progress(annotations.items(), "compare boxes and masks", len(annotations)):
        name, image_id = f"annotation {key}", annotation["image_id"]
        if image := images.get(image_id):
            whole = dict(annotation)
            annotation_rules.fill_annotation(whole, image)
            rle = to_rle(whole["segmentation"], image["height"], image["width"])
            yield from (Problem(name, f"{name}: {text}") for text in _mask_notes(whole, rle))
            digest = sha256(rle["counts"].encode()).digest()
            content = (image_id, whole["category_id"], whole["iscrowd"], digest)
            if (first := masks.setdefault(content, key)) != key:
                yield Problem(name, f"{name}: its image, category and mask are those of annotation {first}")


def _picture_notes(images: list[Any], folder: Path) -> Iterator[Problem]:
    """Pictures that no image names."""
    right = [image for image in images if isinstance(image, dict) and annotation_file.names_a_file(image)]
    named = {PurePosixPath(image["file_name"]) for image in right}
    Image.init()
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in Image.EXTENSION and file.relative_to(folder) not in named:
            yield Problem("image file", f"image file: not in the annotations: {shown(str(file.relative_to(folder)))}")


def _mask_notes(annotation: dict, rle: dict) -> Iterator[str]:
    if not (pixels := int(coco_mask.area(rle))):
        yield "its mask is empty"
        return
    (x, y, w, h), (left, top, mask_w, mask_h) = annotation["bbox"], coco_mask.toBbox(rle).tolist()
    sides = (x - left, y - top, x + w - left - mask_w, y + h - top - mask_h)
    if max(map(abs, sides)) > BOX_SLACK:
        yield f"bbox is {annotation['bbox']}, its mask's is {[left, top, mask_w, mask_h]}"
    area = annotation["area"]
    if not pixels / AREA_FACTOR <= area <= pixels * AREA_FACTOR and abs(area - pixels) > AREA_SLACK:
        yield f"area is {area}, its mask has {pixels} pixels"
