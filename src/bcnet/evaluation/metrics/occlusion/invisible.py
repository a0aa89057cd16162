"""How well the invisible parts of objects are predicted, where ground truth and predictions are amodal masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcnet.compiled import njit
from bcnet.data.masks.pixel_runs import area, difference, shared_area
from bcnet.data.masks.segmentation import to_rle
from bcnet.evaluation.matching.arrays import Detections, MaskTexts, Objects, coco_order, joined, over_images
from bcnet.evaluation.matching.coco_matching import IOU_THRESHOLDS, match
from bcnet.evaluation.matching.outcomes import CROWD, NOTHING, Outcomes
from bcnet.evaluation.matching.overlap import areas, boxes_around, decode_all, mask_at, mask_iou, same_category
from bcnet.evaluation.metrics.occlusion.occlusion_ap import ap_by_bin
from bcnet.files import InputError

MIN_PIXELS = 20  # of an invisible part: fewer are where two annotated outlines meet
MIN_IOU = 0.5  # IoU of amodal masks from which a detection is one of the object
THRESHOLDS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}  # of IOU_THRESHOLDS


def is_amodal(path: Path, annotations: Sequence[dict[str, Any]]) -> bool:
    """Whether the annotations are amodal, with `visible_segmentation` beside: all of them, or none.

    Raises:
        InputError: some have it.
    """
    without = [annotation["id"] for annotation in annotations if "visible_segmentation" not in annotation]
    if len(without) == len(annotations):
        return False
    if without:
        raise InputError(f"{path}: annotation {without[0]}: no 'visible_segmentation', but other annotations have one")
    return True


def invisible(
    content: dict[str, Any], detections: Detections, objects: Objects, outcomes: Outcomes, sizes: Sequence[tuple]
) -> dict[str, float | int | None]:
    """COCO's AP of the invisible parts of objects.

    With A an object's amodal mask, V its visible one and d a detection's mask, the IoU is that of (d minus V) and (A
    minus V): what d shows beyond what is seen. COCO's matching goes by it, with these rules:

    - It is 0 where d and A have an IoU below `MIN_IOU`: the detection is of something else. Without this an occluder's
      own detection would be right about what it hides: A minus V may be the occluder's very shape.
    - Objects whose A minus V has fewer than `MIN_PIXELS` pixels, and crowds, are ignored: a detection that reaches
      `MIN_IOU` with one, by amodal masks, is left out, whatever it draws, if no other object takes it. Each takes one
      detection (a crowd any number); a second one is false, as in COCO.
    - All other detections are false: those of nothing, and those of an object whose invisible part they miss.

    Args:
        content: the file of `objects`, whose `segmentation` is amodal, with `visible_segmentation` everywhere.
        sizes: height and width of each image, pixels.

    Returns:
        `objects`: how many have an invisible part; their `AP`, `AP50`, `AP75`; `matched`: how many of them COCO's
        matching by amodal masks gives a detection at IoU .5; `IoU`: its mean with their invisible part. 0 to 1, None
        without such objects.
    """
    amodal, visible = (_masks(content, key, objects) for key in ("segmentation", "visible_segmentation"))
    given = np.full((len(detections.place), len(IOU_THRESHOLDS)), NOTHING, np.int32)
    hides, iou = np.zeros(len(objects.place), np.bool_), np.full(len(objects.place), np.nan)
    heights = np.array([height for height, _ in sizes], np.int64)

    def of_images(first: int, last: int) -> None:
        detection_of = outcomes.detection[:, 0]
        _of_images(first, last, heights, detections, objects, detection_of, amodal, visible, given, hides, iou)

    over_images(of_images, len(sizes), "invisible parts")
    categories, object_category = np.unique(objects.category, return_inverse=True)
    place = np.where(hides, 0, -1)
    order, category = coco_order(detections.category, detections.score, categories)
    matched = hides & ~np.isnan(iou)
    numbers: dict[str, float | int | None] = {"objects": int(hides.sum())}
    for name, thresholds in THRESHOLDS.items():
        ((precision,),), _ = ap_by_bin(category, given[order][:, thresholds], object_category, place, 1)
        numbers[name] = float(precision) if hides.any() else None
    numbers["matched"] = int(matched.sum())
    numbers["IoU"] = float(iou[matched].mean()) if matched.any() else None
    return numbers


def _masks(content: dict[str, Any], key: str, objects: Objects) -> MaskTexts:
    """The masks that the annotations of `objects` have under that key."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    masks = [to_rle(each[key], *sizes[each["image_id"]])["counts"] for each in content["annotations"]]
    return MaskTexts(*joined(masks, objects.place))


