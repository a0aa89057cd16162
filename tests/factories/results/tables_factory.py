"""Made metrics of a run, and the tables beside them, for the tests of `bcnet compare`."""

import csv
import json
from pathlib import Path

from evaluation_factory import write_tables
from places import ROOT

from bcnet import params
from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.evaluation.metrics.occlusion.occlusion_bins import OCCLUDERS

EDGES = [0.0, 0.125, 1.0]
TABLES = {"metrics": ["AP", "AP50", "APs"], "draws": 200}  # of differences
SHARE = {"bcnet": 0.4, "mask-rcnn": 0.3, "zoo": 0.45, "yolo": 0.35, "boxes": 0.2}  # AP of seed 0 on val
LEVELS = {  # IoU thresholds of what a seed finds
    "bcnet": (7, 5, 8),
    "mask-rcnn": (4, 4, 5),
    "zoo": (6,),
    "yolo": (5,),
    "boxes": (2,),
}
LABELS = {"mask-rcnn": "Mask R-CNN", "bcnet": "BCNet", "zoo": "The zoo's", "yolo": "YOLOv8n", "boxes": "A detector"}


def parameters(**changes: object) -> params.Params:
    """Two variants, an imported model and two brought predictions on two splits, three seeds."""
    content = params.load(ROOT / "presets" / "demo.yaml").model_dump(mode="json", exclude_unset=True)
    content["imported"] = {"zoo": {"file": "zoo.pkl", "label": LABELS["zoo"]}}
    content["predictions"] = {name: {"file": f"{name}.json", "label": LABELS[name]} for name in ("yolo", "boxes")}
    content["seeds"] = [0, 1, 2]
    content["tables"] = {"metrics": ["AP", "AP50", "APs"], "draws": 20}
    content["evaluate"] = {"cover_bins": EDGES, "mask_cover_bins": [0.0, 1.0], "box_iou_bins": [0.0, 0.5, 1.0]}
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
    return {
        "provenance": provenance | {"iou_type": "bbox" if boxes else "segm"},
        "segm": dict.fromkeys(NAMES) if boxes else twelve,
        "bbox": dict.fromkeys(NAMES, value + 0.05),
        "boundary": dict.fromkeys(NAMES, None if boxes else value - 0.05),
        **occlusion(value, boxes, split),
    }


def occlusion(value: float, boxes: bool, split: str) -> dict:
    """The numbers of occlusion; on the split "occluded" nothing is occluded, and nothing separated."""
    there = split == "val"
    covered, rest = (205, 700) if there else (0, 905)

    def bin(objects: int, **name: float | str) -> dict:
        shares = {"AR": value / 2, "AR50": value, "AR75": value / 4, "AP": value / 8, "APn": value / 5}
        return {**name, "objects": objects, **{key: share if objects else None for key, share in shares.items()}}

    def group(objects: int, more: float) -> dict:
        kinds = {"found": value + more, "wrong_class": 0.01, "badly_localised": 0.2, "both": 0.03, "missed": 0.04}
        return {"objects": objects, **{name: share if objects else None for name, share in kinds.items()}}

    def category(id_: int, name: str, more: float) -> dict:
        ap = {key: None if key == "APs" else value + more for key in ("AP", "AP50", "AP75", "APs", "APm", "APl")}
        by_kind = {"bbox": ap} if boxes else dict.fromkeys(("segm", "bbox", "boundary"), ap)
        return {"id": id_, "name": name, "objects": 900 // id_, **by_kind}

    names = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN")
    return {
        "recall": {
            "box_cover": [bin(rest, **{"from": 0.0, "to": 0.125}), bin(covered, **{"from": 0.125, "to": 1.0})],
            "mask_cover": [bin(905, **{"from": 0.0, "to": 1.0})],
            "max_box_iou": [bin(rest, **{"from": 0.0, "to": 0.5}), bin(covered, **{"from": 0.5, "to": 1.0})],
            "occluder": [bin(n, occluder=of) for n, of in zip((rest, 0, covered), OCCLUDERS, strict=True)],
        },
        "failures": None
        if boxes
        else {"all": group(905, 0), "occluded": group(covered, -0.1), "separated": group(181 * there, -0.2)},
        "leak": None if boxes else {"objects": covered, "rate": value / 3 if covered else None},
        "amodal": {"invisible": {"objects": 90, "AP": value / 9, "IoU": None}} if there and not boxes else None,
        "order": None if boxes or there else order(value),
        "tide": {"AP50": value, "gain": {name: 0.01 * k + value / 10 for k, name in enumerate(names)}, "count": {}},
        "calibration": {"ECE": value / 7, "MCE": value / 6, "bins": [], "why": None},
        "categories": [category(1, "disc", 0.05), category(2, 'ring, "thin"', -0.05)],
    }


def order(value: float) -> dict:
    shares = {"decided": value + 0.3, "accuracy_decided": value + 0.2, "accuracy": value + 0.1}
    return {"known": 9, "pairs": 8, **shares, "masks_alone": {name: share - 0.1 for name, share in shares.items()}}


def write_reports(tmp_path: Path) -> Path:
    """A reports folder with the metrics of the whole run, and of a variant that is no longer in it."""
    for split in ("val", "occluded"):
        runs = [(name, str(seed), seed) for name in ("bcnet", "mask-rcnn") for seed in range(3)]
        runs += [("zoo", "imported", 0), ("yolo", "brought", 0), ("boxes", "brought", 0), ("bcnet", "7", 7)]
        for name, run, seed in runs:
            path = tmp_path / "demo" / "metrics" / name / run / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(metrics(name, seed, split)), encoding="utf-8")
            covers = [0.0] * 700 + [0.5] * 205 if split == "val" else [0.0] * 905
            kind = "bbox" if name == "boxes" else "segm"
            write_tables(path, 150, [LEVELS[name][seed % 3]] * 905, covers, kind)
    return tmp_path


def rows(reports: Path, name: str) -> list[dict[str, str]]:
    with (reports / "demo" / "tables" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def differences_of(
    reports: Path, label: str, split: str = "val", baseline: str = "Mask R-CNN"
) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of one pair by metric and what tells its bin: the lower end (of `box_cover`), or the measure and that."""
    return {
        (row["metric"], *({row["measure"]} - {"", "box_cover"}), row["occluder"] or row["from"]): row
        for row in rows(reports, "differences.csv")
        if (row["label"], row["split"], row["baseline"]) == (label, split, baseline)
    }
