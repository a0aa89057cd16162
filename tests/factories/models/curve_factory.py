"""Loss curves of six iterations in double precision.

`python tests/factories/models/curve_factory.py` writes golden/curves.json anew; with names of variants, their curves
alone.

In double precision another processor's rounding stays near 1e-14, where single precision soon chooses other proposals.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import detectron2
import numpy
import pytest
import torch
import torchvision
from fcos_factory import PREDICT, SIZES, item
from model_factory import build, variants, with_boxes

from bcnet.models.package_modules import without_init
from bcnet.params import methods
from bcnet.params.models import Schedule
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer
from bcnet.weights.imagenet import efficientnet_lite0

GOLDEN = Path(__file__).parents[2] / "golden" / "curves.json"
VARIANTS: dict[str, dict[str, Any]] = variants()
VARIANTS["fcos bcnet"] |= {"fusion": "projection", "contour_loss": "bce_dice"}
SCHEDULE = Schedule.model_validate(  # warm-up, a step and clipping, all within six iterations
    {"iterations": 6, "batch": 2, "lr": 0.002, "warmup": 2, "warmup_factor": 0.1, "steps": [4], "clip_gradients": 4.0}
    | {"short_side": [90], "max_side": 128, "weight_decay": 0.01}
)


@contextmanager
def double_precision() -> Iterator[None]:
    """New tensors are float64; three operations of detectron2's take boxes and masks, which are float32, along."""
    from torchvision.ops import boxes

    with without_init("detectron2.projects.point_rend"):
        from detectron2.projects.point_rend import point_features

    nms, grid_sample = boxes.nms, torch.nn.functional.grid_sample
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "nms", lambda box, score, iou: nms(box.to(score.dtype), score, iou))
        patch.setattr(
            point_features.F,
            "grid_sample",
            lambda maps, grid, **options: grid_sample(maps.to(grid.dtype), grid, **options),
        )
        torch.set_default_dtype(torch.float64)
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
            torch.use_deterministic_algorithms(deterministic)


def curve(variant: dict[str, Any], noise: float = 0.0) -> list[dict[str, float]]:
    """The losses of each iteration on two pictures, from ImageNet weights on.

    Args:
        variant: detector, mask head and switches.
        noise: relative change of every weight at the start, normally distributed: stands for another rounding.
    """
    with double_precision():
        torch.manual_seed(0)
        model = build(methods.variant(**variant | {"backbone": "efficientnet_lite0"}), SIZES, PREDICT, 3).train()
        if variant["method"] == "sipmask":  # it learns masks in the boxes that it predicts, without area nothing
            with_boxes(model)
        model.get_submodule("backbone.bottom_up").load_state_dict(efficientnet_lite0())
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + noise * torch.randn(parameter.shape, generator=generator))
        optimizer, scaler = make_optimizer(model, SCHEDULE), torch.amp.GradScaler(enabled=False)
        curve = []
        for iteration in range(SCHEDULE.iterations):
            torch.manual_seed(iteration)
            losses = step(model, [item(1), item(2)], optimizer, scaler, SCHEDULE, iteration)
            curve.append({name: float(loss.detach()) for name, loss in losses.items()})
    return curve


def versions() -> dict[str, str]:
    """What else may change a curve."""
    return {module.__name__: module.__version__ for module in (torch, torchvision, detectron2, numpy)}


def main() -> None:
    curves = json.loads(GOLDEN.read_text())["curves"]  # in their order there
    for name in sys.argv[1:] or VARIANTS:
        curves[name] = curve(VARIANTS[name])
    for name in curves.keys() - VARIANTS.keys():
        del curves[name]
    blocks = []
    for name, rows in curves.items():
        iterations = ",\n".join(json.dumps(row) for row in rows)
        blocks.append(f"{json.dumps(name)}: [\n{iterations}\n]")
    GOLDEN.write_text(f'{{"versions": {json.dumps(versions())},\n"curves": {{\n' + ",\n".join(blocks) + "\n}}\n")


if __name__ == "__main__":
    main()
