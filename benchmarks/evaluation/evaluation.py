"""How long evaluation takes beside the COCO API, loading included, and how much memory: equal numbers, in one run.

    python benchmarks/evaluation/evaluation.py ANNOTATIONS PREDICTIONS [--images 5000] [--runs 3]

ANNOTATIONS, PREDICTIONS: a COCO file and predicted masks of it. Both are repeated to so many images, the scores varied
so that copies differ. Each evaluation is a process of its own; what has to be compiled is compiled before. They take
turns, and the fastest run of each counts: by the clock, and by the processor's time, in which other work on the machine
matters less. hotcoco and faster-coco-eval are compared where they are installed (no other part of bcnet needs them).
"""

import argparse
import importlib.util
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: F401 (pyarrow would at its first table: time is taken after all imports)
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.masks.rle_text import bytes_of, pixels_of
from bcnet.evaluation.evaluate import detections_read, evaluate
from bcnet.evaluation.matching.arrays import image_ids, objects_of
from bcnet.evaluation.measure import without_collector
from bcnet.evaluation.metrics.coco_ap import numbers_of
from bcnet.params.results import Evaluate
from bcnet.threads import processors, thread_beside


def repeat(annotations: Path, predictions: Path, images: int, folder: Path) -> None:
    """Write both files, repeated."""
    truth, found = json.loads(annotations.read_text()), json.loads(predictions.read_text())
    varied = random.Random(0)
    copies = -(-images // len(truth["images"]))
    step = 1 + max(image["id"] for image in truth["images"])
    repeated = {**truth, "images": [], "annotations": []}
    results = []
    for copy in range(copies):
        repeated["images"] += [{**image, "id": image["id"] + copy * step} for image in truth["images"]]
        for annotation in truth["annotations"]:
            place = {"id": len(repeated["annotations"]) + 1, "image_id": annotation["image_id"] + copy * step}
            repeated["annotations"].append({**annotation, **place})
        for prediction in found:  # no box beside a mask: the COCO API would take its area for the mask's
            score = min(1.0, max(0.0001, prediction["score"] * varied.uniform(0.9, 1.1)))
            place = {"image_id": prediction["image_id"] + copy * step, "category_id": prediction["category_id"]}
            results.append({**place, "score": score, "segmentation": prediction["segmentation"]})
    (folder / "truth.json").write_text(json.dumps(repeated))
    (folder / "found.json").write_text(json.dumps(results))
    print(f"{len(repeated['images'])} images, {len(repeated['annotations'])} objects, {len(results)} predictions")


def coco_api(folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """The COCO API's numbers."""
    numbers = {}
    with redirect_stdout(StringIO()):
        truth = COCO(str(folder / "truth.json"))
        found = truth.loadRes(str(folder / "found.json"))
        for kind in kinds:
            if kind == "bbox":  # sizes of objects by box, as ours
                for each in found.anns.values():
                    each["area"] = each["bbox"][2] * each["bbox"][3]
            evaluator = COCOeval(truth, found, kind)
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
            numbers[kind] = evaluator.stats.tolist()
    return numbers


@without_collector()
def ours(folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """This project's numbers, without the rest of `bcnet evaluate`."""
    with thread_beside() as other:
        scanning = other.submit(prediction_file.scan, folder / "found.json", max(1, processors() - 1))
        content = annotation_file.read(folder / "truth.json")
        reading = other.submit(detections_read, folder / "found.json", content, scanning)
        objects = objects_of(content, image_ids(content))
        found, detections = reading.result()
    numbers = numbers_of(found, content, kinds, objects, detections)
    return {kind: list(of_kind.values()) for kind, of_kind in numbers.items()}


def whole(folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """All of `bcnet evaluate`."""
    evaluate(folder / "truth.json", folder / "found.json", folder / "out.json", Evaluate())
    metrics = json.loads((folder / "out.json").read_text())
    return {kind: list(metrics[kind].values()) for kind in kinds}


def hotcoco(folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """hotcoco's numbers."""
    from hotcoco import COCO, COCOeval

    return _as_coco_api(COCO, COCO.load_res, COCOeval, folder, kinds)


def faster_coco_eval(folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """faster-coco-eval's numbers."""
    from faster_coco_eval import COCO, COCOeval_faster

    return _as_coco_api(COCO, COCO.loadRes, COCOeval_faster, folder, kinds)


def _as_coco_api(read: Any, load: Any, evaluator: Any, folder: Path, kinds: list[str]) -> dict[str, list[float]]:
    """COCO's twelve numbers of each kind by a program with the interface of COCO's, which prints nothing."""
    with redirect_stdout(StringIO()):
        truth = read(str(folder / "truth.json"))
        found = load(truth, str(folder / "found.json"))
        numbers = {}
        for kind in kinds:
            evaluation = evaluator(truth, found, kind)
            evaluation.run()
            numbers[kind] = [float(number) for number in evaluation.stats[:12]]
    return numbers


EVALUATIONS = {
    "pycocotools": coco_api,
    "hotcoco": hotcoco,
    "faster_coco_eval": faster_coco_eval,
    "bcnet, its numbers": ours,
    "bcnet evaluate": whole,
}


PEERS = {"hotcoco", "faster_coco_eval"}
SLOW = {"pycocotools", "faster_coco_eval"}  # run once


def measure(name: str, folder: Path, kinds: list[str]) -> dict:
    """Time, memory and numbers of an evaluation in a process of its own."""
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--kinds", *kinds]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def measure_here(name: str, folder: Path, kinds: list[str]) -> dict:
    """The same in this process.

    Time is taken after all imports. numba imports the rest of itself, and SciPy's linear algebra, when a compiled
    function is first called; so one is called before.
    """
    pixels_of(bytes_of(""), 0, 0)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    numbers = EVALUATIONS[name](folder, kinds)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "memory": after.ru_maxrss / 1024, "numbers": numbers}


def compare(names: list[str], folder: Path, kinds: list[str], runs: int) -> None:
    """Print how long each takes, how much memory, and how far its numbers are from those of the COCO API."""
    found: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(runs):
        for name in names:
            if turn == 0 or name not in SLOW:
                found[name].append(measure(name, folder, kinds))
    expected = found["pycocotools"][0]["numbers"] if "pycocotools" in found else None
    for name, of_runs in found.items():
        seconds, cpu, memory = (min(run[key] for run in of_runs) for key in ("seconds", "cpu", "memory"))
        line = f"  {name:20} {seconds:6.2f} s, {cpu:6.2f} s of processor, {memory:5.0f} MB"
        if expected:
            numbers = of_runs[0]["numbers"]
            pairs = [
                (-1 if ours is None else ours, theirs)
                for kind in kinds
                for ours, theirs in zip(numbers[kind], expected[kind], strict=True)
            ]
            line += f", {len(pairs)} numbers at most {max(abs(a - b) for a, b in pairs):.1e} apart"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path, metavar="ANNOTATIONS PREDICTIONS")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=EVALUATIONS, help="compare these alone")
    parser.add_argument("--one", choices=EVALUATIONS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kinds", nargs="+")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure_here(args.one, args.folder, args.kinds)))
        return
    if len(args.files) != 2:
        parser.error("expected two files: ANNOTATIONS PREDICTIONS")
    names = args.only or [name for name in EVALUATIONS if name not in PEERS or importlib.util.find_spec(name)]
    annotations, predictions = args.files
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(annotations, predictions, 1, folder)
        measure("bcnet evaluate", folder, ["segm"])  # compiles
        repeat(annotations, predictions, args.images, folder)
        for kinds in (["segm"], ["segm", "bbox"]):
            print(" and ".join(kinds))
            compare(names, folder, kinds, args.runs)


if __name__ == "__main__":
    main()
