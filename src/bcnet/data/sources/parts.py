"""The parts of one dataset compared: a model that is trained on one is evaluated on another."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.sources.image_hashes import read_hashes
from bcnet.files import InputError, shown
from bcnet.layout import DatasetFiles
from bcnet.progress import in_threads, note

Categories = Iterable[dict[str, Any]]
THUMBNAIL, BOX = (16, 16), Image.Resampling.BOX
ALIKE = 2.0  # mean difference of thumbnails, of 255 grey levels; JPEG of quality 10 makes 1, half the size 0.5


def read_visible(path: Path) -> dict[str, Any]:
    """Read a COCO-format file whose masks are those of what is seen.

    Raises:
        InputError: as `annotation_file.read`, or a mask is amodal, which a key beside it tells.
    """
    data = annotation_file.read(path)
    if count := sum(map(annotation_file.is_outside, data["annotations"])):
        what = f"{count} annotations are marked as outside: no object is there (`bcnet check --fix` removes them)"
        note(f"bcnet fetch: {path}: {what}")
    for annotation in data["annotations"]:
        for keys, source in annotation_file.AMODAL.items():
            if annotation.keys() >= set(keys):
                what = f"annotation {annotation['id']} has {keys[0]!r}: its segmentation is amodal"
                raise InputError(f"{path}: {what}: use source: {source} (or take the key away)")
    return data


def check_categories(train: Path, of_train: Categories, val: Path, of_val: Categories) -> None:
    """See that both parts have the same categories under the same ids.

    Args:
        train, val: their annotation files, for errors.
        of_train, of_val: their categories, checked.

    Raises:
        InputError: a category is missing in one, or has another id or name there.
    """
    ours, theirs = ({category["id"]: category["name"] for category in part} for part in (of_train, of_val))
    ids = {name: key for key, name in ours.items()}
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) == theirs.get(key):
            continue
        if key not in theirs:
            what = f"no category {key}, which is {shown(ours[key])} in {train}"
        elif (name := theirs[key]) in ids:
            what = f"category {key} is {shown(name)}, which has id {ids[name]} in {train}"
        else:
            what = (
                f"category {key} is {shown(name)}, {'not in' if key not in ours else f'{shown(ours[key])} in'} {train}"
            )
        raise InputError(f"{val}: {what}: expected the same ids and names in all parts")


def note_shared_images(files: DatasetFiles, first: str, second: str) -> None:
    """Say on stderr how many pictures are the same in two parts, whatever their files are called.

    Files of one name and other content are the same picture if they look so: copies may be saved again, or resized.
    Names alone tell nothing, since the frames of every video are numbered from 0.
    """
    ours, theirs = (read_hashes(files.image_hashes(part)) for part in (first, second))
    names = {digest: file for file, digest in ours.items()}
    shared = [(file, names[digest]) for file, digest in theirs.items() if digest in names]
    what = f"images of {second} are in {first} too"
    _note_shared(files, shared, what, second)
    namesakes = [
        (file, other)
        for file, digest in theirs.items()
        if digest not in names and (other := first + file.removeprefix(second)) in ours
    ]
    alike = in_threads(lambda pair: _look_alike(files, *pair), namesakes, f"compare {second} with {first}")
    again = [pair for pair, same in zip(namesakes, alike, strict=True) if same]
    _note_shared(files, again, f"{what}, saved again or resized, by their names and looks", second)


def _look_alike(files: DatasetFiles, *pair: str) -> bool:
    first, second = (
        np.asarray(Image.fromarray(read_image(files.images("") / file)).convert("L").resize(THUMBNAIL, BOX), float)
        for file in pair
    )
    return float(np.abs(first - second).mean()) < ALIKE


def _note_shared(files: DatasetFiles, shared: list[tuple[str, str]], what: str, second: str) -> None:
    if shared:
        example = f"{shared[0][0]} is {shared[0][1]}"
        line = f"{len(shared)} {what} ({example}): numbers on {second} come out too high"
        note(f"bcnet fetch: {files.folder}: {line}")
