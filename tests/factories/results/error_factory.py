"""What errors of detections are told from, by the COCO API alone; and hotcoco's word on them."""

from typing import Any

import hotcoco
import numpy as np
from evaluation_factory import coco_api
from pycocotools import mask as coco_mask

DTYPES = {
    "category": int,
    "score": float,
    "object": int,
    "ignored": bool,
    "same_iou": float,
    "same_object": int,
    "other_iou": float,
    "other_object": int,
}


def by_hotcoco(truth: dict, predictions: list[dict]) -> hotcoco.COCOeval:
    """Matched masks."""
    content = {key: truth[key] for key in ("images", "annotations", "categories")}
    ground_truth = hotcoco.COCO(content)
    evaluator = hotcoco.COCOeval(ground_truth, ground_truth.load_res(predictions), "segm")
    evaluator.evaluate()
    return evaluator


def evidence(truth: dict, predictions: list[dict]) -> dict[str, np.ndarray]:
    """What `tide` takes of detections, fewer than 100 an image, and annotations in the order of their images."""
    objects = truth["annotations"]
    place = {each["id"]: index for index, each in enumerate(objects)}
    evaluator = coco_api(truth, predictions, "segm") if predictions else None
    matched = {}  # detection, numbered from 1: object, ignored
    for pairs in evaluator.evalImgs if evaluator else []:
        if pairs and pairs["aRng"] == [0, 1e10]:
            for detection, match, crowd in zip(
                pairs["dtIds"], pairs["dtMatches"][0], pairs["dtIgnore"][0], strict=True
            ):
                matched[detection] = (-1 if crowd or not match else place[int(match)], bool(crowd))
    shapes = [evaluator.cocoGt.annToRLE(each) for each in objects] if evaluator else []
    numbered = sorted(
        enumerate(predictions, start=1),
        key=lambda each: (each[1]["image_id"], each[1]["category_id"], -each[1]["score"]),
    )
    rows: list[dict[str, Any]] = []
    for number, each in numbered:
        row = {"category": each["category_id"], "score": each["score"]}
        row["object"], row["ignored"] = matched[number]
        for name in ("same", "other"):
            rivals = [
                index
                for index, rival in enumerate(objects)
                if rival["image_id"] == each["image_id"]
                and (rival["category_id"] == each["category_id"]) == (name == "same")
                and not rival["iscrowd"]
            ]
            ious = [coco_mask.iou([each["segmentation"]], [shapes[index]], [0])[0, 0] for index in rivals]
            highest = max(ious, default=0.0)
            row |= {f"{name}_iou": highest, f"{name}_object": rivals[ious.index(highest)] if rivals else -1}
        rows.append(row)
    columns = {name: np.array([row[name] for row in rows], dtype) for name, dtype in DTYPES.items()}
    return columns | {
        "object_category": np.array([each["category_id"] for each in objects], int),
        "crowd": np.array([each["iscrowd"] for each in objects], bool),
    }


def told_apart(predictions: list[dict], seed: int) -> list[dict]:
    """The same predictions with scores of which no two are equal."""
    scores = np.random.default_rng(seed).permutation(len(predictions)) / len(predictions)
    return [{**each, "score": float(score)} for each, score in zip(predictions, scores, strict=True)]
