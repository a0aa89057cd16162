"""What the annotations of a training take in memory: of one process, and of workers that read all of them.

python benchmarks/scale/loader_memory.py BILAYER [--workers 4]

BILAYER is a file that `bcnet convert` has made, such as of one that convert_scale.py beside it builds. No image is
read. Memory is that of all processes, pages that they share counted once (proportional set size), beyond what Python
and PyTorch take.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import psutil

from bcnet.params.models import Schedule
from bcnet.training.loader import TrainingPictures


def held() -> float:
    """GB of this process and its children."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bilayer", type=Path)
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()
    schedule = Schedule.model_validate({"iterations": 1, "batch": 1, "lr": 1, "short_side": [800], "max_side": 1333})
    before, start = held(), time.process_time()
    pictures = TrainingPictures(args.bilayer, Path(), schedule, 0, "RGB")
    seconds = time.process_time() - start
    print(
        f"{len(pictures)} pictures with objects: read in {seconds:.1f} s of processor, {held() - before:.2f} GB kept",
        flush=True,
    )

    start = time.process_time()
    for index in range(2000):
        pictures.record(index * len(pictures) // 2000)
    print(
        f"{(time.process_time() - start) / 2000 * 1e6:.0f} µs of processor for the annotations of a picture", flush=True
    )

    def read_all(barrier: multiprocessing.Barrier) -> None:
        for index in range(len(pictures)):
            pictures.record(index)
        barrier.wait()
        barrier.wait()

    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(args.workers + 1)
    workers = [fork.Process(target=read_all, args=(barrier,)) for _ in range(args.workers)]
    for worker in workers:
        worker.start()
    barrier.wait()
    print(f"{held() - before:.2f} GB with {args.workers} workers that have read all", flush=True)
    barrier.wait()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
