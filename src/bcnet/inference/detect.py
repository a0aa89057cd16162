"""What a model finds in one picture, as arrays."""

from dataclasses import dataclass

import numpy as np
import torch

from bcnet.inference.views import views_of
from bcnet.models.backbones import BACKBONES
from bcnet.models.detections import RoIMaps
from bcnet.weights.model_file import ModelFile


@dataclass(frozen=True)
class Detections:
    """What a model finds in one picture: N objects, best first."""

    classes: list[int]  # indices into the model's categories
    scores: list[float]
    boxes: np.ndarray  # (N, 4) float32: left, top, right, bottom of the RoI, or of the mask, in the picture
    masks: np.ndarray  # (N, H, W) bool
    maps: dict[str, np.ndarray]  # (N, S, S) float32 each: probabilities in the box, by names of `MAPS`; may be none
    occluders: np.ndarray | None = None  # (N, H, W) bool, `occluder_mask` in the picture, where it was asked for
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
        detected, masks = detected.boxed(detected.masks.paste(size))
        assert detected.boxes is not None
        occluders = None
        if predict.occluders and "occluder_mask" in detected.maps:
            occluders = RoIMaps(detected.maps["occluder_mask"], detected.boxes).paste(size).cpu().numpy()
    return Detections(
        detected.classes.tolist(),
        detected.scores.tolist(),
        detected.boxes.cpu().numpy(),
        masks.cpu().numpy(),
        {name: maps[:, 0].cpu().numpy() for name, maps in detected.maps.items()},
        occluders,
        None if detected.box_scores is None else detected.box_scores.tolist(),
    )
