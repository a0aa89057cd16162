"""A made run for the tests of the report: pictures, predictions, logs and metrics, and its page."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_factory import write_tables
from PIL import Image
from safetensors.numpy import save_file

from bcnet import params as parameters
from bcnet.data.masks.encoded_masks import EncodedMasks
from bcnet.data.masks.segmentation import encode
from bcnet.evaluation.metrics.occlusion.occlusion_bins import bin_names
from bcnet.files import write_json
from bcnet.inference.detect import Detections
from bcnet.models.detections import MAPS
from bcnet.report.figures import rois
from bcnet.report.page.page import report
from bcnet.report.tables import compare
from bcnet.report.tables.rows import methods
from bcnet.weights.model_file import ModelFile

SCRIPT = "<script>alert(1)</script>"
SIZE = 96
HASH = "0123456789abcdef" * 4
LOSSES = {"mask-rcnn": ["loss_cls", "loss_mask"], "bcnet": ["loss_cls", "loss_mask", "loss_occluder_mask"]}


def run_parameters(**changes) -> parameters.Params:
    """Two variants, two seeds, an imported model, brought predictions, two splits."""
    content = {
        "dataset": "demo",
        "datasets": {"demo": {"source": "shapes", "seed": 3, "size": SIZE, "train": 60, "val": 10}},
        "splits": {"val": {"rule": "all"}, "occluded": {"rule": "box_iou", "threshold": 0.2}},
        "schedule": {"iterations": 600, "batch": 4, "lr": 0.01, "short_side": [SIZE], "max_side": SIZE, "warmup": 5},
        "synthetic": {},
        "convert": {},
        "train_on": "train",
        "model": {},
        "evaluate": {},
        "predict": {"short_side": SIZE, "max_side": SIZE},
        "seeds": [0, 1],
        "variants": {
            "mask-rcnn": {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "mask_rcnn"},
            "bcnet": {
                "detector": "faster_rcnn",
                "backbone": "efficientnet_lite0",
                "method": "bcnet",
                "label": f"BCNet $x$ {SCRIPT}",
            },
        },
        "imported": {"zoo": {"file": "https://a.b/model.pkl", "label": "The zoo's"}},
        "predictions": {"theirs": {"file": "theirs.json", "label": "_Theirs"}},
        "tables": {"metrics": ["AP", "AP50", "APs"], "draws": 100},
    }
    return parameters.Params.model_validate({**content, **changes})


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def write_pictures(data: Path) -> None:
    """Ten pictures of three discs each, the later ones more overlapped, and predictions near the truth."""
    images, annotations, random = [], [], np.random.default_rng(0)
    found: dict[str, list] = {"mask-rcnn/0": [], "bcnet/0": [], "zoo/imported": [], "theirs/brought": []}
    for image_id in range(1, 11):
        name = f"{SCRIPT.split('/')[0]}{image_id}.png"
        images.append({"id": image_id, "file_name": name, "width": SIZE, "height": SIZE})
        canvas = random.integers(90, 140, (SIZE, SIZE, 3)).astype(np.uint8)
        for index in range(3):
            mask = disc(30 + index * (34 - 2 * image_id), 40 + 8 * index, 18)
            canvas[mask] = (60 + 60 * index, 160 - 40 * index, 90)
            occlusion = {"box_cover": image_id / 20, "mask_cover": 0.0, "max_box_iou": image_id / 20, "n_occluders": 1}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1 + index % 2 * 4,
                    "segmentation": encode(mask),
                    "occluder": encode(disc(30, 40, 18)) if index else None,
                    "occlusion": occlusion,
                }
            )
            for method, shift in zip(found, (5, 1, 2, 14), strict=True):
                moved = encode(np.roll(mask, shift, axis=1))
                score = 0.9 - 0.3 * (index == 2 and method == "mask-rcnn/0") - 0.1 * index
                found[method].append(
                    {"image_id": image_id, "category_id": 1 + index % 2 * 4, "score": score, "segmentation": moved}
                )
        path = data / "images" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    categories = [{"id": 1, "name": SCRIPT}, {"id": 5, "name": "ring"}]
    write_json(data / "splits" / "val.json", {"images": images, "annotations": annotations, "categories": categories})
    for method, predictions in found.items():
        write_json(data / "predictions" / method / "val.json", predictions)


def load_model(path: Path) -> ModelFile:
    """What stands for the bilayer model of the run; its file must be there."""
    assert path.exists()
    params = run_parameters()
    categories = [{"id": 1, "name": SCRIPT}, {"id": 5, "name": "ring"}]
    return ModelFile(None, params.variants["bcnet"], params.predict, categories, {})


def detect(model: ModelFile, picture: np.ndarray) -> Detections:
    """What stands for its inference: the discs of `write_pictures` by their colours, with maps of one value each."""
    masks = np.stack([(picture == (60 + 60 * k, 160 - 40 * k, 90)).all(axis=2) for k in range(3)])
    extents = [[(at.min(), at.max() + 1) for at in np.nonzero(mask)] for mask in masks]
    boxes = np.array([[left, top, right, bottom] for (top, bottom), (left, right) in extents], np.float32)
    maps = {name: np.full((3, 28, 28), 0.2 * k, np.float32) for k, name in enumerate(MAPS, start=1)}
    encoded = EncodedMasks([encode(mask) for mask in masks], masks.shape[1:])
    return Detections([0, 1, 0], [0.9, 0.8, 0.7], boxes, encoded, maps)


def write_training(data: Path) -> None:
    for variant, names in LOSSES.items():
        for seed in (0, 1):
            path = data / "models" / variant / str(seed) / "training.jsonl"
            path.parent.mkdir(parents=True)
            save_file({"weight": np.zeros((50, 400), np.float32)}, path.with_name("model.safetensors"))
            with path.open("w", encoding="utf-8") as file:
                for iteration in range(20, 601, 20):
                    losses = {name: (1 + 0.2 * k + seed / 9) * 60 / (40 + iteration) for k, name in enumerate(names)}
                    line = {"iteration": iteration, "lr": 0.01, **losses, "loss": sum(losses.values())}
                    file.write(json.dumps(line) + "\n")
            write_speed(data, f"{variant}/{seed}", 0.0125 if variant == "bcnet" else 0.01)
    write_speed(data, "zoo/imported", 0.5, "CPU, 2 threads")
    path = data / "models" / "zoo" / "imported" / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"weight": np.zeros((50, 800), np.float16), "count": np.zeros(30000, np.int64)}, path)


def write_speed(data: Path, model: str, median: float, device: str = "GPU <A>") -> None:
    content = {"device": device, "pictures": 10, "median_seconds": median, "mean_seconds": 2 * median}
    content["median_processor_seconds"] = 0.8 * median
    write_json(data / "predictions" / model / "val.speed.json", content)


def occlusion(params: parameters.Params, index: int) -> dict:
    """Numbers of occlusion that tell methods apart; the last bin of every measure is empty."""
    shares = [(20, 0.8), (10, 0.605 - 0.1 * index), (0, None)]
    recall = {
        measure: [
            {**name, "objects": n, **dict.fromkeys(("AR", "AR50", "AR75", "AP"), share), "APn": share and share / 2}
            for name, (n, share) in zip(names, shares, strict=True)
        ]
        for measure, names in bin_names(params.evaluate.bins()).items()
    }
    kinds = {"found": 0.5 + 0.1 * index, "wrong_class": 0.01, "badly_localised": 0.1, "both": 0.02, "missed": 0.03}
    names = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN")
    return {
        "recall": recall,
        "failures": {
            "all": {"objects": 30, **kinds},
            "occluded": {"objects": 20, **kinds},
            "separated": {"objects": 0, **dict.fromkeys(kinds)},
        },
        "leak": {"objects": 15, "rate": 0.07 - 0.01 * index},
        "amodal": {"invisible": {"objects": 9, "AP": 0.05 * index, "matched": 5, "IoU": 0.06}},
        "order": None,
        "tide": {"AP50": 0.6, "gain": {name: 0.01 * k for k, name in enumerate(names)}, "count": {}},
        "calibration": {"ECE": 0.25, "MCE": 0.4, "bins": [], "why": None},
        "categories": [
            {"id": id_, "name": name, "objects": 10 * id_, **{kind: {"AP": 0.2 * id_} for kind in ("segm", "bbox")}}
            for id_, name in ((1, SCRIPT), (2, "ring"))
        ],
    }


def write_metrics(params: parameters.Params, reports: Path) -> None:
    """Metrics of every method, run and split, and `compare`'s tables of them, with published rows added."""
    for index, method in enumerate(methods(params)):
        for run in method.runs:
            for split in params.splits:
                about = {"origin": method.origin, "name": method.name, "label": method.label, "seed": run}
                about |= {"schedule": {"iterations": 600}} if method.origin == "measured here" else {}
                about |= {"detector": "fcos", "backbone": "resnet50"} if method.origin == "imported" else {}
                about |= {"versions": {"torch": "2.14.1"}, "predictions_sha256": HASH, "iou_type": "segm"}
                ap = 0.415 + 0.01 * index + 0.002 * (run == "1")
                metrics = {
                    "provenance": {**about, "split": {"name": split}, "images": 10, "objects": 30},
                    "segm": {"AP": ap, "AP50": ap + 0.2, "APs": None},
                    "bbox": {"AP": 0.45},
                    "boundary": {"AP": ap - 0.1},
                    **occlusion(params, index),
                }
                path = reports / "demo" / "metrics" / method.name / run / f"{split}.json"
                write_json(path, metrics)
                levels = [4 + index + (run == "1") + (place % 3 == 0) for place in range(30)]
                matched = method.name != "theirs"  # whose masks are too far away
                write_tables(path, 10, levels, [0.0] * 20 + [0.2] * 10, matched=matched)
    compare.compare(params, reports)
    with (reports / "demo" / "tables" / "published.csv").open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        about = ["test-dev", "Faster R-CNN", "R50-FPN", "BCNet"]
        source, ours = ["primary", f"README {SCRIPT}", "3x"], ["measured here", "mask-rcnn", "val", "41.60", "0.14", 2]
        rows.writerow([*about, "AP", "38.40", *source, *ours, 600, "3.20", 0.5, "not reproduced", ""])
        rows.writerow(
            [*about, "AP50", "61.70", *source, *ours[:3], "61.60", "0.14", 2, 600, "-0.10", 0.5, "reproduced", ""]
        )
        why = "value, std, seeds, iterations, difference, tolerance: no method of this run is to reproduce it"
        about = ["test-dev", "FCOS", "R50-FPN", "Other"]
        rows.writerow([*about, "AP", "30.00", "secondary", "a survey", *8 * [""], "", "", "not run", why])


def write_run(root: Path) -> parameters.Params:
    """All that the report reads, below `root`."""
    params = run_parameters()
    write_pictures(root / "data" / "demo")
    write_training(root / "data" / "demo")
    write_metrics(params, root / "reports")
    return params


def put_model(patch: pytest.MonkeyPatch) -> None:
    """Let BCNet find the discs, without a model."""
    patch.setattr(rois, "load_model", load_model)
    patch.setattr(rois, "detect", detect)


def write_page(root: Path) -> Path:
    """The run, and its page, which this gives."""
    with pytest.MonkeyPatch.context() as patch:
        put_model(patch)
        report(write_run(root), root / "data", root / "reports")
    return root / "reports" / "demo" / "index.html"
