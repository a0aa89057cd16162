"""How much memory and time a large image takes at prediction, with as many detections as the preset allows.

.venv/bin/python benchmarks/methods/prediction_memory.py HEIGHT WIDTH [VARIANT …]

Variants are those of presets/shapes.yaml, each in a process of its own, with random weights, on a CPU. An image of
800 x 1066 goes before, so that the model's own memory is known: models see both in that size.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from bcnet import params
from bcnet.inference.predict import results
from bcnet.methods import build
from bcnet.models.segmenter import Spec
from bcnet.weights.model_file import ModelFile

PRESET = Path("presets/shapes.yaml")
SMALL = (800, 1066)


def memory() -> float:
    """The most that this process has ever held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, size: tuple[int, int]) -> None:
    """Print a variant's row."""
    settings = params.load(PRESET)
    fcos = settings.predict.fcos.model_copy(update={"score_threshold": 0.0})
    predict = settings.predict.model_copy(
        update={"score_threshold": 0.0, "short_side": 800, "max_side": 1333, "fcos": fcos}
    )
    categories = [{"id": number, "name": str(number)} for number in range(1, 4)]
    variant = settings.variant(name)
    torch.manual_seed(0)
    module = build(Spec(variant, settings.model, predict, len(categories))).eval()
    model = ModelFile(module, variant, predict, categories, {})
    rng = np.random.default_rng(0)
    results(model, rng.integers(0, 255, (*SMALL, 3), np.uint8), 1)
    before = memory()
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    start = time.perf_counter()
    found = results(model, picture, 2)
    seconds = time.perf_counter() - start
    print(f"| `{name}` | {len(found)} | {before:.2f} | {memory():.2f} | {seconds:.1f} |", flush=True)


def main() -> None:
    """Print a table, one variant after the other."""
    height, width, *names = sys.argv[1:]
    if names[:1] == ["--alone"]:
        measure(names[1], (int(height), int(width)))
        return
    print(
        f"| {height} x {width} | detections | GiB, {SMALL[0]} x {SMALL[1]} | GiB | s |\n|---|---|---|---|---|",
        flush=True,
    )
    for name in names or params.load(PRESET).variants:
        subprocess.run([sys.executable, "-W", "ignore", __file__, height, width, "--alone", name], check=True)


if __name__ == "__main__":
    main()
