"""Ablation steps: the pairs of a run's variants that differ in one switch."""

from itertools import combinations
from typing import Any, NamedTuple

from bcnet.params import Params
from bcnet.params.models import Schedule
from bcnet.params.variants import Variant
from bcnet.report.tables.rows import Method, methods

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
    pairs = []
    for baseline, method in combinations(own, 2):
        before, after = own[baseline], own[method]
        if len(changed := [key for key in before | after if before.get(key) != after.get(key)]) == 1:
            switch = changed[0]
            pairs.append(Step(baseline, method, switch, _text(before.get(switch)), _text(after.get(switch))))
    return pairs


def settings(params: Params, variant: Variant) -> dict[str, Any]:
    """All that determines how a variant is trained, by key of params.yaml."""
    schedule = Schedule.model_validate({**params.schedule.model_dump(), **variant.schedule}).determining()
    return variant.as_trained() | {f"schedule.{key}": value for key, value in schedule.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
