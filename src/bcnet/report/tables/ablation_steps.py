"""Ablation steps: the pairs of a run's variants that differ in one switch."""

from itertools import combinations
from typing import Any, NamedTuple

from bcnet.params import Params
from bcnet.params.models import Variant
from bcnet.report.tables.rows import Method, flattened, methods

MASK_RCNN = {"structure": "single", "depth": 4, "layer": "fcn", "class_agnostic": False, "target.contour": False}
SWITCH = ["switch", "before", "after"]  # columns of a table of steps


class Step(NamedTuple):
    """What changes from one variant to another: a key of params.yaml, and its values."""

    baseline: Method
    method: Method
    switch: str
    before: str
    after: str


def steps(params: Params) -> list[Step]:
    """Every two variants that differ in one switch, the first of params.yaml as the baseline.

    Mask R-CNN's head counts as BCNet's with `structure: single`, `depth: 4`, `layer: fcn`, a mask for each category and
    no contour, which has its convolutions. A switch of something that one of the two does not have, such as an
    occluder layer, counts where the other's is not the default.
    """
    own = {
        method: settings(params, params.variants[method.name])
        for method in methods(params)
        if method.origin == "measured here"
    }
    found = []
    for baseline, method in combinations(own, 2):
        one, other = own[baseline], own[method]
        if len(changed := [key for key in one if one[key] != other[key]]) == 1:
            switch = changed[0]
            found.append(Step(baseline, method, switch, _text(one[switch]), _text(other[switch])))
    return found


def settings(params: Params, variant: Variant) -> dict[str, Any]:
    """All that determines how a variant is trained, by key of params.yaml; what it has no use for as by default."""
    flat = flattened(variant.model_dump(mode="json", exclude={"label", "schedule"}))
    default = flattened(Variant(detector="faster_rcnn", backbone="resnet50", mask_head="bcnet").model_dump(mode="json"))
    if variant.mask_head == "mask_rcnn":
        flat |= {**MASK_RCNN, "mask_head": "bcnet", "class_agnostic": bool(variant.class_agnostic)}
    elif variant.class_agnostic is None:
        flat["class_agnostic"] = variant.mask_head == "bcnet"
    bilayer = flat["structure"] == "bilayer"
    unused = [] if bilayer else [key for key in flat if key.startswith("loss_weights.occluder_")]
    if not flat["target.contour"] and not (bilayer and flat["occluder.contour"]):
        unused.append("contour_loss")
    schedule = params.schedule.model_dump(mode="json") | variant.schedule
    return flat | {key: default[key] for key in unused} | {f"schedule.{key}": each for key, each in schedule.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
