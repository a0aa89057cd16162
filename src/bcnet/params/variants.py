"""What variants of all methods may say in `params.yaml`; `params.entries` has what those of a single method may."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from bcnet.layout import PRETRAINED
from bcnet.params.section import InputPath, Label, Section

Backbone = Literal["efficientnet_lite0", "resnet50", "resnet101", "resnext101"]
# their names in the literature; None: the method has no detector
DETECTORS: dict[str | None, str] = {"faster_rcnn": "Faster R-CNN", "fcos": "FCOS", None: "box-free"}


def _below_pretrained(path: Path) -> Path:
    if path.is_absolute() or path.parts[:1] != PRETRAINED.parts or len(path.parts) < 2 or ".." in path.parts:
        raise ValueError(f"{str(path)!r}: expected a file or a link below {PRETRAINED}/, which both tools watch")
    return path


class Variant(Section):
    """A row of the tables: a method on a backbone, and what every method may be told.

    A subclass adds `method`, the name of the method; `detector`, if the method stands on one; and its own keys.
    """

    method: str
    backbone: Backbone
    label: Label | None = None
    init: Annotated[InputPath, AfterValidator(_below_pretrained)] | None = None  # the model that training starts from
    masks: Literal["visible", "amodal"] = "visible"  # what is learned: the visible or the whole objects
    mask_targets: Literal["bitmaps", "polygons"] = "bitmaps"  # what a target is cut from; polygons need polygons
    schedule: dict[str, Any] = Field({})

    @property
    def detector_name(self) -> str:
        """The detector's name in the literature; `box-free` for a method without one."""
        return DETECTORS[getattr(self, "detector", None)]

    @property
    def has_occluder_layer(self) -> bool:
        """Whether the model predicts what occludes an object, which the report then shows."""
        return False

    def as_trained(self) -> dict[str, Any]:
        """All keys that determine how it is trained but the schedule; those of sections by their path with dots."""
        return flat(self.model_dump(mode="json", exclude={"label", "schedule"}))


class WithNeck(Variant):
    """A method on a detector: its features are a pyramid (`models.backbones`), which is told the `neck`."""

    neck: Literal["fpn", "pan"] = "fpn"  # pan: with PANet's path from the finest level up


class OnDetector(WithNeck):
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


class OnFcos(WithNeck):
    """A method that is a part of FCOS, and has no other detector."""

    detector: Literal["fcos"] = "fcos"


def flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Values of nested sections, by their path with dots."""
    flattened: dict[str, Any] = {}
    for key, value in values.items():
        flattened |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flattened
