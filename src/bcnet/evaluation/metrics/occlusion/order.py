"""Whether a model knows which of two overlapping objects is in front, from the occluder masks that it predicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcnet.compiled import njit
from bcnet.data.coco import annotation_file
from bcnet.data.coco.prediction_format import Predictions
from bcnet.data.masks.pixel_runs import area, cut, shared_area
from bcnet.data.masks.segmentation import to_rle
from bcnet.evaluation.matching.arrays import Detections, MaskTexts, Objects, joined, over_images, starts
from bcnet.evaluation.matching.outcomes import Outcomes
from bcnet.evaluation.matching.overlap import boxes_around, decode_all, mask_at
from bcnet.files import InputError

MIN_OVERLAP = 20  # pixels that two objects' amodal masks share
KNOWN, PAIRS, RIGHT, WRONG, RIGHT_ALONE, WRONG_ALONE = range(6)  # columns of the counts
Numbers = dict[str, Any]


def has_order(path: Path, annotations: Sequence[dict[str, Any]]) -> bool:
    """Whether any annotation says where it is in the order of depth.

    Raises:
        InputError: a `depth` is no number from 0.
    """
    for annotation in annotations:
        if _has_order(annotation) and (problem := annotation_file.depth_problem(annotation)):
            raise InputError(f"{path}: annotation {annotation['id']}: {problem}")
    return any(map(_has_order, annotations))


def _has_order(annotation: dict[str, Any]) -> bool:
    return "depth" in annotation and "amodal_segmentation" in annotation and not annotation["iscrowd"]


def order(
    content: dict[str, Any],
    predictions: Predictions,
    detections: Detections,
    objects: Objects,
    outcomes: Outcomes,
    sizes: Sequence[tuple[int, int]],
) -> Numbers:
    """How often predicted occluders tell which of two objects is behind the other.

    Pairs: two objects of an image, of different `depth`, whose amodal masks share `MIN_OVERLAP` pixels or more, and
    that COCO's matching gives a detection each at IoU .5. With M the masks of the two detections and O their occluder
    masks, i is said to be behind j if |O_i and M_j| > |O_j and M_i|; equal numbers decide nothing.

    Guessing is right for half of the decided pairs, but masks alone tell more: where two objects' boxes overlap, it is
    mostly the one in front that is seen. `masks_alone` is the same with the whole box around M_i as O_i: what occluder
    masks add is above it.

    Args:
        content: the file of `objects`; those without `depth` or `amodal_segmentation`, and crowds, have no order.
        predictions: those of `detections`, with occluders.
        sizes: height and width of each image, pixels.

    Returns:
        `known`: pairs whose order is known, found or not; `pairs`: those both of which are found; of these `decided`:
        the share that is; `accuracy_decided`, and `accuracy`, in which the undecided are wrong; `masks_alone`: these
        three. 0 to 1, None without pairs. The rule is that of Zhan et al., Self-Supervised Scene De-occlusion, CVPR
        2020, with an occluder's mask in the place of the part that completing a mask adds to it.
    """
    annotations = content["annotations"]
    ordered = [_has_order(annotation) for annotation in annotations]
    of_image = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    whole = [
        to_rle(annotation["amodal_segmentation"], *of_image[annotation["image_id"]])["counts"] if known else ""
        for annotation, known in zip(annotations, ordered, strict=True)
    ]
    depth = [annotation["depth"] if known else np.nan for annotation, known in zip(annotations, ordered, strict=True)]
    ends, place = predictions.occluder_ends, detections.place
    occluders = MaskTexts(predictions.occluder_texts, starts(ends)[place], ends[place])
    amodal, depths = MaskTexts(*joined(whole, objects.place)), np.array(depth, np.float64)[objects.place]
    counts, detection_of = np.zeros((len(sizes), 6), np.int64), outcomes.detection[:, 0]
    heights = np.array([height for height, _ in sizes], np.int64)

    def of_images(first: int, last: int) -> None:
        _of_images(first, last, heights, detections, objects.ends, depths, amodal, occluders, detection_of, counts)

    over_images(of_images, len(sizes), "occlusion order")
    total = counts.sum(axis=0).tolist()
    return {
        "known": total[KNOWN],
        "pairs": total[PAIRS],
        **_shares(total[PAIRS], total[RIGHT], total[WRONG]),
        "masks_alone": _shares(total[PAIRS], total[RIGHT_ALONE], total[WRONG_ALONE]),
    }


def _shares(pairs: int, right: int, wrong: int) -> Numbers:
    decided = right + wrong
    return {
        "decided": decided / pairs if pairs else None,
        "accuracy_decided": right / decided if decided else None,
        "accuracy": right / pairs if pairs else None,
    }


@njit(cache=True, nogil=True)
def _of_images(
    first: int,
    last: int,
    heights: np.ndarray,
    detections: Detections,
    object_ends: np.ndarray,
    depth: np.ndarray,
    amodal: MaskTexts,
    occluders: MaskTexts,
    detection_of: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Fill in `counts` (I, 6) for the images `first` to `last`, exclusive.

    Args:
        depth: (G,) float64, NaN where there is none.
        detection_of: (G,) the detection of each object, -1: none.
    """
    for image in range(first, last):
        g0, g1, height = object_ends[image - 1] if image else 0, object_ends[image], heights[image]
        known = g0 + np.flatnonzero(~np.isnan(depth[g0:g1]))
        whole, whole_ends = decode_all(amodal.texts, amodal.start[known], amodal.stop[known])
        is_found = detection_of[known] >= 0
        chosen, place = detection_of[known[is_found]], np.cumsum(is_found) - 1
        masks, ends = decode_all(detections.texts, detections.start[chosen], detections.stop[chosen])
        hidden, hidden_ends = decode_all(occluders.texts, occluders.start[chosen], occluders.stop[chosen])
        boxes = boxes_around(masks, ends, height).astype(np.int64)
        boxes[:, 2:] += boxes[:, :2]
        for i in range(len(known)):
            for j in range(len(known)):
                if depth[known[i]] <= depth[known[j]]:  # i is to be the one behind
                    continue
                if shared_area(mask_at(whole, whole_ends, i), mask_at(whole, whole_ends, j)) < MIN_OVERLAP:
                    continue
                counts[image, KNOWN] += 1
                if not is_found[i] or not is_found[j]:
                    continue
                counts[image, PAIRS] += 1
                b, f = place[i], place[j]
                behind, front = mask_at(masks, ends, b), mask_at(masks, ends, f)
                right = shared_area(mask_at(hidden, hidden_ends, b), front)
                wrong = shared_area(mask_at(hidden, hidden_ends, f), behind)
                counts[image, RIGHT] += right > wrong
                counts[image, WRONG] += right < wrong
                right, wrong = area(cut(front, boxes[b], height)), area(cut(behind, boxes[f], height))
                counts[image, RIGHT_ALONE] += right > wrong
                counts[image, WRONG_ALONE] += right < wrong
