"""Submit: the zip that COCO's server takes for test-dev, from predictions that keep its rules."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec
import orjson

from bcnet.data.coco import prediction_format
from bcnet.data.sources.coco2017 import CATEGORY_IDS
from bcnet.files import InputError, at_place, atomic_output, readable
from bcnet.progress import progress

KEYS = ("image_id", "category_id", "score", "segmentation")
LEFT_OUT = ("box_score", "occluder")  # this project's own, which the server does not know
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say: equal predictions give equal bytes
LARGE = 300_000_000  # bytes of a zip


def submit(predictions: Path, images: list[dict[str, Any]], name: str, folder: Path) -> str:
    """Check predictions on test-dev and zip them for the server.

    COCO's rules: file names and one JSON in the zip (https://cocodataset.org/#upload), results' format
    (#format-results), 100 predictions of an image (#detection-eval), 5 uploads a day (#guidelines). pycocotools, which
    the server runs, refuses no predictions at all and images of other splits, and takes the boxes' sizes for the masks'
    where results have `bbox`. A limit in bytes is not documented, but users report failures with zips of 300 MB
    (codalab/codalab-competitions, issues 3330, 3394, 3408).

    Args:
        predictions: COCO's result format; stays text until its turn, so 2 million take about twice the file's bytes.
        images: the image entries of test-dev.
        name: of the algorithm, for the files' name.
        folder: where detections_test-dev2017_NAME_results.zip goes.

    Returns:
        A line about what was written.

    Raises:
        InputError: what the server would refuse or count wrongly; names the first such prediction by its place, from 0.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InputError(f"{name!r}: expected a name of letters, digits, - and _ for the zip")
    with readable(predictions):
        content = predictions.read_bytes()
    try:
        texts = msgspec.json.decode(content, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{predictions}: not a JSON list of predictions (truncated?): {error}") from error
    if not texts:
        raise InputError(f"{predictions}: no predictions: the server does not accept an empty list")
    by_id = {image["id"]: image for image in images}
    counts: Counter[int] = Counter()
    stem = f"detections_test-dev2017_{name}_results"
    member = ZipInfo(f"{stem}.json", EARLIEST)
    member.compress_type, member.external_attr = ZIP_DEFLATED, 0o644 << 16
    member.file_size = predictions.stat().st_size  # tells the zip's format whether it goes beyond 2 GB
    out = folder / f"{stem}.zip"
    with atomic_output(out) as temporary, ZipFile(temporary, "w") as archive, archive.open(member, "w") as file:
        for place, text in enumerate(progress(texts, f"check and zip {predictions.name}")):
            try:
                entry = orjson.loads(memoryview(text))
            except orjson.JSONDecodeError as error:
                raise InputError(f"{predictions}: {at_place('prediction', place)}: not valid JSON: {error}") from error
            if problem := _problem(entry, by_id, counts):
                raise InputError(f"{predictions}: {at_place('prediction', place)}: {problem}")
            file.write((b"," if place else b"[") + orjson.dumps({key: entry[key] for key in KEYS}))
        file.write(b"]")
    size = out.stat().st_size
    line = f"{out}: {len(texts)} predictions of {len(counts)} of {len(by_id)} images, {size / 1e6:.1f} MB"
    return line if size < LARGE else f"{line}, which is known to fail: raise predict.score_threshold"


def _problem(entry: Any, images: Mapping[int, dict], counts: Counter[int]) -> str | None:
    """What the server would refuse or count wrongly, None if nothing; the prediction is counted in `counts`."""
    if problem := prediction_format.problem(entry, images, CATEGORY_IDS, "segm"):
        return problem
    if unknown := entry.keys() - {*KEYS, *LEFT_OUT}:
        return f"{min(unknown)}: expected exactly {', '.join(KEYS)}"
    if not isinstance(entry["segmentation"], dict) or not isinstance(entry["segmentation"]["counts"], str):
        return "segmentation: expected compressed RLE, whose counts are a string"
    counts[entry["image_id"]] += 1
    if counts[entry["image_id"]] > prediction_format.DETECTIONS:
        return f"image_id: {entry['image_id']}: expected at most {prediction_format.DETECTIONS} predictions of an image"
    return None
