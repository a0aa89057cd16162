"""Test-time augmentation: one picture shown to a detector in several sizes, and mirrored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from detectron2.layers import batched_nms
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from torch import Tensor

from bcnet.params.models import Predict
from bcnet.training.loader import picture_tensor, resized


class View(NamedTuple):
    """A picture in the size that a model sees, and perhaps mirrored left to right."""

    image: Tensor  # (3, h, w) uint8
    flipped: bool


def views_of(picture: np.ndarray, predict: Predict, channel_order: str) -> list[View]:
    """The views of a picture that the parameters ask for.

    Args:
        picture: (H, W, 3) uint8, RGB.
        predict: short sides and flip; `max_side` is that of the view with `short_side` and grows with the others.
        channel_order: `RGB` or `BGR`.
    """
    height, width = picture.shape[:2]
    views = []
    for side in (predict.short_side, *predict.extra_short_sides):
        size = resized(height, width, side, predict.max_side * side / predict.short_side)
        image = picture_tensor(picture, size, channel_order)
        views.append(View(image, flipped=False))
        if predict.flip:
            views.append(View(image.flip(-1), flipped=True))
    return views


def detect_in_views(
    model: GeneralizedRCNN, views: Sequence[View], size: tuple[int, int], nms: float, detections: int
) -> Instances:
    """Detections of all views of one picture, merged: boxes by NMS, then the maps in them by their mean.

    The views' boxes, chosen in each by the detector's own thresholds, are brought to the picture, and of those of one
    category that overlap the best remains, with its score. For these boxes the mask branch gives its maps on the
    features of every view; their probabilities are averaged. (The procedure of detectron2's `GeneralizedRCNNWithTTA`,
    which is tied to its configuration files and returns masks alone, already pasted.) Views are taken one after the
    other, twice each, so that memory is a single view's.

    Args:
        model: any detector of `build`, in evaluation mode.
        views: of the picture, at least one.
        size: (height, width) of the picture.
        nms: IoU above which of two boxes of a category the lower is dropped.
        detections: at most.

    Returns:
        What `model.inference` gives without postprocessing, best first and in the coordinates of the picture:
        `pred_boxes`, `scores`, `pred_classes`, and `pred_masks` and the other maps (N, 1, S, S), probabilities.
    """
    found = []
    for view in views:
        with _without_masks(model):
            (seen,) = model.inference([{"image": view.image}], do_postprocess=False)
        boxes = Boxes(_mirrored(seen.pred_boxes.tensor, view) * _scale(size, view).to(seen.scores.device))
        found.append(Instances(size, pred_boxes=boxes, scores=seen.scores, pred_classes=seen.pred_classes))
    together = Instances.cat(found)
    boxes = together.pred_boxes.tensor
    merged = together[batched_nms(boxes, together.scores, together.pred_classes, nms)[:detections]]

    sums: dict[str, Tensor] = {}
    for view in views:
        boxes = merged.pred_boxes.tensor / _scale(size, view).to(merged.scores.device)
        given = Instances(view.image.shape[1:], pred_boxes=Boxes(_mirrored(boxes, view)))
        given.pred_classes = merged.pred_classes
        (seen,) = model.inference([{"image": view.image}], [given], do_postprocess=False)
        for name, maps in seen.get_fields().items():
            if name not in ("pred_boxes", "pred_classes"):
                sums[name] = sums.get(name, 0) + (maps.flip(-1) if view.flipped else maps)
    for name, total in sums.items():
        merged.set(name, total / len(views))
    return merged


@contextmanager
def _without_masks(model: GeneralizedRCNN) -> Iterator[None]:
    """The model gives boxes only: its mask head would take most of the time."""
    model.roi_heads.mask_on = False
    try:
        yield
    finally:
        model.roi_heads.mask_on = True


def _scale(size: tuple[int, int], view: View) -> Tensor:
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
