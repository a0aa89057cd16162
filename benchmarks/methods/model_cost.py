"""What each variant of a preset costs: parameters, operations, time and memory of a training step and of inference.

.venv/bin/python benchmarks/methods/model_cost.py PRESET HEIGHT WIDTH BATCH STEPS [VARIANT …]

such as `shapes 160 160 4 20`, or `coco 800 1333 1 2 mask-rcnn-r50 bcnet-r50`. Times are set in relation to the first
variant's; with 0 STEPS nothing is timed.
No data and no weights are needed: pictures and objects are those of `shapes`, and a detector's proposals are the
objects, moved a little, so that as many RoIs as the preset allows train the mask head: its worst case. Each variant
runs in a process of its own, so that its memory is its own. Times are of the processor, over all threads, on a CPU,
where other work disturbs them less, and else of the clock. Deformable convolutions are not among the operations.
"""

import json
import math
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
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from bcnet import params
from bcnet.data.synthetic.shapes import CATEGORIES, paint, scene, visible
from bcnet.methods import build
from bcnet.models.detections import View
from bcnet.models.device import pick_device
from bcnet.models.masks.object_masks import ObjectMasks
from bcnet.models.segmenter import Spec
from bcnet.params.data import Shapes
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer

WARM_UP = 2
PROPOSED = 100  # boxes of an image by which FCOS trains a mask head
HEAD = (
    "| variant | parameters, M | RoIs | training, GFLOP | s | relative | peak, GiB "
    "| masks | inference, GFLOP | s | relative |"
)


def item(height: int, width: int, seed: int, objects: int = 8) -> dict[str, Any]:
    """A picture with its objects, as the loader gives it: each object's occluders are all others in its box."""
    side = max(height, width)
    settings = Shapes(source="shapes", objects=(objects, objects)).model_copy(
        update={"size": side}
    )  # larger than it may be
    rng = np.random.default_rng(seed)
    shapes, amodal = scene(rng, settings)
    masks = torch.from_numpy(visible(amodal))[:, :height, :width]
    seen = masks.flatten(1).any(1)
    labels = torch.tensor([list(CATEGORIES).index(shape.category) for shape in shapes])[seen]
    masks = masks[seen]
    instances = Instances((height, width), gt_boxes=BitMasks(masks).get_bounding_boxes(), gt_masks=ObjectMasks(masks))
    instances.gt_classes = labels
    instances.gt_occluder_masks = ObjectMasks(masks.any(0, keepdim=True) & ~masks)
    picture = torch.from_numpy(paint(rng, shapes, settings)[:height, :width].transpose(2, 0, 1).copy())
    return {"image": picture, "instances": instances, "height": height, "width": width}


