"""What each variant of a preset costs: parameters, operations, time and memory of a training step and of inference.

.venv/bin/python benchmarks/model_cost.py PRESET SIDE BATCH STEPS [VARIANT …]

such as `shapes 160 4 20`, or `coco 1024 1 3` (as many pixels as 800 x 1333). No data and no weights are needed:
pictures and objects are those of `shapes`, and proposals are the objects, moved a little, so that as many RoIs as the
preset allows train the mask head: its worst case. A method without RoIs trains as it does, and its row has zeros for
mask head and RoIs. Each variant runs in a process of its own, so that its memory is its own. Times are of the
processor, over all threads, on a CPU, where other work disturbs them less, and else of the clock.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bcnet import params
from bcnet.data.synthetic.shapes import CATEGORIES, paint, scene, visible
from bcnet.methods import build
from bcnet.models.detections import View
from bcnet.models.device import pick_device
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.data import Shapes
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer

WARM_UP = 3


def item(side: int, seed: int) -> dict[str, Any]:
    """A picture with its objects, as the loader gives it: each object's occluders are all others in its box."""
    settings, rng = Shapes(source="shapes", size=side, objects=(8, 8)), np.random.default_rng(seed)
    shapes, amodal = scene(rng, settings)
    masks = torch.from_numpy(visible(amodal))
    boxes = BitMasks(masks).get_bounding_boxes()
    occluders = masks.any(0, keepdim=True) & ~masks
    instances = Instances((side, side), gt_boxes=boxes, gt_masks=BitMasks(masks))
    instances.gt_classes = torch.tensor([list(CATEGORIES).index(shape.category) for shape in shapes])
    instances.gt_occluder_masks = BitMasks(occluders)
    picture = torch.from_numpy(paint(rng, shapes, settings).transpose(2, 0, 1).copy())
    return {"image": picture, "instances": instances, "height": side, "width": side}


class MovedObjects(nn.Module):
    """In the place of a detector's proposals: the objects' boxes, moved by a few percent; losses stay its own."""

    def __init__(self, generator: nn.Module, each: int) -> None:
        super().__init__()
        self.generator, self.each = generator, each

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """The generator's own result, with other boxes."""
        found, losses = self.generator(images, features, targets)
        two_stage = found[0].has("proposal_boxes")
        for index, target in enumerate(targets):
            boxes = target.gt_boxes.tensor.repeat(self.each, 1)
            sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
            moved = Instances(found[index].image_size)
            moved.set(
                "proposal_boxes" if two_stage else "pred_boxes", Boxes(boxes + 0.05 * sides * torch.randn_like(boxes))
            )
            moved.set("objectness_logits" if two_stage else "scores", torch.zeros(len(boxes), device=boxes.device))
            found[index] = moved
        return found, losses


def timed(work: Callable[[], object], times: int) -> str:
    """Median and fastest of so many, in seconds, after some that do not count."""
    seconds = []
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    for number in range(WARM_UP + times):
        start = clock()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number >= WARM_UP:
            seconds.append(clock() - start)
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f})"


def operations(work: Callable[[], object]) -> float:
    """Thousand million floating-point operations of convolutions and matrix products, a multiply-add as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def measure(preset: str, side: int, batch: int, steps: int, name: str) -> None:
    """Print a variant's row."""
    settings = params.load(Path(f"presets/{preset}.yaml"))
    variant, schedule, device = settings.variant(name), settings.schedule_of(name), pick_device()
    own = {
        name: getattr(settings.predict, name).model_copy(update={"score_threshold": 0.0}) for name in ("fcos", "solov2")
    }
    predict = settings.predict.model_copy(update={"score_threshold": 0.0, **own})
    torch.manual_seed(0)
    model = build(Spec(variant, settings.model, predict, len(CATEGORIES))).to(device)
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    pictures = [item(side, seed) for seed in range(batch)]
    optimizer = make_optimizer(model, schedule)
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda" and schedule.amp)

    model.train()
    rois: list[int] = []
    mask_head, generator = None, None
    if isinstance(model, RoISegmenter):
        mask_head, generator = model.roi_heads.mask_head, model.proposal_generator
        model.proposal_generator = MovedObjects(generator, 40)
        hook = mask_head.register_forward_pre_hook(lambda _, inputs: rois.append(len(inputs[0])))
    training = operations(lambda: torch.stack(list(model(pictures).values())).sum().backward())
    if mask_head is not None:
        hook.remove()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    stepping = timed(lambda: step(model, pictures, optimizer, scaler, schedule, 0), steps)
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**30
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    model.eval()
    if generator is not None:
        model.proposal_generator = generator
    view = View(pictures[0]["image"], False)
    with torch.inference_mode():
        found = len(model.detect([view], (side, side)).scores)
        inference = operations(lambda: model.detect([view], (side, side)))
        predicting = timed(lambda: model.detect([view], (side, side)), steps)
    parameters = [sum(p.numel() for p in m.parameters()) / 1e6 for m in (model, mask_head or nn.Module())]
    cells = [
        name,
        f"{parameters[0]:.2f} ({parameters[1]:.2f})",
        rois[0] if rois else 0,
        f"{training:.1f}",
        stepping,
        f"{memory:.2f}",
    ]
    print("|", " | ".join(map(str, [*cells, found, f"{inference:.1f}", predicting])), "|", flush=True)


def main() -> None:
    """Print a table, one variant after the other."""
    preset, side, batch, steps, *names = sys.argv[1:]
    if len(names) == 1:
        return measure(preset, int(side), int(batch), int(steps), names[0])
    print(f"{preset}, {side} x {side}, batch {batch}, {torch.get_num_threads()} threads, {pick_device().type}")
    print("| variant | parameters, M (mask head) | RoIs | training, GFLOP | s, median (fastest) | peak, GiB ", end="")
    print("| masks of one picture | inference, GFLOP | s, median (fastest) |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in names or params.load(Path(f"presets/{preset}.yaml")).variants:
        subprocess.run([sys.executable, __file__, preset, side, batch, steps, name], check=True)


if __name__ == "__main__":
    main()
