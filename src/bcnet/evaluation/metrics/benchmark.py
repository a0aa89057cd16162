"""The numbers of how a method copes with occlusion, of one run on a split; their definitions: docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bcnet.evaluation.matching.arrays import Detections, Objects, coco_order, in_file_order
from bcnet.evaluation.matching.object_table import MATCHED
from bcnet.evaluation.matching.outcomes import CROWD, Outcomes
from bcnet.evaluation.metrics import failures
from bcnet.evaluation.metrics.calibration import calibration
from bcnet.evaluation.metrics.coco_ap import defined
from bcnet.evaluation.metrics.occlusion.occlusion_ap import Draws, ap_by_bin
from bcnet.evaluation.metrics.occlusion.occlusion_bins import (
    PRECISION_MEASURE,
    PRECISIONS,
    Metric,
    bins_of,
)
from bcnet.evaluation.metrics.tide import tide
from bcnet.evaluation.statistics.drawn import Drawn, precision_samples
from bcnet.evaluation.statistics.resampling import Run

Numbers = dict[str, Any]


def by_occlusion(
    table: pa.Table, bins: Mapping[str, Sequence[float]], detections: Detections, objects: Objects, outcomes: Outcomes
) -> Numbers:
    """Recall and AP of objects by each measure of occlusion, and by the category of the main occluder.

    Args:
        table: of objects (`occlusion_metrics.object_table`), converted.
        bins: edges for measures, rising from 0 to 1; a bin holds its lower edge, the last one also its upper.

    Returns:
        For each measure, and "occluder", a list of bins: `from` and `to`, or `occluder` (of OCCLUDERS); `objects`,
        `AR`, `AR50`, `AR75`, `AP`, `APn`, 0 to 1, None in a bin without objects.
    """
    run = _given(table, detections, objects, outcomes)
    return {
        measure: _by_bin(table, place, names, ap_by_bin(*run, place, len(names)))
        for measure, (names, place) in bins_of(table, bins).items()
    }


def drawn_precisions(
    table: pa.Table,
    bins: Mapping[str, Sequence[float]],
    detections: Detections,
    objects: Objects,
    outcomes: Outcomes,
    run: Run,
    times: np.ndarray,
) -> dict[Metric, Drawn]:
    """AP and APn of the bins of `PRECISION_MEASURE` on draws of images.

    Args:
        table, bins: as of `by_occlusion`.
        run: of these detections and objects.
        times: (1 + draws, I), as of `draw_images`.
    """
    category, places, object_category = _given(table, detections, objects, outcomes)
    names, place = bins_of(table, bins)[PRECISION_MEASURE]
    draws = Draws(run.image, run.object_image, times)
    precisions = ap_by_bin(category, places, object_category, place, len(names), draws)
    values = [of_form[:, where] for of_form in precisions for where in range(len(names))]
    samples = precision_samples(run, table, bins)
    return {metric: Drawn(own, samples[metric]) for metric, own in zip(samples, values, strict=True)}


def _by_bin(
    table: pa.Table, place: np.ndarray, names: Sequence[Mapping[str, Any]], precision: tuple[np.ndarray, np.ndarray]
) -> list[Numbers]:
    """Of each bin its name and numbers.

    Args:
        place: (rows of the table,) the bin of each object.
        precision: AP and APn of each bin, (1, bins) each.
    """
    matched = np.column_stack([table[name].to_numpy() for name in MATCHED])
    rows = []
    for index, name in enumerate(names):
        inside = matched[place == index]
        shares = inside.mean(axis=0) if len(inside) else np.full(len(MATCHED), np.nan)
        row = {
            "AR": shares.mean(),
            "AR50": shares[MATCHED.index("matched_50")],
            "AR75": shares[MATCHED.index("matched_75")],
        }
        row |= {form: values[0, index] for form, values in zip(PRECISIONS, precision, strict=True)}
        rows.append({**name, "objects": len(inside), **{key: defined(value) for key, value in row.items()}})
    return rows


def _given(
    table: pa.Table, detections: Detections, objects: Objects, outcomes: Outcomes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first three arguments of `ap_by_bin`."""
    categories, object_category = np.unique(table["category_id"].to_numpy(), return_inverse=True)
    solid = in_file_order(objects)
    rows = np.full(len(objects.place) + 1, -1)  # of each of `objects`, the row of the table; the last: for none
    rows[solid] = np.arange(len(solid))
    order, category = coco_order(detections.category, detections.score, categories)
    given = outcomes.object[order]
    return category, np.where(given >= 0, rows[given], given).astype(np.int32), object_category


def failure_shares(table: pa.Table) -> Numbers:
    """How all, occluded and separated objects fare: `objects`, and the share of each of `failures.NAMES`.

    Args:
        table: of objects, with `failure` and `separated`; `occluded` is None where it was not converted.
    """
    kind = table["failure"].to_numpy()
    occluded = None if table["n_occluders"].null_count else table["n_occluders"].to_numpy() > 0
    groups = {"all": np.ones(len(kind), bool), "occluded": occluded, "separated": table["separated"].to_numpy()}
    numbers: Numbers = {}
    for name, inside in groups.items():
        if inside is None:
            numbers[name] = None
            continue
        shares = np.bincount(kind[inside], minlength=len(failures.NAMES)) / max(1, inside.sum())
        values = shares.tolist() if inside.any() else [None] * len(failures.NAMES)
        numbers[name] = {"objects": int(inside.sum()), **dict(zip(failures.NAMES, values, strict=True))}
    return numbers


def leak_rate(table: pa.Table) -> Numbers:
    """Mean `leak` of the matched objects that have an occluder, 0 to 1, and how many there are."""
    leaks = table["leak"].drop_null().to_numpy()
    return {"objects": len(leaks), "rate": defined(leaks.mean()) if len(leaks) else None}


def errors(detections: Detections, objects: Objects, outcomes: Outcomes) -> Numbers:
    """TIDE's errors and the calibration of the scores, at IoU .5."""
    given = outcomes.object[:, 0]
    return {
        "tide": tide(
            detections.category,
            detections.score,
            given,
            given == CROWD,
            outcomes.same_iou,
            outcomes.same_object,
            outcomes.other_iou,
            outcomes.other_object,
            objects.category,
            objects.crowd,
        ),
        "calibration": calibration(detections.score, given >= 0, given == CROWD),
    }
