"""Check: everything that is wrong with an annotation file at once, and what is legal but odd."""

import re
from pathlib import Path
from typing import Any

from bcnet.data.check.conventions import conventions
from bcnet.data.check.entries import Convention
from bcnet.data.check.fix import fix
from bcnet.data.check.notes import left_out, notes
from bcnet.data.coco import annotation_file
from bcnet.data.coco.annotation_file import Problem
from bcnet.data.coco.images import read_image
from bcnet.data.coco.sizes import proposal
from bcnet.data.sources.image_folders import need_folder
from bcnet.files import InputError, readable, shown, write_json
from bcnet.progress import in_threads

SHOWN = 20  # lines of one kind
LOSS = 0.1  # a copy that has lost a larger share is only written if that is asked for


def check(path: Path, pictures: Path | None, out: Path | None, everything: bool, drop: bool = False) -> None:
    """Print all problems of an annotation file, then notes on what is legal but odd; or write a fixed copy.

    What most entries have in common that is not COCO's way is told first, as a whole.

    Args:
        pictures: the folder of its pictures, which are then decoded too; sizes that fit them follow.
        out: where the fixed copy goes; then the changes are printed, or, if one problem cannot be fixed, those that
            cannot, and nothing is written.
        everything: print all lines instead of `SHOWN` of a kind.
        drop: write the copy even if more than `LOSS` of the annotations or polygons is not in it.

    Raises:
        InputError: there is a problem (with `out`: one that cannot be fixed, or too much would be lost), or `out` is
            the file itself.
    """
    if out and out.exists() and out.samefile(path):
        raise InputError(f"--fix {out}: expected another file than the one that is checked")
    with readable(path):
        content = path.read_bytes()
    data, not_json = annotation_file.parse(path, content)
    if pictures:
        listed = [] if annotation_file.missing_sections(data) else data["images"]
        need_folder(pictures, [image for image in listed if isinstance(image, dict)], "--images ")
    not_json_line = [Problem("file", str(error).removeprefix(f"{path}: "))] if (error := not_json) else []
    if out:
        _write_fixed(path, data, not_json_line, pictures, out, everything, drop)
        return
    whole = _conventions(data)
    for convention in whole:
        print(f"note: {convention.told()}")
    problems = not_json_line + list(annotation_file.problems(data)) + _picture_problems(data, pictures)
    odd = [*left_out(data), *notes(data, pictures, {problem.entry for problem in problems})]
    _print(problems, everything)
    _print(odd, everything, "note: ")
    if problems:
        raise InputError(f"{path}: {_number(problems)}")
    count = len(whole) + len(odd)
    print(f"{path}: nothing wrong, {count} note{'s' * (count != 1)}")
    annotation_file.fill(data)
    if pictures and (lines := proposal(data["images"], data["annotations"])):
        print(f"sizes for params.yaml that fit these images and boxes:\n{lines}")


def _conventions(data: Any) -> list[Convention]:
    return [] if annotation_file.missing_sections(data) else list(conventions(data))


def _write_fixed(
    path: Path,
    data: Any,
    not_json: list[Problem],
    pictures: Path | None,
    out: Path,
    everything: bool,
    drop: bool,
) -> None:
    """Write a fixed copy, and print what was changed; arguments and error as of `check`."""
    for convention in _conventions(data):
        print(f"note: {convention.told()}")
        if convention.stops:
            raise InputError(f"{path}: {out} is not written: what is mended would be wrong")
    fixed = fix(data, pictures)
    if problems := list(annotation_file.problems(data)) + _picture_problems(data, pictures):
        _print(problems, everything)
        raise InputError(f"{path}: {_number(problems)} cannot be fixed, {out} is not written")
    changes = not_json + fixed.changes
    if fixed.annotations and fixed.lost_annotations == fixed.annotations:
        _print(changes, everything)
        raise InputError(f"{path}: all {fixed.annotations} annotations would be lost, {out} is not written")
    if fixed.loss() > LOSS and not drop:
        _print(changes, everything)
        raise InputError(f"{path}: {fixed.lost()} would be lost, {out} is not written (--drop writes it all the same)")
    write_json(out, data)
    _print(changes, everything)
    said = f"{out}: written, {len(changes)} change{'s' * (len(changes) != 1)}"
    print(said + (f", lost: {lost}" if (lost := fixed.lost()) else ""))


def _number(problems: list[Problem]) -> str:
    entries = len({problem.entry for problem in problems})
    return f"{len(problems)} problem{'s' * (len(problems) > 1)} in {entries} {'entries' if entries > 1 else 'entry'}"


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
