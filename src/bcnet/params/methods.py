"""The table of methods, which everything that knows methods by name reads. It loads no torch."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from bcnet.params.entries import (
    bcnet,
    blendmask,
    bmask_rcnn,
    centermask,
    condinst,
    mask_rcnn,
    mask_scoring_rcnn,
    panet,
    pointrend,
    sipmask,
    solov2,
)
from bcnet.params.variants import Variant

METHODS = {
    "mask_rcnn": mask_rcnn.ENTRY,
    "bcnet": bcnet.ENTRY,
    "pointrend": pointrend.ENTRY,
    "condinst": condinst.ENTRY,
    "bmask_rcnn": bmask_rcnn.ENTRY,
    "blendmask": blendmask.ENTRY,
    "mask_scoring_rcnn": mask_scoring_rcnn.ENTRY,
    "centermask": centermask.ENTRY,
    "sipmask": sipmask.ENTRY,
    "panet": panet.ENTRY,
    "solov2": solov2.ENTRY,
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
