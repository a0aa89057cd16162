"""What every method costs on a GPU, beside detectron2's Mask R-CNN, in one command under 8 minutes:

.venv/bin/python benchmarks/methods/gpu.py

No network and no data: pictures of COCO's size are made, with 7 objects each, and weights are random. Methods are those
of `presets/coco.yaml`, with R50. Proposals are the objects, moved a little, so that as many RoIs as the preset allows
train the mask head (`model_cost.MovedObjects`). It writes docs/gpu.json, and docs/gpu.md from it (`gpu_table.py`).
What time did not suffice for is named there. `--device cpu` with small sizes tries the command itself.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import torch
from detectron2.utils.events import EventStorage
from gpu_bounds import Bound, bound_of, moved_bytes
from gpu_table import DATA, Table, write
from model_cost import MovedObjects, item, operations
from torch import nn

from bcnet import params
from bcnet.methods import build
from bcnet.models.detections import View
from bcnet.models.segmenter import Spec
from bcnet.params import Params
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer

WARM_UP, LEAST = 2, 3  # steps that do not count, and that count at least
MOVED = 40  # proposals of each object
OBJECTS = 7  # of a picture
DETECTRON2 = "detectron2's Mask R-CNN"
ZOO = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
EXTRAS = ("channels last", "backbone compiled", "mask head compiled", "backbone as a CUDA graph")


@dataclass
class Plan:
    """What is measured: methods of which `params`, on which backbone and device, how long each, and until when."""

    settings: Params
    backbone: str
    device: torch.device
    size: tuple[int, int]
    seconds: float
    end: float
    bound: Bound | None = None
    table: Table = field(default_factory=Table)

    def late(self, what: str) -> bool:
        """Whether the time is up, which is noted with what is left out."""
        if time.monotonic() < self.end:
            return False
        self.table.left_out.append(f"{what}: the time was up")
        return True


def variants(settings: Params) -> dict[str, str]:
    """A variant's name for each method on each detector of a preset: the first that has it."""
    names: dict[str, str] = {}
    for name, variant in settings.variants.items():
        names.setdefault(f"{variant.method} on {getattr(variant, 'detector', None)}", name)
    return names


def of_project(plan: Plan, name: str) -> nn.Module:
    """A variant's model on the backbone with random weights, whose scores let through as many detections as allowed."""
    variant = plan.settings.variant(name).model_copy(update={"backbone": plan.backbone})
    predict = plan.settings.predict
    fcos = predict.fcos.model_copy(update={"score_threshold": 0.0})
    predict = predict.model_copy(update={"score_threshold": 0.0, "fcos": fcos})
    return build(Spec(variant, plan.settings.model, predict, 80))


def of_detectron2(plan: Plan) -> nn.Module:
    """The model of detectron2's own configuration, without its weights."""
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    configuration = model_zoo.get_config(ZOO)
    configuration.MODEL.DEVICE, configuration.MODEL.WEIGHTS = plan.device.type, ""
    configuration.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model: nn.Module = build_model(configuration)
    return model


def ready(plan: Plan, model: nn.Module) -> nn.Module:
    """The model on the device, in training mode, with proposals around the objects."""
    for name, buffer in model.named_buffers():
        if name.endswith("conv3.norm.weight"):  # signals of an untrained ResNet explode, and boxes with them
            buffer.zero_()
    generator: nn.Module | None = getattr(model, "proposal_generator", None)
    if generator is not None:
        model.proposal_generator = MovedObjects(generator, MOVED)
    return model.to(plan.device).train()


@cache
def picture(size: tuple[int, int], seed: int) -> dict[str, Any]:
    """One with its objects, as the loader gives it."""
    return item(*size, seed, OBJECTS)


def synchronised(plan: Plan) -> float:
    """The clock, when the device has done all."""
    if plan.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(plan: Plan, work: Callable[[], object]) -> float:
    """Median seconds of a piece of work."""
    for _ in range(WARM_UP):
        work()
    taken, begun = [], time.perf_counter()
    while len(taken) < LEAST or time.perf_counter() - begun < plan.seconds:
        start = synchronised(plan)
        work()
        taken.append(synchronised(plan) - start)
    return statistics.median(taken)


def training(plan: Plan, name: str, model: nn.Module, amp: bool, batch: int, how: str = "") -> None:
    """A row of the table: training steps of one size of batch."""
    what = f"{name}, batch {batch}{', AMP' if amp else ''}{', ' + how if how else ''}"
    if plan.late(what):
        return
    schedule = plan.settings.schedule
    pictures = [picture(plan.size, seed) for seed in range(batch)]
    scaler = torch.amp.GradScaler(enabled=amp)
    row: dict[str, Any] = {"name": name, "amp": amp, "batch": batch, "how": how}
    gc.collect()
    if plan.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        optimizer = make_optimizer(model, schedule)
        row["seconds"] = timed(plan, lambda: step(model, pictures, optimizer, scaler, schedule, 0))
        if plan.device.type == "cuda":
            row["peak"] = torch.cuda.max_memory_allocated() / 2**30
        if plan.bound is not None and not how:
            work = lambda: torch.stack(list(model(pictures).values())).sum().backward()  # noqa: E731
            with torch.autocast(plan.device.type, enabled=amp):
                row["operations"], row["bytes"] = operations(work), moved_bytes(work)
            row |= plan.bound.shares(row["operations"], row["bytes"], row["seconds"], amp)
    except (RuntimeError, TypeError) as error:  # out of memory; or what cannot be compiled or captured
        plan.table.left_out.append(f"{what}: {type(error).__name__}: {str(error).strip().splitlines()[0][:120]}")
        return
    finally:
        model.zero_grad(set_to_none=True)
    plan.table.training.append(row)
    print(f"{what}: {1000 * row['seconds']:.0f} ms", flush=True)


