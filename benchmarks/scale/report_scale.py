"""How long `bcnet report` takes for many methods and pictures, how large its page is, and how soon a browser shows it.

    python benchmarks/scale/report_scale.py FOLDER [--variants 25] [--images 5000]

All is made, below FOLDER: discs that hide each other, masks near them, and the metrics that `bcnet evaluate` gives of
them. There are no models, so that neither their maps nor their sizes are on the page. What is there already is kept.
"""

import argparse
import base64
import json
import os
import re
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from pycocotools import mask as coco_mask

from bcnet import params as parameters
from bcnet.data.masks.segmentation import encode
from bcnet.evaluation.evaluate import evaluate
from bcnet.files import write_json
from bcnet.progress import progress
from bcnet.report.tables.compare import compare

SIZE = 480, 640
OBJECTS = 7
FALSE = 13  # further detections of an image
DISTINCT = 100  # images; the others repeat them
CATEGORIES = 80


def run_parameters(variants: int) -> parameters.Params:
    """A run of so many variants, one seed, one split."""
    content = parameters.load(Path("presets/demo.yaml")).model_dump(mode="json", exclude_unset=True)
    one = {"detector": "faster_rcnn", "backbone": "resnet50", "method": "mask_rcnn"}
    content["variants"] = {f"variant-{index}": one | {"label": f"Variant {index}"} for index in range(variants)}
    return parameters.Params.model_validate(
        content | {"seeds": [0], "splits": {"val": {"rule": "all"}}, "tables": {"metrics": ["AP", "AP50"], "draws": 20}}
    )


def disc(place: np.ndarray) -> np.ndarray:
    """A mask of a disc of x, y, radius."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (columns - place[0]) ** 2 + (rows - place[1]) ** 2 <= place[2] ** 2


def objects(random: np.random.Generator) -> list[tuple[np.ndarray, dict]]:
    """The discs of a picture, later ones before earlier ones, each with what COCO's format and `convert` say of it."""
    places = np.column_stack(
        [random.uniform(100, high, OBJECTS) for high in (540, 380)] + [random.uniform(30, 90, OBJECTS)]
    )
    masks = [disc(place) for place in places]
    made = []
    for index, place in enumerate(places):
        hidden = np.any(masks[index + 1 :], axis=0) if index + 1 < OBJECTS else np.zeros(SIZE, bool)
        seen = masks[index] & ~hidden
        if not seen.any():
            continue
        rle = encode(seen)
        left, top, width, height = coco_mask.toBbox(rle).tolist()
        box = np.s_[int(top) : int(top + height), int(left) : int(left + width)]
        cover = float(
            np.mean(np.any([mask for other, mask in enumerate(masks) if other != index], axis=0)[box] & ~seen[box])
        )
        occlusion = {"box_cover": cover, "mask_cover": 0.0, "max_box_iou": cover / 2, "n_occluders": int(cover > 0)}
        about = {"segmentation": rle, "bbox": [left, top, width, height], "area": float(seen.sum()), "iscrowd": 0}
        about |= {
            "category_id": int(random.integers(1, CATEGORIES + 1)),
            "occlusion": occlusion | {"same_category": False},
        }
        made.append((place, about | {"occluder": encode(hidden) if cover > 0 else None}))
    return made


