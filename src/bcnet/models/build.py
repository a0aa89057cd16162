"""From a variant to a model: the tables of detectors and mask heads, and model files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.layers import ShapeSpec, paste_masks_in_image
from detectron2.modeling import FPN, GeneralizedRCNN
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.utils.events import EventStorage
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bcnet.files import InputError, atomic_output
from bcnet.inference.views import detect_in_views, views_of
from bcnet.models.backbones import BACKBONES, pyramid, pyramid_from_p3
from bcnet.models.bilayer import BilayerHead, bilayer_losses
from bcnet.models.faster_rcnn import faster_rcnn
from bcnet.models.fcos import fcos
from bcnet.models.mask_branch import MaskRCNNHead, RoIMaskBranch
from bcnet.models.pointrend import pointrend
from bcnet.params.models import Model, Predict, Variant

MAPS = ("occluder_contour", "occluder_mask", "target_contour", "target_mask")  # in the order of the paper's figures


def _mask_rcnn(variant: Variant, sizes: Model, classes: int) -> nn.Module:
    """detectron2's own: four convolutions, one transposed, a mask for each category."""
    shape = ShapeSpec(channels=sizes.fpn_channels, width=14, height=14)
    masks = 1 if variant.class_agnostic else classes
    return MaskRCNNHead(shape, num_classes=masks, conv_dims=[sizes.fpn_channels] * 5)


def _bcnet(variant: Variant, sizes: Model, classes: int) -> nn.Module:
    head = BilayerHead(sizes.fpn_channels, variant, classes)
    return RoIMaskBranch(head, partial(bilayer_losses, variant=variant))


def _pointrend(variant: Variant, sizes: Model, classes: int) -> nn.Module:
    return pointrend(sizes, 1 if variant.class_agnostic else classes)


@dataclass(frozen=True)
class MaskHead:
    """A method: its name in the literature, and what makes its head, given variant, sizes and number of categories."""

    method: str
    build: Callable[[Variant, Model, int], nn.Module]


MASK_HEADS = {
    "mask_rcnn": MaskHead("Mask R-CNN", _mask_rcnn),
    "bcnet": MaskHead("BCNet", _bcnet),
    "pointrend": MaskHead("PointRend", _pointrend),
}


@dataclass(frozen=True)
class Detector:
    """What makes a detector's backbone with its pyramid, and the model around it and a mask head."""

    pyramid: Callable[[str, int, int], FPN]  # takes backbone, channels, freeze_at
    build: Callable[[FPN, nn.Module, int, Variant, Model, Predict], GeneralizedRCNN]


DETECTORS = {"faster_rcnn": Detector(pyramid, faster_rcnn), "fcos": Detector(pyramid_from_p3, fcos)}


def build(variant: Variant, sizes: Model, predict: Predict, classes: int) -> GeneralizedRCNN:
    """A variant's model with random weights.

    Args:
        variant: detector, backbone and mask head.
        sizes: the `model` section of the parameters.
        predict: the `predict` section.
        classes: number of categories.
    """
    with torch.random.fork_rng(devices=[]):  # so that with one seed all variants start with equal weights elsewhere
        mask_head = MASK_HEADS[variant.mask_head].build(variant, sizes, classes)
    detector = DETECTORS[variant.detector]
    backbone = detector.pyramid(variant.backbone, sizes.fpn_channels, sizes.freeze_at)
    return detector.build(backbone, mask_head, classes, variant, sizes, predict)


@dataclass(frozen=True)
class ModelFile:
    """A trained model and what its file says of it."""

    module: GeneralizedRCNN  # in evaluation mode
    variant: Variant
    predict: Predict
    categories: list[dict[str, Any]]  # COCO's, in the order of the model's classes
    provenance: dict[str, Any]


