"""How evaluation grows: time and memory of all of `bcnet evaluate` at 1/16, 1/4, 1 and 4 times 5,000 images.

    python benchmarks/evaluation/evaluation_growth.py ANNOTATIONS PREDICTIONS [--runs 2]

ANNOTATIONS, PREDICTIONS: as of evaluation.py beside it. Each evaluation is a process of its own, and the fastest of the
runs counts: by the clock, and by the processor's time, in which other work on the machine matters less.
"""

import argparse
import tempfile
from pathlib import Path

from evaluation import measure, repeat

IMAGES = (312, 1250, 5000, 20000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs=2, type=Path, metavar="ANNOTATIONS PREDICTIONS")
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(*args.files, 1, folder)
        measure("bcnet evaluate", folder, ["segm"])  # compiles
        for images in IMAGES:
            repeat(*args.files, images, folder)
            runs = [measure("bcnet evaluate", folder, ["segm"]) for _ in range(args.runs)]
            seconds, cpu, memory = (min(run[key] for run in runs) for key in ("seconds", "cpu", "memory"))
            print(f"  {seconds:6.2f} s, {cpu:6.2f} s of processor, {memory:5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
