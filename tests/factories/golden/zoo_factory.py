"""Models of detectron2's zoo and this project's in their sizes, weights by a formula, and pictures to train on."""

import math
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, build_model
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from model_factory import build
from places import ROOT
from ruamel.yaml import YAML
from torch import Tensor, nn

from bcnet.models.package_modules import without_init
from bcnet.params import methods
from bcnet.params.models import Model, Predict

CLASSES = 80  # COCO's
Masks = Literal["polygons", "bitmasks"]


def zoo_configuration(pointrend: bool) -> CfgNode:
    """Of Mask R-CNN R50-FPN, or of PointRend R50-FPN, both with the 3x schedule."""
    cfg: CfgNode = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    if pointrend:  # projects/PointRend/configs/InstanceSegmentation/Base-PointRend-RCNN-FPN.yaml
        with without_init("detectron2.projects.point_rend"):
            from detectron2.projects.point_rend import mask_head, roi_heads  # noqa: F401  they register themselves
            from detectron2.projects.point_rend.config import add_pointrend_config

        add_pointrend_config(cfg)
        cfg.MODEL.ROI_HEADS.NAME = "PointRendROIHeads"
        cfg.MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES = True
        cfg.MODEL.ROI_MASK_HEAD.merge_from_other_cfg(
            CfgNode(
                {
                    "NAME": "PointRendMaskHead",
                    "POOLER_TYPE": "",
                    "FC_DIM": 1024,
                    "NUM_FC": 2,
                    "OUTPUT_SIDE_RESOLUTION": 7,
                    "IN_FEATURES": ["p2"],
                    "POINT_HEAD_ON": True,
                }
            )
        )
        cfg.MODEL.POINT_HEAD.merge_from_other_cfg(CfgNode({"FC_DIM": 256, "NUM_FC": 3, "IN_FEATURES": ["p2"]}))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def zoo_model(pointrend: bool) -> GeneralizedRCNN:
    """detectron2's own model by its own configuration, in training mode."""
    return build_model(zoo_configuration(pointrend)).train()


SOFTER = {  # or the first losses are far from those of a training, and its updates overshoot
    "proposal_generator.rpn_head.anchor_deltas.weight": 0.1,
    "proposal_generator.rpn_head.objectness_logits.weight": 0.1,
    "roi_heads.box_predictor.cls_score.weight": 0.05,
}


def weight(name: str, shape: torch.Size, factor: float) -> Tensor:
    """A tensor that its name determines, with which signals neither vanish nor explode, times a factor if no vector."""
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if name.endswith("running_mean"):
        return 0.05 * normal
    if len(shape) >= 2:
        return normal / math.sqrt(math.prod(shape[1:])) * factor
    return 1 + 0.05 * normal if name.endswith("weight") else 0.02 * normal


def fill(model: nn.Module, softer: Mapping[str, float] = SOFTER) -> None:
    """Give every tensor of the model the value that belongs to its name."""
    for name, tensor in model.state_dict().items():  # which share their memory with the model
        tensor.copy_(weight(name, tensor.shape, softer.get(name, 1.0)))


def our_model(method: str) -> GeneralizedRCNN:
    """This project's, in the sizes of the preset for COCO."""
    preset = YAML(typ="safe").load(ROOT / "presets/coco.yaml")
    sizes, predict = Model.model_validate(preset["model"]), Predict.model_validate(preset["predict"])
    variant = methods.variant(detector="faster_rcnn", backbone="resnet50", method=method)
    model = build(variant, sizes, predict, CLASSES).train()
    fill(model)
    return model


def objects_of(
    height: int, width: int, classes: list[int], polygons: list[list[np.ndarray]], masks: Masks
) -> Instances:
    """Objects as detectron2's mapper makes them of polygons (each object's: flat, in pixels)."""
    corners = [np.concatenate(parts).reshape(-1, 2) for parts in polygons]
    boxes = np.stack([np.concatenate([each.min(0), each.max(0)]) for each in corners])
    objects = Instances((height, width))
    objects.gt_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32))
    objects.gt_classes = torch.tensor(classes)
    if masks == "polygons":
        objects.gt_masks = PolygonMasks(polygons)
    else:
        objects.gt_masks = BitMasks.from_polygon_masks(polygons, height, width)
    return objects


def item(seed: int, height: int, width: int, objects: int, masks: Masks) -> dict[str, Any]:
    """A picture of noise with objects of many corners, of all sizes, that overlap."""
    random = np.random.default_rng(seed)
    polygons = []
    for _ in range(objects):
        radii = np.exp(random.uniform(math.log(8), math.log(height / 3), 2))
        angles = np.arange(0, 2 * math.pi, 0.3)
        centre = random.uniform([0.2 * width, 0.2 * height], [0.8 * width, 0.8 * height])
        ring = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii * random.uniform(0.8, 1, (len(angles), 1))
        polygons.append([ring.clip(0, [width, height]).reshape(-1)])
    classes = random.integers(0, 80, objects).tolist()
    image = torch.from_numpy(random.integers(0, 255, (3, height, width), dtype=np.uint8))
    return {"image": image, "instances": objects_of(height, width, classes, polygons, masks)}