@njit(cache=True, nogil=True)
def _of_images(
    first: int,
    last: int,
    heights: np.ndarray,
    detections: Detections,
    objects: Objects,
    detection_of: np.ndarray,
    amodal: MaskTexts,
    visible: MaskTexts,
    given: np.ndarray,
    hides: np.ndarray,
    iou: np.ndarray,
) -> None:
    """Fill in `given` (D, 10), `hides` (G,) and `iou` (G,) for the images `first` to `last`, exclusive.

    Args:
        detection_of: (G,) the detection of each object by amodal masks, -1: none.
    """
    for image in range(first, last):
        d0, d1 = detections.ends[image - 1] if image else 0, detections.ends[image]
        g0, g1 = objects.ends[image - 1] if image else 0, objects.ends[image]
        ours, our_ends = decode_all(detections.texts, detections.start[d0:d1], detections.stop[d0:d1])
        theirs, their_ends = decode_all(amodal.texts, amodal.start[g0:g1], amodal.stop[g0:g1])
        seen, seen_ends = decode_all(visible.texts, visible.start[g0:g1], visible.stop[g0:g1])
        our_boxes = boxes_around(ours, our_ends, heights[image])
        their_boxes = boxes_around(theirs, their_ends, heights[image])
        crowd = objects.crowd[g0:g1]
        same = same_category(detections.category[d0:d1], objects.category[g0:g1])
        our_areas = areas(ours, our_ends)
        ious = mask_iou(ours, our_ends, our_areas, our_boxes, theirs, their_ends, their_boxes, crowd, same, np.inf)
        of_object = same & (ious >= MIN_IOU)
        parts, pixels = invisible_iou(ours, our_ends, theirs, their_ends, seen, seen_ends, of_object)
        counted = ~crowd & (pixels >= MIN_PIXELS)
        # above 1, every threshold: an object without an invisible part takes a detection at all of them
        overlap = np.where(of_object, np.where(counted, parts, 1 + ious), 0.0)
        taken = match(overlap, crowd, ~counted)
        for d in range(d1 - d0):
            for t in range(taken.shape[1]):
                if taken[d, t] >= 0:  # one without an invisible part is left out as a crowd is
                    given[d0 + d, t] = np.int32(g0 + taken[d, t] if counted[taken[d, t]] else CROWD)
        for g in range(g1 - g0):
            hides[g0 + g] = counted[g]
            if detection_of[g0 + g] >= 0:
                iou[g0 + g] = parts[detection_of[g0 + g] - d0, g]


@njit(cache=True, nogil=True)
def invisible_iou(
    ours: np.ndarray,
    our_ends: np.ndarray,
    theirs: np.ndarray,
    their_ends: np.ndarray,
    seen: np.ndarray,
    seen_ends: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """IoU of (d minus V) and (A minus V), masks being runs one after the other, and pixels of each A minus V.

    Args:
        ours: of D detections.
        theirs, seen: of G objects, amodal and visible.
        wanted: (D, G) bool; of other pairs it is 0.

    Returns:
        (D, G) float64 and (G,) int64.
    """
    ious, pixels = np.zeros(wanted.shape), np.zeros(len(their_ends), np.int64)
    for g in range(len(their_ends)):
        view = mask_at(seen, seen_ends, g)
        part = difference(mask_at(theirs, their_ends, g), view)
        pixels[g] = area(part)
        for d in np.flatnonzero(wanted[:, g]):
            mask = mask_at(ours, our_ends, int(d))
            shared = shared_area(mask, part)
            if shared > 0:
                ious[d, g] = shared / (area(mask) - shared_area(mask, view) + pixels[g] - shared)
    return ious, pixels
