"""Variants: what each method may be told in `params.yaml`, one class a method; `params.methods` is their table."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from bcnet.params.section import Section

Backbone = Literal["efficientnet_lite0", "resnet50", "resnet101", "resnext101"]
DETECTORS = {"faster_rcnn": "Faster R-CNN", "fcos": "FCOS"}  # their names in the literature


class Variant(Section):
    """A row of the tables: a method on a backbone, and what every method may be told.

    A subclass adds `method`, the name of the method; `detector`, if the method stands on one; and its own keys.
    """

    method: str
    backbone: Backbone
    label: str | None = None
    masks: Literal["visible", "amodal"] = "visible"  # what is learned: the visible or the whole objects
    mask_targets: Literal["bitmaps", "polygons"] = "bitmaps"  # what a target is cut from; polygons need polygons
    schedule: dict[str, Any] = Field({})

    @property
    def detector_name(self) -> str | None:
        """The detector's name in the literature; None for a method without one."""
        return DETECTORS.get(getattr(self, "detector", ""))

    @property
    def has_occluder_layer(self) -> bool:
        """Whether the model predicts what occludes an object, which the report then shows."""
        return False

    def as_trained(self) -> dict[str, Any]:
        """All keys that determine how it is trained but the schedule; those of sections by their path with dots."""
        return _flat(self.model_dump(mode="json", exclude={"label", "schedule"}))


class OnDetector(Variant):
    """A method that gives the boxes of a detector their masks."""

    detector: Literal["faster_rcnn", "fcos"]
    class_agnostic: bool | None = None  # one mask for all categories; null: as the method has it
    AS_PUBLISHED: ClassVar[bool] = False  # class_agnostic of the method itself

    @property
    def one_mask(self) -> bool:
        """Whether a RoI has one mask for all categories, not one for each."""
        return self.AS_PUBLISHED if self.class_agnostic is None else self.class_agnostic

    def as_trained(self) -> dict[str, Any]:
        return super().as_trained() | {"class_agnostic": self.one_mask}


class OnAnyDetector(OnDetector):
    """A method whose mask head learns from whatever RoIs a detector has."""

    mask_rois: Literal["proposals", "ground_truth"] = "proposals"  # what trains the mask head on fcos

    @model_validator(mode="after")
    def _mask_rois_belong_to_fcos(self) -> "OnAnyDetector":
        if self.detector != "fcos" and "mask_rois" in self.model_fields_set:
            raise ValueError("mask_rois: only for detector: fcos")
        return self


class PointRend(OnDetector):
    """PointRend, which samples level P2 of Faster R-CNN's pyramid, and bitmaps at points."""

    method: Literal["pointrend"]
    detector: Literal["faster_rcnn"]
    mask_targets: Literal["bitmaps"] = "bitmaps"


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
        default = _flat({"loss_weights": LossWeights().model_dump(), "contour_loss": "bce"})
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


class MaskRCNN(OnAnyDetector):
    """Mask R-CNN's head."""

    method: Literal["mask_rcnn"]

    def as_trained(self) -> dict[str, Any]:
        """It counts as the BCNet of a single layer that has its convolutions, so that one switch leads to the next."""
        own = self.model_dump(exclude_unset=True, exclude={"method", "class_agnostic"})
        plain = {"structure": "single", "depth": 4, "layer": "fcn", "target": {"contour": False}}
        return BCNet(method="bcnet", class_agnostic=self.one_mask, **plain, **own).as_trained()


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Values of nested sections, by their path with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat
