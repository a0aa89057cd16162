"""The verb `evaluate`: ground truth and predictions in, metrics and the per-object table out."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet
from hotcoco import COCO, mask

from bcnet import params
from bcnet.data import coco
from bcnet.evaluation.coco_ap import NAMES, SHAPE, IouType, Predictions, boxes_around, coco_numbers
from bcnet.evaluation.occlusion_metrics import OCCLUSION, object_table, recall_by_cover
from bcnet.files import InputError, atomic_output, read_json, sha256, write_json
from bcnet.progress import progress


def evaluate(annotations: Path, predictions: Path, out: Path, settings: params.Evaluate) -> None:
    """Write the metrics of predictions, and beside them the per-object table (docs/architecture.md, "Metrics").

    Masks are evaluated as masks and by the boxes around them. A file of boxes has no mask numbers, and its objects are
    matched by box: `provenance.iou_type` says by what. Ground truth without `occlusion` has no recall by it.

    Args:
        annotations: a split or any COCO-format file.
        predictions: COCO's result format; those of images that the split leaves out are left out.
        out: metrics as JSON; the table goes beside it, with the suffix .parquet.
        settings: the edges of the bins.

    Raises:
        InputError: a file is not what it should be; the line names file, entry, key, value and what was expected.
    """
    if out.suffix != ".json":
        raise InputError(f"{out}: expected a name that ends in .json (the table beside it ends in .parquet)")
    content = coco.read(annotations)
    converted = _is_converted(annotations, content["annotations"])
    split = _split_of(annotations, content)
    results, iou_type = read_predictions(predictions, content, set(split.get("other_images", ())))
    provenance = _provenance_of(predictions)
    truth = COCO(content)
    table = object_table(truth, content["annotations"], results, iou_type)
    metrics = {
        "provenance": {
            **provenance,
            "versions": {**provenance.get("versions", {}), "hotcoco": version("hotcoco")},
            "split": {key: value for key, value in split.items() if key != "other_images"},
            "annotations_sha256": sha256(annotations),
            "predictions_sha256": sha256(predictions),
            "images": len(content["images"]),
            "objects": table.num_rows,
            "iou_type": iou_type,
        },
        "segm": coco_numbers(truth, results, "segm") if iou_type == "segm" else dict.fromkeys(NAMES),
        "bbox": coco_numbers(truth, boxes_around(results) if iou_type == "segm" else results, "bbox"),
        "recall": {"box_cover": recall_by_cover(table, settings.cover_bins)} if converted else None,
    }
    with atomic_output(out) as json_file, atomic_output(out.with_suffix(".parquet")) as table_file:
        pyarrow.parquet.write_table(table, table_file)
        write_json(json_file, metrics, indent=True)


def read_predictions(path: Path, truth: dict[str, Any], left_out: set[int]) -> tuple[Predictions, IouType]:
    """Predictions in COCO's result format, checked: the evaluator would pass over wrong ones in silence.

    Args:
        truth: the annotation file (from `coco.read`) whose images and categories they are of.
        left_out: ids of images that are not in `truth`, but whose predictions are no mistake.

    Returns:
        The predictions of the images in `truth`, and whether they are masks ("segm", compressed RLE) or only boxes
        ("bbox"), as the first one is. An empty list counts as masks.

    Raises:
        InputError: not a list of results; names the first wrong one by its place (from 0).
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: expected COCO's result format, a list of predictions")
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    boxes_only = bool(content) and isinstance(content[0], dict) and "segmentation" not in content[0]
    iou_type: IouType = "bbox" if boxes_only else "segm"
    kept: Predictions = []
    for place, entry in enumerate(progress(content, f"check {path.name}")):
        if isinstance(entry, dict) and type(entry.get("image_id")) is int and entry["image_id"] in left_out:
            continue
        if problem := _problem(entry, images, categories, iou_type):
            raise InputError(f"{path}: prediction at place {place}: {problem}")
        shape = entry[SHAPE[iou_type]]
        if iou_type == "segm":
            image = images[entry["image_id"]]
            shape = coco.to_rle(shape, image["height"], image["width"])
        kept.append({**{key: entry[key] for key in ("image_id", "category_id", "score")}, SHAPE[iou_type]: shape})
    return kept, iou_type


def _problem(entry: Any, images: dict[int, dict], categories: set[int], iou_type: IouType) -> str | None:
    """What is wrong with a prediction, None if nothing is."""
    if not isinstance(entry, dict):
        return f"{entry!r:.60}: expected an object with image_id, category_id, score and {SHAPE[iou_type]}"
    for key, known, what in (("image_id", images, "image"), ("category_id", categories, "category")):
        if type(value := entry.get(key)) is not int or value not in known:
            return f"{key}: {value!r:.60}: expected the id of one of the ground truth's {len(known)} ({what})"
    if not _is_number(score := entry.get("score")):
        return f"score: {score!r:.60}: expected a finite number"
    if iou_type == "segm":
        image = images[entry["image_id"]]
        size, shape = (image["height"], image["width"]), entry.get("segmentation")
        return None if _is_plain_mask(shape, size) else coco.segmentation_problem(shape, *size)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        return f"bbox: {box!r:.60}: expected [x, y, width, height] in pixels"
    return None


def _is_plain_mask(shape: Any, size: tuple[int, int]) -> bool:
    """Whether this is compressed RLE of that size, as the COCO API writes it: a quick yes for most of them."""
    if not isinstance(shape, dict) or shape.get("size") != list(size) or not isinstance(shape.get("counts"), str):
        return False
    nothing = {"size": shape["size"], "counts": [math.prod(size)]}
    try:  # the union with an empty mask has all pixels: a string that ends too early does not come back as it was
        return mask.merge([shape, nothing])["counts"].decode() == shape["counts"]
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_converted(path: Path, annotations: list[dict[str, Any]]) -> bool:
    """Whether the annotations have `occlusion`: all of them, or none."""
    if not any("occlusion" in annotation for annotation in annotations):
        return False
    for annotation in annotations:
        occlusion = annotation.get("occlusion")
        where = f"{path}: annotation {annotation['id']}: occlusion"
        if not isinstance(occlusion, dict) or not occlusion.keys() >= OCCLUSION.keys():
            raise InputError(
                f"{where}: expected {', '.join(OCCLUSION)} (`bcnet convert` gives them to every annotation)"
            )
        if not _is_number(cover := occlusion["box_cover"]) or not 0 <= cover <= 1:
            raise InputError(f"{where}.box_cover: {cover!r}: expected 0 to 1")
    return True


def _split_of(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """`info.split` of a split; for any other COCO-format file its name."""
    info = content.get("info")
    split = info.get("split") if isinstance(info, dict) else None
    return split if isinstance(split, dict) else {"name": path.stem}


def _provenance_of(predictions: Path) -> dict[str, Any]:
    """The provenance that lies beside predictions, or what can be said without one."""
    path = predictions.with_suffix(".provenance.json")
    if not path.exists():
        return {"origin": "brought", "name": predictions.stem, "label": predictions.stem}
    provenance = read_json(path)
    if not isinstance(provenance, dict) or not provenance.keys() >= {"origin", "name", "label"}:
        raise InputError(f"{path}: expected an object with origin, name and label")
    return provenance
