"""A model whose masks are of the whole picture: what methods without RoIs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import FPN
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor

from bcnet.models.backbones import BACKBONES
from bcnet.models.detections import Detected, Size, View
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params.variants import Variant


class ImageSegmenter(Segmenter, ABC):
    """A `Segmenter` that sees each picture once: normalised and padded pictures, and the features of their pyramid.

    Args:
        spec: of the model.
        backbone: with its pyramid.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, spec: Spec[Variant], backbone: FPN) -> None:
        super().__init__()
        self.backbone, self.conventions = backbone, spec.conventions
        self.conventions.prepare(backbone)
        pictures = BACKBONES[spec.variant.backbone]
        mean = self.conventions.pixel_mean or pictures.pixel_mean
        self.register_buffer("pixel_mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pictures.pixel_std).view(-1, 1, 1), persistent=False)

    @abstractmethod
    def losses(self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]) -> dict[str, Tensor]:
        """The losses of a batch, by name.

        Args:
            images: (N, 3, H, W) normalised, and the sizes of the pictures in it before padding.
            features: (N, C, H / stride, W / stride) of each level of the pyramid.
            targets: the objects of each picture, with `gt_boxes`, `gt_classes`, `gt_masks` and `gt_occluder_masks`.
        """

    @abstractmethod
    def find(self, images: ImageList, features: dict[str, Tensor]) -> Detected:
        """The detections of a batch of one picture, best first, in the pixels of what the model sees.

        Boxes may leave the picture: `detect` cuts them, and drops those that are outside of it.

        Args:
            images, features: as of `losses`.
        """

    def forward(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The losses of a batch: items of `training.loader.TrainingPictures`."""
        images = self._normalised([item["image"] for item in batch])
        targets = [item["instances"].to(self.pixel_mean.device) for item in batch]
        return self.losses(images, self.backbone(images.tensor), targets)

    def detect(self, views: Sequence[View], size: Size) -> Detected:
        """The detections of a picture of that size in its single view."""
        (view,) = views
        images = self._normalised([view.image])
        detected = self.find(images, self.backbone(images.tensor))
        if detected.boxes is None:
            return detected
        height, width = view.image.shape[1:]
        boxes = self.conventions.scaled(Boxes(detected.boxes), size[1] / width, size[0] / height).tensor
        boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([size[1], size[0]] * 2))
        kept = Boxes(boxes).nonempty().nonzero()[:, 0]
        kept = kept[detected.scores[kept].argsort(descending=True, stable=True)]
        boxes = boxes[kept]
        maps = {name: values[kept] for name, values in detected.maps.items()}
        box_scores = None if detected.box_scores is None else detected.box_scores[kept]
        return Detected(
            detected.classes[kept], detected.scores[kept], boxes, detected.masks.of(kept, boxes), maps, box_scores
        )

    def _normalised(self, pictures: list[Tensor]) -> ImageList:
        """Pictures (3, h, w) uint8, padded with zeros so that every level has whole cells."""
        normalised = [(picture.to(self.pixel_mean.device) - self.pixel_mean) / self.pixel_std for picture in pictures]
        return ImageList.from_tensors(normalised, self.backbone.size_divisibility)
