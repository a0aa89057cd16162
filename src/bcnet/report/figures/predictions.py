"""The predictions of some images of a result file, as `bcnet evaluate` refers to them."""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bcnet.files import InputError

Annotations = Sequence[dict[str, Any]]  # entries of a COCO file's `annotations`, or of a result file


class _Entry(msgspec.Struct):
    """A prediction of a result file, its mask not read yet."""

    image_id: int
    category_id: int
    score: float
    segmentation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class ImagePredictions:
    """Of each image its predictions in the order of the file."""

    file: Path
    by_image: dict[int, list[dict[str, Any]]]

    @property
    def are_boxes(self) -> bool:
        """Whether they have no masks; an image without predictions does not say."""
        return any("segmentation" not in entries[0] for entries in self.by_image.values() if entries)

    def at(self, image_id: int, place: int) -> dict[str, Any]:
        """The prediction at a place, from 0, among those of its image.

        Raises:
            InputError: there are fewer: the file is not the one that was evaluated.
        """
        entries = self.by_image[image_id]
        if place >= len(entries):
            raise InputError(
                f"{self.file}: {len(entries)} predictions of image {image_id}, expected more than {place}: the tables"
                " of objects belong to other predictions, run `bcnet evaluate` again"
            )
        return entries[place]


def predictions_of(path: Path, image_ids: Collection[int]) -> ImagePredictions:
    """The predictions of these images.

    Raises:
        InputError: the file is no result file.
    """
    return ImagePredictions(path, by_image(read_predictions(path, image_ids), image_ids))


def read_predictions(path: Path, image_ids: Container[int]) -> list[dict[str, Any]]:
    """The predictions of these images in a result file, in its order, as they are written but for other keys.

    Raises:
        InputError: it is no result file.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: expected COCO's result format, a list of predictions: {error}") from error
    entries = []
    for read in file:
        if read.image_id not in image_ids:
            continue
        entry = {"image_id": read.image_id, "category_id": read.category_id, "score": read.score}
        if read.segmentation is not msgspec.UNSET:
            entry["segmentation"] = msgspec.json.decode(read.segmentation)
        entries.append(entry)
    return entries


def by_image(entries: Annotations, image_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The annotations or predictions of each of these images, in file order."""
    parts: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in image_ids}
    for entry in entries:
        if entry["image_id"] in parts:
            parts[entry["image_id"]].append(entry)
    return parts
