"""A detector with a mask branch: boxes first, then the masks in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.layers import batched_nms
from detectron2.modeling import FPN, GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from bcnet.models.backbones import BACKBONES
from bcnet.models.detections import MAPS, Detected, RoIMaps, Size, View, WholePixelMaps
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params.variants import Variant


class RoISegmenter(GeneralizedRCNN, Segmenter):
    """detectron2's GeneralizedRCNN as a `Segmenter`.

    Args:
        spec: of the model.
        backbone: with its pyramid.
        proposal_generator, roi_heads: detectron2's, or what takes their place. The mask branch at `roi_heads.mask_head`
            gives instances the field `pred_masks`, (N, 1, S, S) probabilities in `pred_boxes`, and may give them any of
            `MAPS` besides, and other `scores`; `box_scores` are then what these were.
        nms: IoU above which of two boxes of a category, found in different views, the lower is dropped.
    """

    inference: Any  # detectron2 has no type information
    roi_heads: Any

    def __init__(
        self, spec: Spec[Variant], backbone: FPN, proposal_generator: nn.Module, roi_heads: nn.Module, nms: float
    ) -> None:
        pictures = BACKBONES[spec.variant.backbone]
        super().__init__(
            backbone=backbone,
            proposal_generator=proposal_generator,
            roi_heads=roi_heads,
            pixel_mean=spec.conventions.pixel_mean or pictures.pixel_mean,
            pixel_std=pictures.pixel_std,
            input_format=pictures.channel_order,
        )
        self.nms, self.detections, self.conventions = nms, spec.predict.detections, spec.conventions

    def forward(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The losses of a batch: items of `training.loader.TrainingPictures`."""
        with EventStorage(0):  # detectron2's heads write statistics to one; nobody reads it
            losses: dict[str, Tensor] = GeneralizedRCNN.forward(self, batch)
        return losses

    def detect(self, views: Sequence[View], size: Size) -> Detected:
        """The detections of a picture of that size; of several views, merged as in `_merged`."""
        with self._decoding(size):
            if len(views) == 1:
                (instances,) = self.inference([{"image": views[0].image}], do_postprocess=False)
            else:
                instances = self._merged(views, size)
        boxes = self.conventions.resized(instances.pred_boxes, instances.image_size, size)
        boxes.clip(size)
        instances.pred_boxes = boxes
        instances = instances[boxes.nonempty()]
        instances = instances[instances.scores.argsort(descending=True, stable=True)]
        boxes, masks = instances.pred_boxes.tensor, instances.pred_masks
        fields = {**instances.get_fields(), "target_mask": masks}
        maps = {name: fields[name] for name in MAPS if name in fields}
        pasted = WholePixelMaps if self.conventions.last_pixel else RoIMaps
        return Detected(
            instances.pred_classes, instances.scores, boxes, pasted(masks, boxes), maps, fields.get("box_scores")
        )

    def _merged(self, views: Sequence[View], size: Size) -> Instances:
        """Detections of all views of one picture: boxes by NMS, then the maps in them by their mean.

        The views' boxes, chosen in each by the detector's own thresholds, are brought to the picture, and of those of
        one category that overlap the best remains, with its score. For these boxes the mask branch gives its maps on
        the features of every view; their probabilities are averaged. (The procedure of detectron2's
        `GeneralizedRCNNWithTTA`, which is tied to its configuration files and returns masks alone, already pasted.)
        Views are taken one after the other, twice each, so that memory is a single view's.

        Returns:
            What `inference` gives without postprocessing, best first and in the coordinates of the picture.
        """
        by_view = []
        for view in views:
            with self._without_masks():
                (seen,) = self.inference([{"image": view.image}], do_postprocess=False)
            boxes = Boxes(_mirrored(seen.pred_boxes.tensor, view) * _scale(size, view).to(seen.scores.device))
            by_view.append(Instances(size, pred_boxes=boxes, scores=seen.scores, pred_classes=seen.pred_classes))
        together = Instances.cat(by_view)
        boxes = together.pred_boxes.tensor
        kept = batched_nms(boxes, together.scores, together.pred_classes, self.nms)[: self.detections]
        merged = together[kept]

        sums: dict[str, Tensor] = {}
        changes: list[Tensor] = []
        for view in views:
            boxes = merged.pred_boxes.tensor / _scale(size, view).to(merged.scores.device)
            given = Instances(view.image.shape[1:], pred_boxes=Boxes(_mirrored(boxes, view)))
            given.pred_classes, given.scores = merged.pred_classes, merged.scores
            (seen,) = self.inference([{"image": view.image}], [given], do_postprocess=False)
            for name in ("pred_masks", *MAPS):
                if seen.has(name):
                    maps = seen.get(name)
                    sums[name] = sums.get(name, 0) + (maps.flip(-1) if view.flipped else maps)
            changes.append(seen.scores - merged.scores)  # zero, but for mask branches that score their masks
        for name, total in sums.items():
            merged.set(name, total / len(views))
        if seen.has("box_scores"):
            merged.box_scores = merged.scores
        merged.scores = merged.scores + torch.stack(changes).mean(0)
        return merged

    @contextmanager
    def _decoding(self, size: Size) -> Iterator[None]:
        """The box head computes boxes in the pixels of a picture of that size, where the conventions have it so."""
        if not self.conventions.decoded_in_picture:
            yield
            return
        self.roi_heads.box_predictor.picture = size
        try:
            yield
        finally:
            self.roi_heads.box_predictor.picture = None

    @contextmanager
    def _without_masks(self) -> Iterator[None]:
        """The model gives boxes only: its mask branch would take most of the time."""
        self.roi_heads.mask_on = False
        try:
            yield
        finally:
            self.roi_heads.mask_on = True


def _scale(size: Size, view: View) -> Tensor:
    """What a box in a view is multiplied by to be one in the picture."""
    height, width = view.image.shape[1:]
    return torch.tensor([size[1] / width, size[0] / height] * 2)


def _mirrored(boxes: Tensor, view: View) -> Tensor:
    """Boxes of a flipped view as of one that is not, and the other way round: (N, 4) in its pixels."""
    if not view.flipped:
        return boxes
    left, top, right, bottom = boxes.unbind(1)
    width = view.image.shape[2]
    return torch.stack([width - right, top, width - left, bottom], dim=1)