class MovedObjects(nn.Module):
    """In the place of a detector's proposals: the objects' boxes, moved by a few percent; losses stay its own.

    So many of each object for Faster R-CNN, and of FCOS as many of all as it proposes.
    """

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
            boxes = target.gt_boxes.tensor.repeat(self.each if two_stage else PROPOSED // len(target), 1)
            sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
            moved = Instances(found[index].image_size)
            moved.set(
                "proposal_boxes" if two_stage else "pred_boxes", Boxes(boxes + 0.05 * sides * torch.randn_like(boxes))
            )
            moved.set("objectness_logits" if two_stage else "scores", torch.zeros(len(boxes), device=boxes.device))
            found[index] = moved
        return found, losses


def timed(work: Callable[[], object], times: int) -> float:
    """Median of so many, in seconds, after some that do not count; NaN of none."""
    if not times:
        return math.nan
    seconds = []
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    for number in range(WARM_UP + times):
        start = clock()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number >= WARM_UP:
            seconds.append(clock() - start)
    return statistics.median(seconds)


def backward_operations(
    gradient_shape: torch.Size, input_shape: torch.Size, weight_shape: torch.Size, *arguments: Any, **_: Any
) -> int:
    """Operations of a convolution's gradients: as many for each of the two as the convolution itself takes.

    PyTorch's own formula takes the gradient of a grouped convolution's weight for that of a dense one.
    """
    *_, transposed, _, _, wanted = (
        arguments  # bias, stride, padding, dilation, transposed, output padding, groups, mask
    )
    return sum(wanted[:2]) * conv_flop_count(input_shape, weight_shape, gradient_shape, transposed=transposed)


def operations(work: Callable[[], object]) -> float:
    """Thousand million floating-point operations of convolutions and matrix products, a multiply-add as two."""
    own = {torch.ops.aten.convolution_backward: backward_operations}
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return counter.get_total_flops() / 1e9


def measure(preset: str, size: tuple[int, int], batch: int, steps: int, name: str) -> dict[str, Any]:
    """What a variant costs, by column of `HEAD`."""
    settings = params.load(Path(f"presets/{preset}.yaml"))
    variant, schedule, device = settings.variant(name), settings.schedule_of(name), pick_device()
    predict = settings.predict.model_copy(
        update={"score_threshold": 0.0, "fcos": settings.predict.fcos.model_copy(update={"score_threshold": 0.0})}
    )
    torch.manual_seed(0)
    classes = 80 if settings.datasets[settings.dataset].source == "coco" else len(CATEGORIES)
    model = build(Spec(variant, settings.model, predict, classes)).to(device)
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("conv3.norm.weight"):  # signals of an untrained ResNet explode, and boxes with them
            buffer.zero_()
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    pictures = [item(*size, seed) for seed in range(batch)]
    optimizer = make_optimizer(model, schedule)
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda" and schedule.amp)

    model.train()
    generator: nn.Module | None = getattr(model, "proposal_generator", None)
    rois: list[int] = []
    hooks = []
    if generator is not None:
        model.proposal_generator = MovedObjects(generator, 40)
        mask_head = model.get_submodule("roi_heads.mask_head")
        hooks.append(mask_head.register_forward_pre_hook(lambda _, inputs: rois.append(sum(map(len, inputs[1])))))
    training = operations(lambda: torch.stack(list(model(pictures).values())).sum().backward())
    for hook in hooks:
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
    view = View(pictures[0]["image"], flipped=False)
    with torch.inference_mode():
        masks = len(model.detect([view], size).scores)
        inference = operations(lambda: model.detect([view], size))
        detecting = timed(lambda: model.detect([view], size), steps)
    return {
        "variant": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "rois": rois[0] if rois else "",
        "training": training,
        "step": stepping,
        "memory": memory,
        "masks": masks,
        "inference": inference,
        "detect": detecting,
    }


def main() -> None:
    """Print a table, one variant after the other."""
    preset, height, width, batch, steps, *names = sys.argv[1:]
    if names[:1] == ["--alone"]:
        print(json.dumps(measure(preset, (int(height), int(width)), int(batch), int(steps), names[1])))
        return
    print(f"{preset}, {height} x {width}, batch {batch}, {torch.get_num_threads()} threads, {pick_device().type}")
    print(HEAD)
    print("|---" * HEAD.count(" | "), end="|---|\n", flush=True)
    first: dict[str, Any] = {}
    for name in names or params.load(Path(f"presets/{preset}.yaml")).variants:
        command = [sys.executable, "-W", "ignore", __file__, preset, height, width, batch, steps, "--alone", name]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        first = first or row
        cells = [
            f"{row['parameters']:.2f}",
            row["rois"],
            *(f"{row['training']:.1f}", f"{row['step']:.3f}", f"{row['step'] / first['step']:.2f}"),
            f"{row['memory']:.2f}",
            row["masks"],
            *(f"{row['inference']:.1f}", f"{row['detect']:.3f}", f"{row['detect'] / first['detect']:.2f}"),
        ]
        print("|", " | ".join(map(str, [name, *cells])), "|", flush=True)


if __name__ == "__main__":
    main()
