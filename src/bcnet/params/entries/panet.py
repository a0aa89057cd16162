"""PANet in the table of methods."""

from typing import Literal

from bcnet.params.method import Method, Official
from bcnet.params.variants import OnDetector


class PANet(OnDetector):
    """PANet, a Faster R-CNN with other features and heads; the defaults are what its authors' code does."""

    method: Literal["panet"]
    detector: Literal["faster_rcnn"]
    neck: Literal["fpn", "pan"] = "pan"
    adaptive_pooling: bool = True  # RoIs see all levels, not only the one that fits their size
    fully_connected: bool = True  # a branch of the mask head whose every pixel sees the whole RoI


ENTRY = Method(
    "PANet",
    PANet,
    "bcnet.methods.panet",
    (
        Official(
            "authors' PANet",
            ("Mask_Head.mask_fc.0.weight",),
            "faster_rcnn",
            ("Box_Outs.cls_score.weight", 1),
            {"resnet50": (1000, 1400)},
            conventions="panet",
            background_first=("Box_Outs.", "Mask_Outs."),
            folded_norms=True,
        ),
    ),
)
