"""What `bcnet convert` costs on files of COCO's size, beside the floor and the dense method of the released code.

python benchmarks/scale/convert_scale.py [--scales 1/16 1/4 1 4] [--shards 8] [--folder FOLDER] [--polygons FILE]

A file of scale 1 has the images and annotations of COCO's train2017 (118,287 and 860,001), with the polygons of
a COCO file that `--polygons` names, otherwise with drawn ones. Scale 4 takes 10 GB of disk.
"""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from skimage.measure import find_contours

from bcnet.data.coco import annotation_file, stream
from bcnet.data.masks.segmentation import decode

IMAGES, ANNOTATIONS = 118_287, 860_001
JOBS = 2
DENSE = 200  # images that the dense method is timed on
FLOOR = """
import sys, orjson
from pycocotools import mask
data = orjson.loads(open(sys.argv[1], "rb").read())
sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
for annotation in data["annotations"]:
    if isinstance(annotation["segmentation"], list):
        mask.frPyObjects(annotation["segmentation"], *sizes[annotation["image_id"]])
"""


def originals(polygons: Path | None) -> dict[str, Any]:
    """The content of a COCO file whose images are to be repeated; without one, drawn."""
    if polygons is not None:
        return annotation_file.read(polygons)
    rng, annotations = np.random.default_rng(0), []
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 480, "width": 640} for i in range(300)]
    for image in images:
        for _ in range(rng.integers(1, 15)):
            angles = np.linspace(0, 2 * np.pi, rng.integers(8, 60), endpoint=False)
            lengths = rng.lognormal(3.5, 0.8) * rng.uniform(0.6, 1, len(angles))
            centre = rng.uniform((40, 40), (600, 440))
            points = (centre + lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)).clip(0, (640, 480))
            low, side = points.min(0), np.ptp(points, 0)
            about = {"id": len(annotations), "image_id": image["id"], "category_id": 1, "iscrowd": 0}
            shape = {"segmentation": [points.ravel().round(2).tolist()], "bbox": [*low, *side], "area": side.prod()}
            annotations.append(about | shape)
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "drawn"}]}


def build(path: Path, scale: Fraction, polygons: Path | None) -> None:
    """Write the file: whole images in turn, some without annotations where the originals have more than COCO has on
    average; annotations in random order, since COCO's are not sorted by image."""
    data, images, wanted = originals(polygons), round(IMAGES * scale), round(ANNOTATIONS * scale)
    by_image = defaultdict(list)
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    repeated, texts = [], []
    for number in range(1, images + 1):
        image = data["images"][number % len(data["images"])]
        group = by_image[image["id"]]
        repeated.append({**image, "id": number})
        if number == images:
            group = (group * wanted)[: wanted - len(texts)]
        if len(texts) + len(group) <= number * wanted / images:
            new = [{**one, "id": len(texts) + k, "image_id": number} for k, one in enumerate(group, 1)]
            # copied, since what orjson gives keeps a buffer of several times its size
            texts += [bytes(memoryview(orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY))) for one in new]
    order = np.random.default_rng(0).permutation(len(texts))
    head = {"images": repeated, "annotations": [], "categories": data["categories"]}
    stream.write(path, head, [texts[i] for i in order])
    print(f"{path}: {images} images, {len(texts)} annotations, {path.stat().st_size / 1e6:.0f} MB", flush=True)


def measured(*command: str | Path) -> tuple[float, float, float]:
    """Run a command: seconds of wall clock, of processor time, and peak memory of all its processes in GB.

    Memory is sampled and shared pages are counted once (proportional set size).
    """
    before, start, peak = os.times(), time.perf_counter(), 0.0
    process = psutil.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_full_info().pss for one in family) / 1e9)
        except psutil.Error:  # one of them has ended since
            pass
        time.sleep(0.5)  # reading the memory of a large process takes it 50 ms
    wall, after = time.perf_counter() - start, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
    return wall, sum(after[2:4]) - sum(before[2:4]), peak


def convert(path: Path, out: Path, *options: str) -> tuple[float, float, float]:
    """`measured` of `bcnet convert`."""
    return measured("-m", "bcnet", "convert", "--annotations", path, "--out", out, *options)