def save_model(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write a model file.

    Args:
        path: a safetensors file.
        tensors: the model's `state_dict`.
        description: `variant`, `model`, `predict` (those sections as JSON), `categories` and `provenance`.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_output(path) as temporary:
        temporary.write_bytes(save(contiguous, metadata={"bcnet": json.dumps(description)}))


def load_model(path: Path) -> ModelFile:
    """Read a model file and build its model, in evaluation mode on the CPU.

    Raises:
        InputError: missing, not a safetensors file, not one of bcnet's, or of another shape than it says.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = (file.metadata() or {}).get("bcnet")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such model file (`bcnet train` and `bcnet import-weights` make them)") from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    if description is None:
        raise InputError(f"{path}: metadata has no 'bcnet': not a model file of this program")
    try:
        about = json.loads(description)
        variant, predict = Variant.model_validate(about["variant"]), Predict.model_validate(about["predict"])
        sizes, categories, provenance = Model.model_validate(about["model"]), about["categories"], about["provenance"]
    except (
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # not JSON, a part missing, or one that this version does not know
        raise InputError(f"{path}: metadata: not as this version writes it: {' '.join(str(error).split())}") from error
    model = build(variant, sizes, predict, len(categories))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not torch.cuda.is_available():
        model.to(memory_format=torch.channels_last)  # as training; predicting takes 15 to 40 % less time
    return ModelFile(model.eval(), variant, predict, categories, provenance)


def losses_of(model: nn.Module, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    """The losses of a model in training mode, by name.

    Args:
        model: what `build` returns, or its DistributedDataParallel.
        batch: items of `data.loader.TrainingPictures`.
    """
    with EventStorage(0):  # detectron2's heads write statistics to one; nobody reads it
        return model(batch)


@dataclass(frozen=True)
class Detections:
    """What a model finds in one picture: N objects, best first."""

    classes: list[int]  # indices into the model's categories
    scores: list[float]
    boxes: np.ndarray  # (N, 4) float32: left, top, right, bottom of the RoI, in pixels of the picture
    masks: np.ndarray  # (N, H, W) bool
    maps: dict[str, np.ndarray]  # (N, S, S) float32 each: probabilities in the RoI, by the names of the head's maps
    occluders: np.ndarray | None = None  # (N, H, W) bool, `occluder_mask` in the picture, where it was asked for


def detect(model: ModelFile, picture: np.ndarray, predict: Predict) -> Detections:
    """The detections of one picture.

    Args:
        model: the model; its module is on the device that computes.
        picture: (H, W, 3) uint8, RGB.
        predict: the views that the picture is shown in, and whether occluder masks are wanted.

    Returns:
        Detections whose maps are those that the head has; `target_mask` is always among them, and is the one whose
        threshold at 0.5 is the mask.
    """
    height, width = picture.shape[:2]
    views = views_of(picture, predict, BACKBONES[model.variant.backbone].channel_order)
    with torch.inference_mode():
        if len(views) == 1:
            (found,) = model.module.inference([{"image": views[0].image}], do_postprocess=False)
        else:
            nms = predict.fcos.nms if model.variant.detector == "fcos" else predict.nms
            found = detect_in_views(model.module, views, (height, width), nms, predict.detections)
        found.target_mask = found.pred_masks  # which the next line replaces by masks of the picture's size
        found = detector_postprocess(found, height, width).to("cpu")
    maps = {name: found.get(name)[:, 0].numpy() for name in MAPS if found.has(name)}
    occluders = None
    if predict.occluders and found.has("occluder_mask"):
        occluders = paste_masks_in_image(found.occluder_mask[:, 0], found.pred_boxes, (height, width), 0.5).numpy()
    boxes = found.pred_boxes.tensor.numpy()
    masks = found.pred_masks.numpy()
    return Detections(found.pred_classes.tolist(), found.scores.tolist(), boxes, masks, maps, occluders)


def pick_device() -> torch.device:
    """The GPU of this process, or the CPU where there is none.

    On a CPU, numbers below 1e-38 become zero from then on: softmax makes many of them, and with them the attention of
    the non-local blocks is up to eight times slower.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    torch.set_flush_denormal(True)
    return torch.device("cpu")
