"""BCNet in the table of methods."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from bcnet.params.method import Method, Official
from bcnet.params.section import Section
from bcnet.params.variants import OnAnyDetector, flat


class Supervision(Section):
    """Which of a layer's two outputs are built and trained."""

    mask: bool = True
    contour: bool = True


class TargetSupervision(Supervision):
    """The target layer always has its mask: it is the result."""

    mask: Literal[True] = True


class LossWeights(Section):
    """What each map's loss is multiplied by (released code)."""

    target_mask: float = Field(1.0, ge=0)
    target_contour: float = Field(1.0, ge=0)
    occluder_mask: float = Field(0.25, ge=0)
    occluder_contour: float = Field(1.0, ge=0)


class BCNet(OnAnyDetector):
    """BCNet, with the switches of the paper's ablations; the defaults are what the released code does."""

    method: Literal["bcnet"]
    AS_PUBLISHED: ClassVar = True
    structure: Literal["bilayer", "single"] = "bilayer"
    depth: Literal[4, 8] = 8  # 3x3 convolutions from RoI to target maps: 4 as Mask R-CNN, 8 as both layers
    layer: Literal["gcn", "fcn"] = "gcn"
    fusion: Literal["sum", "projection"] = "sum"  # of RoI features and the occluder layer's
    occluder: Supervision = Supervision()
    target: TargetSupervision = TargetSupervision()
    occluder_rois: Literal["released", "balanced", "all"] = "released"  # that train the occluder layer
    contour_loss: Literal["bce", "bce_dice"] = "bce"
    loss_weights: LossWeights = LossWeights()
    mask_iou: bool = False  # masks are scored as in Mask Scoring R-CNN

    OF_TWO_LAYERS: ClassVar = ("occluder", "occluder_rois")

    @property
    def has_occluder_layer(self) -> bool:
        return self.structure == "bilayer"

    def as_trained(self) -> dict[str, Any]:
        """What it has no use for counts as by default."""
        keys, bilayer = super().as_trained(), self.has_occluder_layer
        unused = [key for key in keys if key.startswith("loss_weights.occluder_") and not bilayer]
        if not self.target.contour and not (bilayer and self.occluder.contour):
            unused.append("contour_loss")
        default = flat({"loss_weights": LossWeights().model_dump(), "contour_loss": "bce"})
        return keys | {key: default[key] for key in unused}

    @model_validator(mode="after")
    def _switches_fit_the_structure(self) -> "BCNet":
        if self.structure == "single":
            if wrong := [key for key in self.OF_TWO_LAYERS if key in self.model_fields_set]:
                raise ValueError(f"{', '.join(wrong)}: structure: single has no occluder layer")
            if self.depth == 4 and "fusion" in self.model_fields_set:
                raise ValueError("fusion: depth: 4 has one layer only")
        elif self.depth != 8:
            raise ValueError("depth: 4: structure: bilayer has two layers of four convolutions, use structure: single")
        return self


ENTRY = Method(
    "BCNet",
    BCNet,
    "bcnet.methods.bcnet",
    (
        Official(
            "released FCOS-BCNet",
            ("mask_head.boundary_fcn1.weight",),
            "fcos",
            ("head.cls_logits.weight", 0),
            {"resnet50": (600, 900)},
        ),
    ),
)