def dense(path: Path) -> float:
    """Seconds an annotation by the dense method: whole images of numbers, multiplied and added for every pair.

    As the released converter does it: a mask and a box of image size for each annotation; the product of the two for
    each neighbour; their sum, its share of the target's mask, its number of pixels and its outlines.
    """
    data = orjson.loads(path.read_bytes())
    chosen = {image["id"]: (image["height"], image["width"]) for image in data["images"][:DENSE]}
    by_image = defaultdict(list)
    for annotation in data["annotations"]:
        if annotation["image_id"] in chosen and not annotation["iscrowd"]:
            by_image[annotation["image_id"]].append(annotation)
    start, outlines, overlapped = time.perf_counter(), 0, 0.0
    for image_id, group in by_image.items():
        height, width = chosen[image_id]
        masks = [decode(one["segmentation"], height, width).astype(float) for one in group]
        boxes = []
        for one in group:
            x, y, w, h = one["bbox"]
            box = np.zeros((height, width))
            box[int(y) : int(y + h), int(x) : int(x + w)] = 1
            boxes.append(box)
        for i, target in enumerate(group):
            union = np.zeros((height, width))
            for j, other in enumerate(group):
                if i != j and _inclusive_iou(target["bbox"], other["bbox"]) > 0.05:
                    union += boxes[i] * masks[j]
            union[union > 1] = 1
            overlap = union * masks[i]
            if overlap.sum() >= 1 and masks[i].sum() > 1:
                overlapped += overlap.sum() / masks[i].sum()
            if np.count_nonzero(union.astype(int)) > 20:
                outlines += len(find_contours(union.astype(int), 0))
    return (time.perf_counter() - start) / sum(map(len, by_image.values()))


def _inclusive_iou(a: list[float], b: list[float]) -> float:
    w = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + 1)
    h = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + 1)
    return w * h / ((a[2] + 1) * (a[3] + 1) + (b[2] + 1) * (b[3] + 1) - w * h)


def compare_with_others(path: Path, wall: float, cpu: float) -> None:
    """Print the floor (reading the JSON and rasterising each polygon once) and the dense method beside a conversion."""
    floor_wall, floor_cpu, floor_peak = measured("-c", FLOOR, path)
    print(f"floor, one process: {floor_wall:.1f} s, {floor_cpu:.1f} s of processor, {floor_peak:.2f} GB")
    print(f"convert / floor: wall {wall / floor_wall:.2f}, processor {cpu / floor_cpu:.2f}")
    slow = float(dense(path) * ANNOTATIONS)
    print(f"dense, one process, from {DENSE} images: {slow:.0f} s")
    print(f"dense / convert: wall {slow / wall:.0f}, processor {slow / cpu:.0f}", flush=True)


def convert_in_shards(path: Path, whole: Path, shards: int) -> None:
    """Print what shards cost, one after the other, and whether together they are the whole."""
    parts, gathered = [path.with_name(f"{k}.json") for k in range(1, shards + 1)], path.with_name("gathered.json")
    costs = [convert(path, part, "--shard", f"{k}/{shards}", "--jobs", "1") for k, part in enumerate(parts, 1)]
    wall, _, peak = (max(cost) for cost in zip(*costs, strict=True))
    print(f"each of {shards} shards, one process: at most {wall:.1f} s, {peak:.2f} GB")
    wall, _, peak = convert(path, gathered, "--gather", *map(str, parts))
    files = [(gathered.with_suffix(end), whole.with_suffix(end)) for end in (".json", ".parquet")]
    same = all(filecmp.cmp(*pair, shallow=False) for pair in files)
    print(f"gather: {wall:.1f} s, {peak:.2f} GB; the bytes of the whole: {same}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--scales", nargs="+", type=Fraction, default=[Fraction(s) for s in ("1/16", "1/4", "1", "4")]
    )
    arguments.add_argument("--shards", type=int, default=8)
    arguments.add_argument("--folder", type=Path, help="where the files go for a while")
    arguments.add_argument("--polygons", type=Path, help="a COCO file whose polygons are repeated")
    args = arguments.parse_args()
    print(f"{os.cpu_count()} cores, polygons {args.polygons or 'drawn'}, {JOBS} processes")
    for scale in args.scales:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            path, out = Path(folder) / "in.json", Path(folder) / "out.json"
            build(path, scale, args.polygons)
            wall, cpu, peak = convert(path, out, "--jobs", str(JOBS))
            each = wall / float(ANNOTATIONS * scale) * 1e6
            print(f"scale {scale}: {wall:.1f} s, {cpu:.1f} s of processor, {peak:.2f} GB, {each:.0f} µs an annotation")
            if scale == 1:
                compare_with_others(path, wall, cpu)
                convert_in_shards(path, out, args.shards)


if __name__ == "__main__":
    main()
