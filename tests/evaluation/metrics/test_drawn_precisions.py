"""AP by cover on draws of images is that of these images, evaluated by themselves."""

import numpy as np
import pytest
from evaluation_factory import (
    EDGES,
    boxes,
    evaluated,
    made,
    object_rows,
    repeated,
    tables,
    vary_occlusion,
    without_ties_in_an_image,
)

from bcnet.data.coco.prediction_format import IouType
from bcnet.evaluation.metrics.benchmark import by_occlusion, drawn_precisions
from bcnet.evaluation.metrics.occlusion.occlusion_bins import PRECISIONS
from bcnet.evaluation.statistics.resampling import run_of

BINS = {"box_cover": EDGES, "mask_cover": (0.0, 0.5, 1.0), "max_box_iou": (0.0, 0.2, 1.0)}


def of_split(truth: dict, predictions: list[dict], iou_type: IouType) -> dict[tuple[str, float], float | None]:
    """AP and APn of each bin, of all images."""
    detections, objects, became = evaluated(truth, predictions, iou_type)
    bins = by_occlusion(object_rows(truth, detections, objects, became, iou_type), BINS, detections, objects, became)
    return {(form, row["from"]): row[form] for form in PRECISIONS for row in bins["box_cover"]}


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(3))
def test_a_draw_is_its_images(seed: int, iou_type: IouType) -> None:
    truth, predictions = made(seed, images=9)
    vary_occlusion(truth)
    first = min(image["id"] for image in truth["images"])
    truth["annotations"] = [each for each in truth["annotations"] if each["image_id"] != first]  # an empty image
    predictions = without_ties_in_an_image(predictions)
    predictions = boxes(predictions) if iou_type == "bbox" else predictions
    times = np.random.default_rng(seed).multinomial(9, np.full(9, 1 / 9), size=4).astype(np.uint16)
    times[0] = 1
    detections, objects, became = evaluated(truth, predictions, iou_type)
    of_detections, of_objects = tables(truth, predictions, iou_type)
    run = run_of(of_detections, of_objects, iou_type)
    drawn = drawn_precisions(of_objects, BINS, detections, objects, became, run, times)
    cover = of_objects["box_cover"].to_numpy()
    for place, row in enumerate(times):
        expected = of_split(*repeated(truth, predictions, row), iou_type)
        for metric, number in drawn.items():
            value = expected[metric.metric, metric.low]
            assert number.values[place] == pytest.approx(np.nan if value is None else value, abs=1e-12, nan_ok=True)
            inside = (cover >= metric.low) & ((cover < metric.high) | (metric.high == EDGES[-1]))
            assert number.sample.objects == np.count_nonzero(inside)
    assert len({number.values[1] for number in drawn.values()}) == len(drawn)
