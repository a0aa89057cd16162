"""CondInst in the table of methods."""

from typing import Literal

from pydantic import Field

from bcnet.params.method import Method, Official
from bcnet.params.models import FcosPredict
from bcnet.params.variants import OnFcos


class CondInst(OnFcos):
    """CondInst; the defaults are those of its authors' configuration."""

    method: Literal["condinst"]
    layers: int = Field(3, ge=1, le=64)  # 1x1 convolutions of the head that each location makes
    channels: int = Field(8, ge=1, le=1024)  # of its layers but the last
    mask_channels: int = Field(8, ge=1, le=1024)  # of the features that it reads, which all objects share
    relative_coordinates: bool = True  # it reads where each pixel lies from its location as well
    semantic_loss: bool = False  # an auxiliary head on P3 tells the category of each pixel in training


MARKS = ("controller.weight",)
CLASSES = ("proposal_generator.fcos_head.cls_logits.weight", 0)
PREDICT = FcosPredict(score_threshold=0.05)
ENTRY = Method(
    "CondInst",
    CondInst,
    "bcnet.methods.condinst",
    (
        Official(
            "released CondInst with semantic loss",
            ("mask_branch.logits.weight",),
            "fcos",
            CLASSES,
            fcos=PREDICT,
            keys={"semantic_loss": True},
            unused=("mask_head.",),
        ),
        Official(
            "released CondInst",
            MARKS,
            "fcos",
            CLASSES,
            fcos=PREDICT,
            unused=("mask_head.",),
            lacks=("mask_branch.logits.",),
        ),
    ),
    merges_views=False,
)
