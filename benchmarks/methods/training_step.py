"""How long a training iteration of each variant takes, and where its time goes. After `make demo`:

.venv/bin/python benchmarks/methods/training_step.py [ITERATIONS [VARIANT …]]
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from bcnet import params
from bcnet.methods import build
from bcnet.models.backbones import BACKBONES
from bcnet.models.segmenter import Spec
from bcnet.training.initial import load_backbone
from bcnet.training.loader import TrainingPictures
from bcnet.training.loop import step
from bcnet.training.sampler import BatchKeys
from bcnet.training.schedule import make_optimizer
from bcnet.training.together import join_processes

WARM_UP = 4  # iterations that are not counted


def measure(name: str, iterations: int, memory_format: torch.memory_format) -> None:
    """Print the seconds of an iteration of a variant, loading apart, and a profile of three more."""
    settings = params.load()
    folder = Path("data") / settings.dataset
    variant, schedule = settings.variant(name), settings.schedule_of(name)
    order = BACKBONES[variant.backbone].channel_order
    pictures = TrainingPictures(
        folder / "bilayer/train.json",
        folder / "images/train",
        schedule,
        0,
        order,
        variant.masks,
        variant.mask_targets,
        variant.has_occluder_layer,
    )
    device = join_processes().device
    torch.manual_seed(0)
    model = build(Spec(variant, settings.model, settings.predict, len(pictures.categories))).to(device).train()
    load_backbone(model, folder / "weights" / f"{name}.safetensors")
    model.to(memory_format=memory_format)
    optimizer = make_optimizer(model, schedule)
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda" and schedule.amp)
    loading, stepping = [], []
    keys = list(BatchKeys(0, 0, WARM_UP + iterations + 3, schedule.batch, len(pictures)))
    for iteration, batch_keys in enumerate(keys[: WARM_UP + iterations]):
        start = time.perf_counter()
        batch = [pictures[key] for key in batch_keys]
        loaded = time.perf_counter()
        float(sum(step(model, batch, optimizer, scaler, schedule, iteration).values()))  # waits for a GPU
        loading.append(loaded - start)
        stepping.append(time.perf_counter() - loaded)
    counted = stepping[WARM_UP:]
    print(
        f"{name}, {memory_format}, {torch.get_num_threads()} threads, {device.type}: "
        f"median {statistics.median(counted):.3f} s, {min(counted):.3f} to {max(counted):.3f}, of {iterations}; "
        f"loading {statistics.median(loading[WARM_UP:]):.3f} s"
    )
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for iteration, batch_keys in enumerate(keys[-3:]):
            step(model, [pictures[key] for key in batch_keys], optimizer, scaler, schedule, iteration)
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    for event in events[:8]:
        print(f"    {100 * event.self_cpu_time_total / total:5.1f} %  {event.key}")


if __name__ == "__main__":
    iterations, *names = sys.argv[1:] or ["20"]
    for variant_name in names or params.load().variants:
        for layout in (torch.contiguous_format, torch.channels_last):
            measure(variant_name, int(iterations), layout)
