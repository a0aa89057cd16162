"""Small models of SOLOv2."""

from typing import Any

import torch

from bcnet import methods
from bcnet.methods.solov2 import SOLOv2Model
from bcnet.models.segmenter import Spec
from bcnet.params.entries.solov2 import SOLOv2
from bcnet.params.models import Model, Predict, SOLOv2Predict

EVERYTHING = Predict(short_side=64, max_side=64, score_threshold=0, solov2=SOLOv2Predict(score_threshold=0))


def model(classes: int = 80, channels: int = 256, predict: Predict = EVERYTHING, **keys: Any) -> SOLOv2Model:
    torch.manual_seed(0)
    variant = SOLOv2(method="solov2", backbone="efficientnet_lite0", **keys)
    return methods.build(Spec(variant, Model(fpn_channels=channels), predict, classes))
