"""What a model finds in one picture, as arrays."""

from dataclasses import dataclass

import numpy as np
import torch

from bcnet.data.masks.encoded_masks import EncodedMasks
from bcnet.data.masks.segmentation import encode
from bcnet.inference.views import views_of
from bcnet.models.backbones import BACKBONES
from bcnet.models.detections import Detected, Masks, RoIMaps, Size
from bcnet.weights.model_file import ModelFile

PASTED = 2**26  # pixels of masks that are arrays at a time, a byte each


@dataclass(frozen=True)
class Detections:
    """What a model finds in one picture: N objects, best first."""

    classes: list[int]  # indices into the model's categories
    scores: list[float]
    boxes: np.ndarray  # (N, 4) float32: left, top, right, bottom of the RoI, or of the mask, in the picture
    masks: EncodedMasks  # N masks, each (H, W) bool
    maps: dict[str, np.ndarray]  # (N, S, S) float32 each: probabilities in the box, by names of `MAPS`; may be none
    occluders: EncodedMasks | None = None  # `occluder_mask` in the picture, where it was asked for
    box_scores: list[float] | None = None  # what the boxes are ranked by, where masks have scores of their own


def detect(model: ModelFile, picture: np.ndarray) -> Detections:
    """The detections of one picture, shown in the views that the model's test-time settings ask for.

    Args:
        model: the model; its module is on the device that computes.
        picture: (H, W, 3) uint8, RGB.
    """
    size = picture.shape[0], picture.shape[1]
    predict = model.predict
    views = views_of(picture, predict, BACKBONES[model.variant.backbone].channel_order)
    with torch.inference_mode():
        detected = model.module.detect(views, size)
        masks = _encoded(detected.masks, len(detected.scores), size)
        if detected.boxes is None:
            detected, masks = _boxed(detected, masks)
        assert detected.boxes is not None
        occluders = None
        if predict.occluders and "occluder_mask" in detected.maps:
            maps = RoIMaps(detected.maps["occluder_mask"], detected.boxes)
            occluders = _encoded(maps, len(detected.scores), size)
    return Detections(
        detected.classes.tolist(),
        detected.scores.tolist(),
        detected.boxes.cpu().numpy(),
        masks,
        {name: maps[:, 0].cpu().numpy() for name, maps in detected.maps.items()},
        occluders,
        None if detected.box_scores is None else detected.box_scores.tolist(),
    )


def _encoded(masks: Masks, count: int, size: Size) -> EncodedMasks:
    """N masks in the picture, a few of which are arrays at a time."""
    together = max(1, PASTED // (size[0] * size[1]))
    indices = torch.arange(count)
    rles = []
    for start in range(0, count, together):
        pasted = masks.of(indices[start : start + together]).paste(size).cpu().numpy()
        rles += [encode(mask) for mask in pasted]
    return EncodedMasks(rles, size)


def _boxed(detected: Detected, masks: EncodedMasks) -> tuple[Detected, EncodedMasks]:
    """The detections of a model without boxes, with those around their masks.

    What has a mask without a pixel has no box, and is left out.
    """
    boxes = torch.from_numpy(masks.boxes()).to(detected.scores.device)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
    maps = {name: maps[kept] for name, maps in detected.maps.items()}
    left = Detected(detected.classes[kept], detected.scores[kept], boxes[kept], detected.masks.of(kept), maps)
    rles = [rle for rle, stays in zip(masks.rles, kept.tolist(), strict=True) if stays]
    return left, EncodedMasks(rles, masks.size)