def near(found: list[tuple[np.ndarray, dict]], error: float, random: np.random.Generator) -> list[dict]:
    """What a method with errors of so many pixels makes of a picture."""
    made = []
    for index in range(len(found) + FALSE):
        place, about = found[index % len(found)]
        mask = encode(disc(place + random.normal(0, error * (1 + index // len(found)), 3) + [0, 0, 2]))
        score = round(float(random.uniform(0.4, 1) if index < len(found) else random.uniform(0.05, 0.3)), 3)
        made.append({"category_id": about["category_id"], "score": score, "segmentation": mask})
    return sorted(made, key=lambda each: -each["score"])


def make(params: parameters.Params, images: int) -> None:
    """The run's files, those that are not there yet."""
    random = np.random.default_rng(0)
    data = Path("data") / params.dataset
    pictures = [objects(random) for _ in range(DISTINCT)]
    if not (data / "splits" / "val.json").exists():
        annotations, entries = [], []
        folder = data / "images" / "val"
        folder.mkdir(parents=True)
        coarse = random.integers(0, 255, (60, 80, 3)).astype(np.uint8)  # as many details as a photograph
        Image.fromarray(coarse).resize(SIZE[::-1]).save(folder / "1.jpg")
        for image in range(1, images + 1):
            entries.append({"id": image, "file_name": f"{image}.jpg", "height": SIZE[0], "width": SIZE[1]})
            for _, about in pictures[image % DISTINCT]:
                annotations.append({"id": len(annotations) + 1, "image_id": image, **about})
            if image > 1:
                os.link(folder / "1.jpg", folder / f"{image}.jpg")
        categories = [{"id": index, "name": f"category {index}"} for index in range(1, CATEGORIES + 1)]
        write_json(
            data / "splits" / "val.json",
            {"info": {}, "images": entries, "annotations": annotations, "categories": categories},
        )
    for index, name in enumerate(progress(params.variants, "variants", len(params.variants))):
        metrics = Path("reports") / params.dataset / "metrics" / name / "0" / "val.json"
        found = data / "predictions" / name / "0" / "val.json"
        if metrics.exists():
            continue
        results = [near(each, 2 + index / 4, random) for each in pictures]
        write_json(
            found, [{"image_id": image, **each} for image in range(1, images + 1) for each in results[image % DISTINCT]]
        )
        about = {"origin": "measured here", "name": name, "label": f"Variant {index}", "schedule": {"iterations": 600}}
        write_json(found.with_name("val.provenance.json"), about)
        log = [{"iteration": 20 * line, "lr": 0.1, "loss": 9 / line, "loss_mask": 4 / line} for line in range(1, 301)]
        training = data / "models" / name / "0" / "training.jsonl"
        training.parent.mkdir(parents=True)
        training.write_text("".join(json.dumps(line) + "\n" for line in log))
        evaluate(data / "splits" / "val.json", found, metrics, params.evaluate)


def repeats(page: Path) -> int:
    """Bytes that the page would have more if no image repeated another: its data, every column shuffled, compressed."""
    packed = re.search('id="objects-data">([^<]*)<', page.read_text(encoding="utf-8"))[1]
    content = json.loads(zlib.decompress(base64.b64decode(packed)))
    random = np.random.default_rng(0)
    for name, column in content["objects"].items():
        if name in ("fate", "iou", "taken"):  # of each method
            shuffled = [random.permutation(list(own)).tolist() for own in column]
            content["objects"][name] = ["".join(own) for own in shuffled] if name == "fate" else shuffled
        else:
            content["objects"][name] = random.permutation(column).tolist()
    text = json.dumps(content, separators=(",", ":")).encode()
    return len(base64.b64encode(zlib.compress(text))) - len(packed)


def main() -> None:
    """Make the run, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", type=int, default=25)
    parser.add_argument("--images", type=int, default=5000)
    args = parser.parse_args()
    params = run_parameters(args.variants)
    args.folder.mkdir(parents=True, exist_ok=True)
    reference = Path("reference").resolve() / "results.yaml"
    os.chdir(args.folder)
    make(params, args.images)
    compare(params, Path("reports"), reference)
    write_json(Path("params.yaml"), params.model_dump(mode="json", exclude_unset=True))  # JSON is YAML
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bcnet", "report"], check=True)
    seconds = time.perf_counter() - start
    page = Path("reports") / params.dataset / "index.html"
    megabytes, more = page.stat().st_size / 1e6, repeats(page) / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(
        f"{args.variants} variants, {args.images} images: {seconds:.1f} s ({cpu:.1f} s busy), {megabytes:.2f} MB,"
        f" {megabytes + more:.2f} MB if no image repeated another"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for _ in range(3):
            opened = browser.new_page(viewport={"width": 1280, "height": 800})
            opened.goto(page.resolve().as_uri())
            loaded = opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1e3
            opened.wait_for_selector(".thumbs li")
            browsed = opened.evaluate("performance.now()") / 1e3
            screens = opened.evaluate("document.documentElement.scrollHeight / innerHeight")
            print(f"opened in {loaded:.2f} s, objects there after {browsed:.2f} s, {screens:.1f} screens of 1280 x 800")
            opened.close()
        browser.close()


if __name__ == "__main__":
    main()
