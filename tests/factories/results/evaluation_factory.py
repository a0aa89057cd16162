"""Random ground truth and noisy predictions for the tests of evaluation, and the COCO API's word on them."""

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bcnet.data.coco.prediction_format import IouType, Predictions
from bcnet.evaluation.matching.arrays import Detections, Objects, detections_of, objects_of
from bcnet.evaluation.matching.detection_table import detection_table, schema
from bcnet.evaluation.matching.object_table import MATCHED, object_table
from bcnet.evaluation.matching.outcomes import KINDS, Outcomes, outcomes
from bcnet.evaluation.statistics.resampling import PRECISION, RECALL, Run, run_of

CATEGORIES = (3, 7, 90)  # with gaps, as COCO's own
EDGES = (0.0, 0.1, 0.3, 1.0)
METRICS = (*PRECISION, *RECALL)


def rle(box: tuple[int, int, int, int], size: tuple[int, int], hollow: bool = False) -> dict[str, Any]:
    """Compressed RLE of [x, y, width, height], filled or with a hole, in an image of (height, width)."""
    x, y, width, height = box
    mask = np.zeros(size, np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    if hollow:
        mask[y + height // 3 : y + 2 * height // 3, x + width // 4 : x + 3 * width // 4] = 0
    encoded = coco_mask.encode(mask)
    return {"size": list(size), "counts": encoded["counts"].decode()}


def made(seed: int, images: int = 8, objects: int = 7) -> tuple[dict, list[dict]]:
    """Ground truth of rectangles (polygons, RLE, crowds; small to large) and predictions that miss, shift and err."""
    random = np.random.default_rng(seed)
    truth: dict[str, Any] = {
        "info": {},
        "images": [],
        "annotations": [],
        "categories": [{"id": category, "name": f"kind {category}"} for category in CATEGORIES],
    }
    predictions = []
    for image in range(images):
        size = (int(random.integers(140, 220)), int(random.integers(140, 220)))
        image_id = 10 * image + 1
        truth["images"].append({"id": image_id, "file_name": f"{image_id}.png", "height": size[0], "width": size[1]})
        for _ in range(objects):
            side = random.integers(6, 130, 2)
            corner = random.integers(0, (size[1] - side[0] + 1, size[0] - side[1] + 1))
            x, y, w, h = (int(value) for value in (*corner, *side))
            crowd = bool(random.random() < 0.1)
            polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            cover = float(random.choice([0, 0.1, 0.3, 1, random.random()]))
            annotation = {
                "id": 5 + 3 * len(truth["annotations"]),
                "image_id": image_id,
                "category_id": int(random.choice(CATEGORIES)),
                "segmentation": rle((x, y, w, h), size) if crowd or random.random() < 0.5 else polygon,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": int(crowd),
                "occlusion": occlusion(cover),
            }
            truth["annotations"].append(annotation)
            for _ in range(random.integers(0, 3)):
                moved = np.array([x, y, w, h]) + np.round(random.normal(0, 0.07, 4) * [w, h, w, h]).astype(int)
                right = random.random() < 0.85
                predictions.append(
                    {
                        "image_id": image_id,
                        "category_id": annotation["category_id"] if right else int(random.choice(CATEGORIES)),
                        "score": round(float(random.random()), 1),  # with ties
                        "segmentation": rle(tuple(moved.clip(0)), size, hollow=random.random() < 0.5),
                    }
                )
    return truth, predictions


def occlusion(cover: float) -> dict[str, Any]:
    """As `bcnet convert` adds it."""
    return {"box_cover": cover, "mask_cover": 0.0, "max_box_iou": 0.5, "n_occluders": 1, "same_category": False}


def vary_occlusion(truth: dict) -> None:
    """Give objects none, one or two occluders, of either category, and let some be separated."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    for place, annotation in enumerate(truth["annotations"]):
        x, y, width, height = annotation["bbox"]
        annotation["occlusion"] |= {"n_occluders": place % 3, "same_category": place % 3 > 0 and place % 2 == 0}
        annotation["occlusion"] |= {"mask_cover": place % 7 / 6, "max_box_iou": place % 5 / 4}
        annotation["separated"] = place % 4 == 1
        if place % 3:
            left = max(0, x - width // 2)
            annotation["occluder"] = rle((left, y, x + width - left, height), sizes[annotation["image_id"]])


def repeated(truth: dict, predictions: list[dict], times: np.ndarray) -> tuple[dict, list[dict]]:
    """Ground truth and predictions in which every image is there so many times, in the order of their ids."""
    copies = {}
    for image, count in zip(sorted(each["id"] for each in truth["images"]), times, strict=True):
        copies[image] = [1000 * image + copy for copy in range(count)]
    drawn = copy.deepcopy({**truth, "images": [], "annotations": []})
    drawn["images"] = [{**each, "id": new} for each in truth["images"] for new in copies[each["id"]]]
    objects = [{**each, "image_id": new} for each in truth["annotations"] for new in copies[each["image_id"]]]
    drawn["annotations"] = [{**each, "id": place} for place, each in enumerate(objects, start=1)]
    return drawn, [{**each, "image_id": new} for each in predictions for new in copies[each["image_id"]]]


def without_ties_in_an_image(predictions: list[dict]) -> list[dict]:
    """Scores that are equal in different images, but not in one: those have no order that copies could keep."""
    seen: dict[int, int] = {}
    for prediction in predictions:
        place = seen[prediction["image_id"]] = seen.get(prediction["image_id"], 0) + 1
        prediction["score"] = round((7 * place % 23) / 23, 3)
    assert max(seen.values()) < 23
    return predictions


def boxes(predictions: list[dict]) -> list[dict]:
    """The same predictions as boxes around the masks."""
    keys = ("image_id", "category_id", "score")
    return [{**{k: p[k] for k in keys}, "bbox": coco_mask.toBbox(p["segmentation"]).tolist()} for p in predictions]


def coco_api(truth: dict, predictions: list[dict], iou_type: str, kind: type[COCOeval] = COCOeval) -> COCOeval:
    """The COCO API's own evaluation, summarized; `kind` may have other overlaps than its own."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = copy.deepcopy(truth)
        ground_truth.createIndex()
        evaluator = kind(ground_truth, ground_truth.loadRes(copy.deepcopy(predictions)), iou_type)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def evaluated(truth: dict, predictions: list[dict], iou_type: IouType = "segm") -> tuple[Detections, Objects, Outcomes]:
    """What `evaluate` computes its tables from; predictions in COCO's result format."""
    found = columns(predictions, iou_type)
    images = sorted(truth["images"], key=lambda image: image["id"])
    ids = np.array([image["id"] for image in images])
    detections, objects = detections_of(found, ids), objects_of(truth, ids)
    sizes = [(image["height"], image["width"]) for image in images]
    return detections, objects, outcomes(detections, objects, sizes, iou_type)


def columns(predictions: list[dict], iou_type: IouType = "segm") -> Predictions:
    """Predictions as `results_file.read` gives them."""
    texts = [each["segmentation"]["counts"] if iou_type == "segm" else "" for each in predictions]
    occluders = [each["occluder"]["counts"] if each.get("occluder") else "" for each in predictions]
    return Predictions(
        iou_type,
        image=np.array([each["image_id"] for each in predictions], np.int64),
        category=np.array([each["category_id"] for each in predictions], np.int64),
        score=np.array([each["score"] for each in predictions], np.float64),
        box_score=np.array([each.get("box_score", each["score"]) for each in predictions], np.float64),
        box_scored=np.array(["box_score" in each for each in predictions]),
        texts=np.frombuffer("".join(texts).encode(), np.uint8),
        ends=np.cumsum([len(text) for text in texts], dtype=np.int64),
        boxes=np.reshape([each.get("bbox", [np.nan] * 4) for each in predictions], (-1, 4)).astype(float),
        occluder_texts=np.frombuffer("".join(occluders).encode(), np.uint8),
        occluder_ends=np.cumsum([len(text) for text in occluders], dtype=np.int64),
    )


def tables(truth: dict, predictions: list[dict], iou_type: IouType = "segm") -> tuple[pa.Table, pa.Table]:
    """What `evaluate` writes beside the metrics: of detections, of objects."""
    detections, objects, became = evaluated(truth, predictions, iou_type)
    ids = np.array(sorted(image["id"] for image in truth["images"]))
    return detection_table(ids, detections, became, iou_type), object_rows(truth, detections, objects, became, iou_type)


def object_rows(
    truth: dict, detections: Detections, objects: Objects, became: Outcomes, iou_type: IouType = "segm"
) -> pa.Table:
    """The table of objects; separated are those that say so."""
    separated = [each.get("separated", False) for each in truth["annotations"]]
    return object_table(truth["annotations"], separated, detections, objects, became)


def run_on(truth: dict, predictions: list[dict], iou_type: IouType = "segm", kind: str | None = None) -> Run:
    """The run of predictions, matched as masks or boxes, or by `kind`."""
    return run_of(*tables(truth, predictions, iou_type), kind or iou_type)


def write_tables(
    metrics: Path,
    images: int,
    levels: list[int],
    covers: list[float],
    iou_type: IouType = "segm",
    matched: bool = True,
) -> None:
    """The tables beside made metrics: objects in turn on the images, each found at its first so many IoU thresholds.

    There is nothing else, so that AP and recall of objects of one level are a tenth of it; by boxes at twice as many
    thresholds, by boundaries at half as many. All objects are medium. A covered one has an occluder of its category, on
    which a tenth of its mask is for each level that it is not found at; every fifth is separated; below level 6 it is
    badly localised. The nth object of an image overlaps its nth prediction most, which is given to it if `matched`.
    """
    place, level, cover = np.arange(len(levels)) % images, np.array(levels), np.array(covers)
    known, occluded, masks = ~np.isnan(cover), cover > 0, iou_type == "segm"
    each = len(levels) // images
    objects: dict[str, Any] = {
        "image_id": place + 1,
        "annotation_id": place * each + np.arange(len(level)) // images + 1,
    }
    objects |= {"iou": 0.45 + 0.05 * level, "score": np.full(len(level), 0.5)}
    objects |= {"category_id": np.full(len(level), 1), "area": np.full(len(level), 2000.0)}
    objects |= {name: pa.array(cover, mask=~known) for name in ("box_cover", "mask_cover", "max_box_iou")}
    objects |= {name: pa.array(occluded, mask=~known) for name in ("same_category", "n_occluders")}
    objects["n_occluders"] = objects["n_occluders"].cast(pa.int64())
    objects |= {name: level > step for step, name in enumerate(MATCHED)}
    objects["best_detection"] = np.arange(len(level)) // images
    objects["detection"] = pa.array(objects["best_detection"], mask=np.full(len(level), not matched))
    objects["failure"] = pa.array(np.where(level > 5, 0, 2), pa.uint8(), mask=np.full(len(level), not masks))
    objects["taken_for"] = pa.array(np.full(len(level), 1), mask=(level < 2) | np.full(len(level), not masks))
    objects["leak"] = pa.array((10 - level) / 10, mask=~(occluded & masks & (level > 0)))
    objects["separated"] = np.arange(len(level)) % 5 == 0
    pq.write_table(pa.table(objects), metrics.with_suffix(".parquet"))
    rows = []
    for image in range(images):
        mine = level[place == image].tolist()
        row: dict[str, Any] = {"image_id": image + 1, "category_id": [1] * len(mine), "score": [0.5] * len(mine)}
        row |= {name: [0] * len(mine) for name in schema(iou_type).names[3:]}
        for kind in KINDS[iou_type]:
            times = {"segm": 1, "bbox": 2, "boundary": 0.5}[kind]
            bits = [(1 << min(10, int(times * each))) - 1 for each in mine]
            row |= {f"{kind}_matched_all": bits, f"{kind}_matched_medium": bits}
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema(iou_type)), metrics.with_suffix(".detections.parquet"))


def with_occluders(predictions: list[dict]) -> list[dict]:
    """Each third prediction has the mask of another one in its image as occluder, some have none as null."""
    first = {each["image_id"]: each["segmentation"] for each in reversed(predictions)}
    for place, each in enumerate(predictions):
        if place % 3 < 2:
            each["occluder"] = dict(first[each["image_id"]]) if place % 3 else None
    return predictions
