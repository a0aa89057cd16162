"""The table of methods: one entry each, which everything that knows methods by name reads. It loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from bcnet.params.variants import BCNet, MaskRCNN, PointRend, Variant


@dataclass(frozen=True)
class Official:
    """Models of a method that others trained and released: how their files are told, and what they are here.

    The names of their tensors are translated by `OFFICIAL_NAMES` of the method's module.

    Attributes:
        name: in messages and provenance.
        marks: tensors of which every such file has one, and no other file has any.
        detector: that they stand on; None: the method has none.
        classes: the tensor whose first side counts the categories, and how many more it counts.
        sizes: short and long side at test time by backbone, where they are not 800 and 1333.
    """

    name: str
    marks: tuple[str, ...]
    detector: str | None
    classes: tuple[str, int]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        name: in the literature.
        variant: what a variant of it may say in `params.yaml`.
        module: where its model is built: `build(spec)`, from a `Spec` to a `Segmenter` (`models.segmenter`).
        official: released models that `import-weights` reads.
        merges_views: whether it can be shown a picture in several views at test time.
    """

    name: str
    variant: type[Variant]
    module: str
    official: tuple[Official, ...] = ()
    merges_views: bool = True

    @property
    def detectors(self) -> tuple[str, ...]:
        """The legal values of the key `detector`; none for a method without one."""
        detector = self.variant.model_fields.get("detector")
        return get_args(detector.annotation) if detector else ()


OF_DETECTRON2 = ("roi_heads.box_predictor.cls_score.weight", 1)  # and the background
METHODS = {
    "mask_rcnn": Method(
        "Mask R-CNN",
        MaskRCNN,
        "bcnet.methods.mask_rcnn",
        (Official("model-zoo Mask R-CNN", ("roi_heads.mask_head.mask_fcn1.weight",), "faster_rcnn", OF_DETECTRON2),),
    ),
    "bcnet": Method(
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
    ),
    "pointrend": Method(
        "PointRend",
        PointRend,
        "bcnet.methods.pointrend",
        (
            Official(
                "model-zoo PointRend",
                ("roi_heads.mask_head.coarse_head.prediction.weight", "roi_heads.mask_coarse_head.prediction.weight"),
                "faster_rcnn",
                OF_DETECTRON2,
            ),
        ),
    ),
}


def _renamed(value: Any) -> Any:
    """A variant as params.yaml had it before 0.2 is refused with what to write instead."""
    if isinstance(value, dict) and "mask_head" in value:
        raise ValueError(f"mask_head: this key is called method since 0.2: write `method: {value['mask_head']}`")
    return value


if TYPE_CHECKING:
    AnyVariant = Variant
else:
    AnyVariant = Annotated[
        reduce(or_, (method.variant for method in METHODS.values())),
        Field(discriminator="method"),
        BeforeValidator(_renamed),
    ]


def variant(**keys: Any) -> Variant:
    """A variant of the method that `method` names.

    Args:
        keys: as in `params.yaml`.

    Raises:
        pydantic.ValidationError: a key or value is not legal for that method.
        ValueError: there is no such method.
    """
    if (name := keys.get("method")) not in METHODS:
        raise ValueError(f"method: {name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name].variant.model_validate(keys)
