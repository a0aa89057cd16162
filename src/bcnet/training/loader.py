"""From pictures and bilayer annotations to what detectron2's models take."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from torch.nn import functional as F
from torch.utils.data import Dataset

from bcnet.data.coco import annotation_file, stream
from bcnet.data.coco.images import read_image
from bcnet.data.masks.segmentation import decode
from bcnet.data.occlusion.layers import LAYERS, Masks
from bcnet.files import InputError, readable, sha256
from bcnet.models.masks.object_masks import ObjectMasks
from bcnet.models.model_input import picture_tensor, resized
from bcnet.params.models import Schedule
from bcnet.progress import progress

Key = tuple[int, int, int]  # iteration, position in its batch, index of the picture
MaskTargets = Literal["bitmaps", "polygons"]


class TrainingPictures(Dataset[dict[str, Any]]):
    """Pictures with at least one object, augmented; what is drawn is a function of (seed, iteration, position) alone.

    Annotations stay in their file: all processes of a training read them from the one copy that the system keeps.

    Args:
        annotations: a bilayer file.
        images: the folder that its `file_name`s are relative to.
        schedule: sizes and flips.
        seed: of the augmentation.
        channel_order: `RGB` or `BGR`.
        masks: what target and occluder are: `visible`, without the objects that are visible nowhere, or `amodal`.
        mask_targets: how a mask head's target is cut out of an object's mask: from its `bitmaps`, or with `polygons`
            drawn anew in each RoI, as detectron2's configurations and the released code do. Occluders are bitmaps.
        occluders: whether items have occluder masks, which only some methods learn.

    Raises:
        InputError: the file was not converted, has no amodal masks or no polygons where they are asked for, or no
            object to train on.
    """

    def __init__(
        self,
        annotations: Path,
        images: Path,
        schedule: Schedule,
        seed: int,
        channel_order: str,
        masks: Masks = "visible",
        mask_targets: MaskTargets = "bitmaps",
        occluders: bool = True,
    ) -> None:
        self.images, self.schedule, self.seed, self.channel_order = images, schedule, seed, channel_order
        self.annotations, self.masks, self.mask_targets, self.occluders = annotations, masks, mask_targets, occluders
        with readable(annotations):
            self.file = annotations.open("rb")  # open as long as this is: what replaces the file is another one
        content = stream.read(annotations)
        self.categories: list[dict[str, Any]] = sorted(content.head["categories"], key=lambda category: category["id"])
        self.classes = {category["id"]: index for index, category in enumerate(self.categories)}
        self.entries: list[bytes] = []  # of the pictures, as JSON: worker processes would copy dicts page by page
        places: list[int] = []
        ends = [0]
        for image in progress(content.head["images"], f"read {annotations}"):
            of_image = content.by_image.get(image["id"], [])
            if self._objects(image, [content.texts[place] for place in of_image]):
                # copied, since what orjson gives keeps a buffer of several times its size
                self.entries.append(bytes(memoryview(orjson.dumps(image))))
                places += of_image
                ends.append(len(places))
        if not self.entries:
            raise InputError(f"{annotations}: annotations: none to train on, expected an object that is not a crowd")
        self.spans = stream.spans(content)[places]  # of the annotations in the file, picture by picture
        self.ends = np.array(ends)  # those of a picture are between two of these

    def __len__(self) -> int:
        return len(self.entries)

    def record(self, index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The entry of a picture, and what training needs of each of its objects.

        Raises:
            InputError: the file has been written over.
        """
        image = orjson.loads(self.entries[index])
        spans = self.spans[self.ends[index] : self.ends[index + 1]].tolist()
        return image, self._objects(image, [os.pread(self.file.fileno(), stop - start, start) for start, stop in spans])

    def _objects(self, image: dict[str, Any], texts: Sequence[Any]) -> list[dict[str, Any]]:
        """What training needs of the annotations of a picture, from their texts."""
        found = stream.parse(self.annotations, image, texts, self.classes)
        objects = [_object(a, self.annotations, self.masks, self.mask_targets, self.classes) for a in found]
        return [one for one in objects if one is not None]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """`image` (3, H, W) uint8 and `instances` with boxes, classes, masks and any occluder masks at that size.

        Raises:
            InputError: the picture is missing or corrupt, or not the one whose SHA-256 its image entry has.
        """
        iteration, position, index = key
        record, objects = self.record(index)
        rng = np.random.default_rng((self.seed, iteration, position))
        short_side, flip = _short_side(self.schedule, rng), rng.random() < self.schedule.flip
        height, width = record["height"], record["width"]
        size = resized(height, width, short_side, self.schedule.max_side)

        path = self.images / record["file_name"]
        if "sha256" in record and sha256(path) != record["sha256"]:
            raise InputError(
                f"{path}: expected sha256 {record['sha256']}: not the image that was annotated, create it again"
            )
        picture = read_image(path, (height, width))
        boxes = torch.tensor([o["bbox"] for o in objects], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        boxes *= torch.tensor([size[1] / width, size[0] / height] * 2)
        image = picture_tensor(picture, size, self.channel_order)
        if flip:
            image = image.flip(-1)
            boxes[:, [0, 2]] = size[1] - boxes[:, [2, 0]]
        of_masks = _polygons if self.mask_targets == "polygons" else _bitmaps

        instances = Instances(size)
        instances.gt_boxes = Boxes(boxes)
        instances.gt_boxes.clip(size)
        instances.gt_classes = torch.tensor([o["class"] for o in objects])
        instances.gt_masks = of_masks([o["segmentation"] for o in objects], (height, width), size, flip)
        if self.occluders:
            instances.gt_occluder_masks = _bitmaps([o["occluder"] for o in objects], (height, width), size, flip)
        return {"image": image, "instances": instances[instances.gt_boxes.nonempty(1e-5)]}


def _short_side(schedule: Schedule, rng: np.random.Generator) -> int:
    """The short side of an image, in pixels, drawn as the schedule says."""
    if schedule.short_side_sampling == "range":
        return int(rng.integers(min(schedule.short_side), max(schedule.short_side), endpoint=True))
    return int(rng.choice(schedule.short_side))


def _object(
    annotation: dict[str, Any], path: Path, masks: Masks, mask_targets: MaskTargets, classes: dict[int, int]
) -> dict[str, Any] | None:
    """What training needs of an annotation; None if it is not trained on."""
    where = f"{path}: annotation {annotation['id']}"
    box, mask, occluder = LAYERS[masks]
    if mask not in annotation:
        raise InputError(f"{where}: no {mask!r}: `masks: amodal` needs data that has it on every annotation")
    if occluder not in annotation:
        raise InputError(f"{where}: no {occluder!r}: run `bcnet convert` first")
    hidden = masks == "visible" and annotation_file.hidden(annotation)
    if hidden or annotation["iscrowd"] or min(annotation[box][2:]) <= 0:
        return None
    if mask_targets == "polygons" and not isinstance(annotation[mask], list):
        raise InputError(f"{where}: {mask} is RLE: expected polygons for `mask_targets: polygons`, or use bitmaps")
    shape = {"bbox": annotation[box], "segmentation": annotation[mask], "occluder": annotation[occluder]}
    return {**shape, "class": classes[annotation["category_id"]]}


def _bitmaps(segmentations: Sequence[Any], original: tuple[int, int], size: tuple[int, int], flip: bool) -> ObjectMasks:
    """COCO segmentations (None: empty) as (N, *size) bool, resized to the nearest pixel, mirrored where `flip`."""
    decoded = np.zeros((len(segmentations), *original), np.uint8)
    for mask, segmentation in zip(decoded, segmentations, strict=True):
        if segmentation is not None:
            mask[:] = decode(segmentation, *original)
    masks = torch.from_numpy(decoded)
    if size != original:
        masks = F.interpolate(masks[:, None], size, mode="nearest-exact")[:, 0]
    return ObjectMasks((masks.flip(-1) if flip else masks).bool())


def _polygons(
    segmentations: Sequence[list[list[float]]], original: tuple[int, int], size: tuple[int, int], flip: bool
) -> PolygonMasks:
    """COCO polygons in pixels of a picture of that size, mirrored where `flip`."""
    scale = np.array([size[1] / original[1], size[0] / original[0]])
    objects = []
    for polygons in segmentations:
        points = [np.asarray(polygon, np.float64).reshape(-1, 2) * scale for polygon in polygons]
        if flip:
            points = [np.stack([size[1] - xy[:, 0], xy[:, 1]], axis=1) for xy in points]
        objects.append([xy.ravel() for xy in points])
    return PolygonMasks(objects)