def inference(plan: Plan, name: str, model: nn.Module) -> None:
    """A row of the table: one picture, without pasting its masks."""
    if plan.late(f"{name}, inference"):
        return
    generator = getattr(model, "proposal_generator", None)
    if isinstance(generator, MovedObjects):
        model.proposal_generator = generator.generator
    model.eval()
    image = picture(plan.size, 0)["image"]
    if name == DETECTRON2:
        work = lambda: model.inference([{"image": image}], do_postprocess=False)  # noqa: E731
    else:
        work = lambda: model.detect([View(image, flipped=False)], plan.size)  # noqa: E731
    with torch.inference_mode():
        plan.table.inference.append({"name": name, "seconds": timed(plan, work)})


def extra(plan: Plan, name: str, batch: int) -> None:
    """Rows of the table: ways that may be faster. Each has a model of its own."""
    for how in EXTRAS:
        if plan.late(f"{name}, {how}"):
            continue
        amp = not how.endswith("graph")  # a graph is captured without the cache of mixed precision
        model = ready(plan, of_project(plan, name))
        try:
            changed(model, how, (batch, 3, *(-(-side // 32) * 32 for side in plan.size)), plan.device)
        except (RuntimeError, TypeError) as error:
            plan.table.left_out.append(f"{name}, {how}: {str(error).strip().splitlines()[0][:120]}")
            continue
        training(plan, name, model, amp and plan.device.type == "cuda", batch, how)


def changed(model: Any, how: str, shape: tuple[int, ...], device: torch.device) -> None:
    """Apply one of `EXTRAS` to a model."""
    if how == "channels last":
        model.to(memory_format=torch.channels_last)
    elif how == "backbone compiled":
        model.backbone.compile()
    elif how == "mask head compiled":
        head = model.roi_heads.mask_head
        if hasattr(head, "head"):
            head.head.compile()
        else:  # detectron2's
            head.layers = torch.compile(head.layers)
    else:
        model.backbone = torch.cuda.make_graphed_callables(model.backbone, (torch.zeros(shape, device=device),))


def side_by_side(plan: Plan, arguments: list[str], name: str, batch: int) -> None:
    """One process, and two at once on the same card: whether one leaves it idle."""
    command = [sys.executable, "-W", "ignore", __file__, *arguments, "--alone", name, "--batches", str(batch)]
    for processes in (1, 2):
        if plan.late(f"{name}, {processes} processes on one card"):
            return
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
        outputs = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            plan.table.left_out.append(f"{name}, {processes} processes on one card: one failed")
            return
        seconds = [float(output.splitlines()[-1]) for output in outputs]
        plan.table.processes.append({"name": name, "processes": processes, "batch": batch, "seconds": seconds})


def measure(plan: Plan, names: list[str], batches: list[int], arguments: list[str]) -> None:
    """Fill the table, the methods first."""
    amps = [False, True] if plan.device.type == "cuda" else [False]
    models: list[tuple[str, Callable[[], nn.Module]]] = [(DETECTRON2, lambda: of_detectron2(plan))]
    models += [(name, lambda name=name: of_project(plan, name)) for name in names]
    for name, make in models:
        try:
            model = ready(plan, make())
        except (ImportError, RuntimeError) as error:
            plan.table.left_out.append(f"{name}: {error}")
            continue
        for amp in amps:
            for batch in batches:
                training(plan, name, model, amp, batch)
        inference(plan, name, model)
        del model
    middle = batches[len(batches) // 2]
    side_by_side(plan, arguments, names[0], middle)
    if plan.device.type == "cuda":
        for name in names[:2]:
            extra(plan, name, middle)


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="coco")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), help="height and width")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--variants", nargs="+", help="of the preset; default: one of each method and detector")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--limit", type=float, default=440, help="seconds after which nothing is begun")
    parser.add_argument("--out", type=Path, default=DATA, help="a .json file; a page of the same name goes beside it")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # a variant: print the seconds of its step
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: no GPU: expected one that PyTorch sees (--device cpu tries the command itself)")
    device = torch.device(given.device)
    settings = params.load(Path(f"presets/{given.preset}.yaml"))
    torch.manual_seed(0)
    plan = Plan(settings, given.backbone, device, tuple(given.size), given.seconds, time.monotonic() + given.limit)
    if given.alone:
        training(plan, given.alone, ready(plan, of_project(plan, given.alone)), False, given.batches[0])
        print(plan.table.training[0]["seconds"])
        return
    plan.bound = bound_of(device)
    plan.table.machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "size": list(given.size),
        **asdict(plan.bound),
    }
    arguments = ["--preset", given.preset, "--backbone", given.backbone, "--device", given.device]
    arguments += ["--size", *map(str, given.size), "--seconds", str(given.seconds)]
    names = given.variants or list(variants(settings).values())
    with EventStorage(0):  # detectron2's own model writes statistics to one; nobody reads it
        measure(plan, names, given.batches, arguments)
    given.out.write_bytes(orjson.dumps(asdict(plan.table), option=orjson.OPT_INDENT_2))
    write(given.out)


if __name__ == "__main__":
    main()
