"""The verb `evaluate`: ground truth and predictions in, metrics and the tables of objects and detections out."""

import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bcnet import layout
from bcnet.data.coco import annotation_file, prediction_file, prediction_format
from bcnet.data.occlusion.converted import check_converted
from bcnet.evaluation.matching.arrays import detections_of, objects_of
from bcnet.evaluation.matching.detection_table import detection_table
from bcnet.evaluation.matching.object_table import object_table
from bcnet.evaluation.matching.outcomes import KINDS, outcomes
from bcnet.evaluation.metrics.benchmark import by_occlusion, errors, failure_shares, leak_rate
from bcnet.evaluation.metrics.coco_ap import NAMES, category_numbers, coco_numbers
from bcnet.evaluation.metrics.invisible import invisible, is_amodal
from bcnet.evaluation.metrics.order import has_order, order
from bcnet.evaluation.metrics.separated import separated
from bcnet.evaluation.statistics.intervals import intervals, summary
from bcnet.evaluation.statistics.resampling import Run, run_of
from bcnet.files import InputError, atomic_output, read_json, sha256, write_json
from bcnet.params.results import Evaluate
from bcnet.progress import note, progress


@contextmanager
def without_collector() -> Iterator[None]:
    """Without Python's garbage collector, which looks through all entries of the files as long as new ones come.

    Also as a decorator. Of what evaluation makes, nothing refers to itself and waits for the collector.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@without_collector()
def evaluate(annotations: Path, predictions: Path, out: Path, settings: Evaluate) -> str:
    """Write the metrics of predictions, and beside them the tables of objects and of detections (docs/architecture.md).

    Masks are evaluated as masks and by the boxes around them. A file of boxes has no mask numbers, and its objects are
    matched by box: `provenance.iou_type` says by what. Ground truth without `occlusion` has no recall by it. Invisible
    parts are evaluated where the ground truth is amodal, the order where it has `depth` and predictions an `occluder`.

    Args:
        annotations: a split or any COCO-format file.
        predictions: COCO's result format; those of images that the split leaves out are left out.
        out: metrics as JSON; the tables go beside it, with the suffixes .parquet and .detections.parquet.
        settings: the edges of the bins, and the draws of the bootstrap.

    Returns:
        The main numbers with their intervals, a line each.

    Raises:
        InputError: a file is not what it should be; the line names file, entry, key, value and what was expected.
    """
    if out.suffix != ".json":
        raise InputError(f"{out}: expected a name that ends in .json (the tables beside it end in .parquet)")
    content = annotation_file.read(annotations)
    converted = _is_converted(annotations, content["annotations"])
    amodal = is_amodal(annotations, content["annotations"])
    split = _split_of(annotations, content)
    images = sorted(content["images"], key=lambda image: image["id"])
    ids, sizes = np.array([image["id"] for image in images]), [(image["height"], image["width"]) for image in images]
    with ThreadPoolExecutor(1) as beside:
        objects_beside = beside.submit(objects_of, content, ids)  # most of it compiled: beside the reading
        predicted = prediction_file.read(predictions, content, set(split.get("other_images", ())))
    detections, objects = detections_of(predicted, ids), objects_beside.result()
    ordered = len(predicted.occluder_texts) > 0 and has_order(annotations, content["annotations"])
    provenance = _provenance_of(predictions)
    remarks = prediction_format.remarks(predicted, len(content["images"]))
    for remark in remarks:
        note(f"bcnet evaluate: {predictions}: {remark}")
    outcome = outcomes(detections, objects, sizes, predicted.iou_type)
    detection_rows = detection_table(ids, detections, outcome, predicted.iou_type)
    table = object_table(content["annotations"], _separated(content), detections, objects, outcome, predicted.iou_type)
    table = table.append_column("masks", pa.repeat(split.get("masks", "visible"), table.num_rows))
    runs = {kind: run_of(detection_rows, table, kind) for kind in KINDS[predicted.iou_type]}
    masks = predicted.iou_type == "segm"
    metrics = {
        "provenance": {
            **provenance,
            "split": {key: value for key, value in split.items() if key != "other_images"},
            "annotations_sha256": sha256(annotations),
            "predictions_sha256": sha256(predictions),
            "images": len(images),
            "objects": table.num_rows,
            "iou_type": predicted.iou_type,
            "predictions": len(predicted),
            "remarks": remarks,
        },
        **_of_kinds(runs),
        "recall": by_occlusion(table, settings.bins(), detections, objects, outcome) if converted else None,
        **(_of_masks(table, converted) if masks else {"failures": None, "leak": None}),
        "amodal": {"invisible": invisible(content, detections, objects, outcome, sizes)} if masks and amodal else None,
        "order": order(content, predicted, detections, objects, outcome, sizes) if ordered else None,
        **errors(detections, objects, outcome),
        "intervals": intervals(runs, table, settings.bins(), settings.draws),
        "categories": _of_categories(content["categories"], table, runs),
    }
    _write(out, metrics, table, detection_rows)
    return summary(metrics)


def _of_kinds(runs: Mapping[str, Run]) -> dict[str, dict[str, float | None]]:
    """COCO's numbers of masks, boxes and boundaries; None for each that nothing was matched by."""
    return {kind: coco_numbers(runs[kind]) if kind in runs else dict.fromkeys(NAMES) for kind in KINDS["segm"]}


