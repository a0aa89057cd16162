"""AP of a model in training on a fixed part of val, without any effect on the training."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.coco.images import read_image
from bcnet.data.splits.split import with_amodal_masks
from bcnet.evaluation.metrics.coco_ap import numbers_of
from bcnet.files import InputError, sha256
from bcnet.inference.predict import results
from bcnet.layout import DatasetFiles
from bcnet.models.segmenter import Segmenter
from bcnet.params import Params
from bcnet.training.curve import METRICS
from bcnet.training.key import at_test_time
from bcnet.weights.model_file import ModelFile


class Validation:
    """AP of a variant's model on images of val: `schedule.validate_images` of them, spread evenly over all ids.

    Images have the size of the training, other settings at test time their defaults, as those of the model's file.

    Args:
        params: the run's parameters.
        name: of the variant.
        data: the folder of all datasets.

    Raises:
        InputError: the annotations are missing or wrong, have no amodal masks where the variant's are such, or these
            images have no object.
    """

    def __init__(self, params: Params, name: str, data: Path) -> None:
        files, schedule = DatasetFiles(data / params.dataset), params.schedule_of(name)
        self.variant, self.folder = params.variant(name), files.images("val")
        self.predict = at_test_time(params, name)
        self.path = files.annotations("val")
        content = annotation_file.read(self.path)
        self.content = spread_part(content, schedule.validate_images)
        if self.variant.masks == "amodal":
            self.content["annotations"] = with_amodal_masks(self.path, self.content)
        if all(annotation["iscrowd"] for annotation in self.content["annotations"]):
            raise InputError(f"{self.path}: no object in the {len(self.content['images'])} images for validation")
        self.about: Mapping[str, Any] = {"images": len(self.content["images"]), "annotations_sha256": sha256(self.path)}

    def __call__(self, model: Segmenter, stop: Callable[[], bool] = lambda: False) -> dict[str, float | None] | None:
        """AP, AP50 and AP75 of masks, 0 to 1, None: undefined; None for all where `stop` says so before an image.

        A copy of the model predicts, so that neither modes nor what layers remember change; nor do random numbers.
        """
        device = next(model.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            own = copy.deepcopy(model).eval()
            file = ModelFile(own, self.variant, self.predict, self._categories(), {})
            entries = []
            for image in self.content["images"]:
                if stop():
                    return None
                picture = read_image(self.folder / image["file_name"], (image["height"], image["width"]))
                entries += results(file, picture, image["id"])
        return ap(entries, self.content, self.path)

    def _categories(self) -> list[dict[str, Any]]:
        """In the order of the model's classes, as the training has them."""
        return sorted(self.content["categories"], key=lambda category: category["id"])


def spread_part(content: dict[str, Any], images: int) -> dict[str, Any]:
    """So many images of an annotation file, spread evenly over all by rising id, with their annotations."""
    entries = sorted(content["images"], key=lambda image: image["id"])
    count = min(images, len(entries))
    chosen = [entries[place * len(entries) // count] for place in range(count)]
    ids = {image["id"] for image in chosen}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in ids]
    return {**content, "images": chosen, "annotations": annotations}


def ap(entries: list[dict[str, Any]], content: dict[str, Any], path: Path) -> dict[str, float | None]:
    """METRICS of predicted masks on annotations, 0 to 1, None: undefined.

    Args:
        entries: in COCO's result format.
        content: of an annotation file.
        path: what errors call the predictions.
    """
    numbers = numbers_of(prediction_file.of_entries(path, entries, content), content)["segm"]
    return {name: numbers[name] for name in METRICS}
