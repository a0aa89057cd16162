"""COCO's numbers of a split: of masks, of boxes and of boundaries; in total and of each category."""

from typing import Any

import numpy as np

from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS
from bcnet.evaluation.statistics.resampling import PRECISION, RECALL, Run, precisions_of, resampled

NAMES = (*PRECISION, *RECALL)  # in the order of COCO's summary


def coco_numbers(run: Run) -> dict[str, float | None]:
    """The twelve numbers of COCO's summary, 0 to 1; None where COCO gives -1: no object of that size.

    Source: cocoapi, cocoeval.py, `accumulate` and `summarize`.
    """
    numbers = resampled(run, _once(run), NAMES)
    return {name: defined(numbers[name][0]) for name in NAMES}


def category_numbers(run: Run) -> list[dict[str, float | None]]:
    """AP, AP50, AP75, APs, APm and APl of each category that has objects, by rising id; 0 to 1, None: none so large."""
    by_area = {area: precisions_of([run], _once(run), area)[0][0] for area in AREAS}
    return [
        {
            name: defined(by_area[area][place, np.isin(IOU_THRESHOLDS, thresholds)].mean())
            for name, (area, thresholds) in PRECISION.items()
        }
        for place in range(by_area["all"].shape[0])
    ]


def _once(run: Run) -> np.ndarray:
    """Each image once: the split as it is."""
    return np.ones((1, len(run.images)), np.uint16)


def defined(value: Any) -> float | None:
    """A number as metrics have it: None where it is NaN, undefined."""
    return None if np.isnan(value) else float(value)