def _of_masks(table: pa.Table, converted: bool) -> dict[str, Any]:
    """What is known of masks only: how objects fare, and, of converted ones, leak."""
    return {"failures": failure_shares(table), "leak": leak_rate(table) if converted else None}


def _write(out: Path, metrics: Mapping[str, Any], objects: pa.Table, detections: pa.Table) -> None:
    """All three files, or none of them."""
    with (
        atomic_output(out) as json_file,
        atomic_output(layout.object_table(out)) as table_file,
        atomic_output(layout.detection_table(out)) as detections_file,
    ):
        pyarrow.parquet.write_table(objects, table_file)
        pyarrow.parquet.write_table(detections, detections_file)
        write_json(json_file, metrics, indent=True)


def _separated(content: dict[str, Any]) -> list[bool]:
    """Whether each annotation of a file is separated."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    by_image: defaultdict[int, list[int]] = defaultdict(list)
    for place, annotation in enumerate(content["annotations"]):
        by_image[annotation["image_id"]].append(place)
    result = [False] * len(content["annotations"])
    for image, places in progress(by_image.items(), "separated objects"):
        of_image = separated([content["annotations"][place] for place in places], *sizes[image])
        for place, apart in zip(places, of_image, strict=True):
            result[place] = apart
    return result


def _of_categories(categories: list[dict[str, Any]], table: pa.Table, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Of each category that has objects: its id and name, how many, and the numbers of masks, boxes and boundaries."""
    names = {category["id"]: category["name"] for category in categories}
    ids, counts = np.unique(table["category_id"].to_numpy(), return_counts=True)
    rows = [
        {"id": category, "name": names[category], "objects": count}
        for category, count in zip(ids.tolist(), counts.tolist(), strict=True)
    ]
    for kind, run in runs.items():
        for row, numbers in zip(rows, category_numbers(run), strict=True):
            row[kind] = numbers
    return rows


def _is_converted(path: Path, annotations: list[dict[str, Any]]) -> bool:
    """Whether the annotations have `occlusion`: all of them, or none."""
    if not any("occlusion" in annotation for annotation in annotations):
        return False
    check_converted(path, annotations)
    return True


def _split_of(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """`info.split` of a split; for any other COCO-format file its name."""
    info = content.get("info")
    split = info.get("split") if isinstance(info, dict) else None
    return split if isinstance(split, dict) else {"name": path.stem}


def _provenance_of(predictions: Path) -> dict[str, Any]:
    """The provenance that lies beside predictions, or what can be said without one."""
    path = layout.provenance(predictions)
    if not path.exists():
        return {"origin": "brought", "name": predictions.stem, "label": predictions.stem}
    provenance = read_json(path)
    if not isinstance(provenance, dict) or not provenance.keys() >= {"origin", "name", "label"}:
        raise InputError(f"{path}: expected an object with origin, name and label")
    return provenance
