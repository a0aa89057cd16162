"""The verb `evaluate`: ground truth and predictions in, metrics and the tables of objects and detections out."""

import time
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow.parquet

from bcnet import layout
from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.coco.prediction_columns import Scanned
from bcnet.data.coco.prediction_format import Predictions
from bcnet.evaluation.matching.arrays import Detections, detections_of, image_ids, objects_of, shapes_of
from bcnet.evaluation.measure import left_out_of, measure, truth_of, without_collector
from bcnet.evaluation.statistics.kept_draws import draw_table
from bcnet.evaluation.statistics.summary import summary
from bcnet.files import InputError, atomic_output, check_out, read_json, sha256, write_json
from bcnet.params.data import Convert
from bcnet.params.results import Evaluate
from bcnet.progress import note
from bcnet.threads import processors, thread_beside


@without_collector()
def evaluate(
    annotations: Path, predictions: Path, out: Path, settings: Evaluate, conversion: Convert | None = None
) -> str:
    """Write the metrics of predictions, and the tables of objects, detections and draws (docs/formats.md).

    Args:
        annotations: a split or any COCO-format file.
        predictions: COCO's result format; those of images that the split leaves out are left out.
        out: metrics as JSON; the tables go beside it: .parquet, .detections.parquet, .draws.parquet.
        settings: the edges of the bins, and the draws of the bootstrap.
        conversion: settings with which annotations without `occlusion` are converted, which a line on stderr says;
            None: the defaults.

    Returns:
        The main numbers with their intervals, a line each under a header, and which files were written.

    Raises:
        InputError: a file is not what it should be; the line names file, entry, key, value and what was expected. Or
            `out` is not a .json file of its own.
    """
    check_out(out, annotations=annotations, predictions=predictions)
    named = {"annotations": annotations, "predictions": predictions}
    with thread_beside() as beside:
        scanning = beside.submit(prediction_file.scan, predictions, max(1, processors() - 1))  # one reads annotations
        content = annotation_file.read(annotations)
        reading = beside.submit(detections_read, predictions, content, scanning)
        hashing = beside.submit(lambda: {f"{name}_sha256": sha256(path) for name, path in named.items()})
        shapes, start = shapes_of(content), time.monotonic()
        truth = truth_of(annotations, content, conversion or Convert(), shapes)
        took = time.monotonic() - start
        objects = objects_of(content, truth.ids, shapes)
        (predicted, detections), hashes = reading.result(), hashing.result()
    if truth.convert:  # said after all is read: wrong input ends in a single line
        rule = ", ".join(f"{key} {value}" for key, value in truth.convert.items())
        note(f"bcnet evaluate: {annotations}: no annotation has 'occlusion': converted now with {rule} ({took:.1f} s)")
    provenance = {
        **_provenance_of(predictions),
        "split": truth.split,
        "convert": truth.convert,
        **hashes,
    }
    evaluation = measure(truth, objects, predicted, detections, settings, provenance)
    for remark in evaluation.metrics["provenance"]["remarks"]:
        note(f"bcnet evaluate: {predictions}: {remark}")
    written = out, layout.object_table(out), layout.detection_table(out), layout.draw_table(out)
    with ExitStack() as stack:
        json_file, table_file, detections_file, draws = (stack.enter_context(atomic_output(path)) for path in written)
        pyarrow.parquet.write_table(evaluation.objects, table_file)
        pyarrow.parquet.write_table(evaluation.detections, detections_file)
        kept = draw_table(evaluation.drawn, (detections_file, table_file))
        pyarrow.parquet.write_table(
            kept, draws, use_dictionary=False, use_byte_stream_split=True, compression="zstd"
        )  # half the size
        write_json(json_file, evaluation.metrics, indent=True)
    return f"{summary(evaluation.metrics)}\nwritten: {', '.join(map(str, written))}"


def detections_read(
    path: Path, content: dict[str, Any], scanning: Future[Scanned | None]
) -> tuple[Predictions, Detections]:
    """The predictions of a file, and those that are evaluated, in order.

    Args:
        path: the file.
        content: the annotation file (from `coco.read`) of whose images they are.
        scanning: what `prediction_file.scan` says of it, when that is known.

    Raises:
        InputError: as `prediction_file.read`.
    """
    predictions = prediction_file.read(path, content, left_out_of(content), scanning.result())
    return predictions, detections_of(predictions, image_ids(content))


def _provenance_of(predictions: Path) -> dict[str, Any]:
    """The provenance that lies beside predictions, or what can be said without one."""
    path = layout.provenance(predictions)
    if not path.exists():
        return {"origin": "brought", "name": predictions.stem, "label": predictions.stem}
    provenance = read_json(path)
    if not isinstance(provenance, dict) or not provenance.keys() >= {"origin", "name", "label"}:
        raise InputError(f"{path}: expected an object with origin, name and label")
    return provenance
