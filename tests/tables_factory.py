"""Made metrics of a run, and the tables beside them, for the tests of `bcnet compare`."""

import csv
import json
from pathlib import Path

from evaluation_factory import write_tables

from bcnet import params
from bcnet.evaluation.coco_ap import NAMES

ROOT = Path(__file__).parents[1]
EDGES = [0.0, 0.125, 1.0]
SHARE = {"bcnet": 0.4, "mask-rcnn": 0.3, "zoo": 0.45, "yolo": 0.35, "boxes": 0.2}  # AP of seed 0 on val
LEVELS = {
    "bcnet": (7, 5, 8),
    "mask-rcnn": (4, 4, 5),
    "zoo": (6,),
    "yolo": (5,),
}  # IoU thresholds of what a seed finds
LABELS = {"mask-rcnn": "Mask R-CNN", "bcnet": "BCNet", "zoo": "The zoo's", "yolo": "YOLOv8n", "boxes": "A detector"}


def parameters(**changes: object) -> params.Params:
    """Two variants, an imported model and two brought predictions on two splits, three seeds."""
    content = params.load(ROOT / "presets" / "demo.yaml").model_dump(mode="json", exclude_unset=True)
    content["imported"] = {"zoo": {"file": "zoo.pkl", "label": LABELS["zoo"]}}
    content["predictions"] = {name: {"file": f"{name}.json", "label": LABELS[name]} for name in ("yolo", "boxes")}
    content["seeds"] = [0, 1, 2]
    content["tables"] = {"metrics": ["AP", "AP50", "APs"], "draws": 20}
    content["evaluate"] = {"cover_bins": EDGES}
    return params.Params.model_validate(content | changes)


def share(name: str, seed: int, split: str) -> float:
    return SHARE[name] + 0.0123456 * seed**2 - (0.1 if split == "occluded" else 0)


def metrics(name: str, seed: int, split: str) -> dict:
    """What `evaluate` writes, with numbers that tell where they come from; APs is undefined."""
    own = name in ("bcnet", "mask-rcnn")
    boxes = name == "boxes"
    value = share(name, seed, split)
    origin = "measured here" if own else "imported" if name == "zoo" else "brought"
    provenance = {"origin": origin, "name": name, "images": 150, "objects": 905}
    if name == "zoo":
        provenance |= {"detector": "fcos", "backbone": "resnet101"}
    if own:
        provenance |= {"seed": seed, "train_on": "train", "schedule": {"iterations": 600, "batch": 4}}
    twelve = {metric: None if metric == "APs" else value for metric in NAMES} | {"AP50": value + 0.2}
    edges = [(0.0, 0.125, 700), (0.125, 1.0, 205)] if split == "val" else [(0.0, 0.125, 905), (0.125, 1.0, 0)]
    bins = [
        {"from": low, "to": high, "objects": n, "AR": value / 2 if n else None}
        | {"AR50": value if n else None, "AR75": value / 4 if n else None}
        for low, high, n in edges
    ]
    return {
        "provenance": provenance | {"iou_type": "bbox" if boxes else "segm"},
        "segm": dict.fromkeys(NAMES) if boxes else twelve,
        "bbox": dict.fromkeys(NAMES, value + 0.05),
        "recall": {"box_cover": bins},
    }


def write_reports(tmp_path: Path) -> Path:
    """A reports folder with the metrics of the whole run, and of a variant that is no longer in it."""
    for split in ("val", "occluded"):
        runs = [(name, str(seed), seed) for name in ("bcnet", "mask-rcnn") for seed in range(3)]
        runs += [("zoo", "imported", 0), ("yolo", "brought", 0), ("boxes", "brought", 0), ("bcnet", "7", 7)]
        for name, run, seed in runs:
            path = tmp_path / "demo" / "metrics" / name / run / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(metrics(name, seed, split)))
            if name != "boxes":
                covers = [0.0] * 700 + [0.5] * 205 if split == "val" else [0.0] * 905
                write_tables(path, 150, [LEVELS[name][seed % 3]] * 905, covers)
    return tmp_path


def rows(reports: Path, name: str) -> list[dict[str, str]]:
    with (reports / "demo" / "tables" / name).open(newline="") as file:
        return list(csv.DictReader(file))
