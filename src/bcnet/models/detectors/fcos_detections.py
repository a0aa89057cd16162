"""Detections of FCOS: what is made of the head's output on all levels."""

import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances
from torch import Tensor

from bcnet.models.conventions import DETECTRON2, Conventions
from bcnet.models.detectors.fcos_edition import RELEASED, FcosEdition
from bcnet.models.detectors.fcos_head import LevelOutput, by_location
from bcnet.models.detectors.fcos_targets import Locations
from bcnet.params.models import FcosPredict


def decode(
    outputs: list[LevelOutput],
    places: Locations,
    picture: int,
    size: tuple[int, int],
    settings: FcosPredict,
    detections: int,
    edition: FcosEdition = RELEASED,
    conventions: Conventions = DETECTRON2,
) -> Instances:
    """A picture's detections, best first.

    Args:
        outputs: of the head on each level.
        places: the locations of all levels.
        picture: its index in the batch.
        size: its (height, width), in pixels.
        settings: a location is a candidate for each category whose probability is above `score_threshold`; of a level,
            the best `candidates` stay; `nms` is within a category, of boxes whose IoU is above it.
        detections: at most, after NMS.
        edition: whose FCOS it is.
        conventions: of the code base that trained it; but NMS always leaves a box whose IoU is at the limit.

    Returns:
        Fields `pred_boxes`, `scores`, which the edition makes of the category's probability and the centerness,
        `pred_classes`, and where each detection comes from: `levels` (index of the level) and `locations` (index within
        it), both (n,) int64, and `points` (n, 2), x and y in pixels. Where the head has a top, `tops`: (n, T), its rows
        there.
    """
    found: list[tuple[Tensor, ...]] = []
    by_level = zip(outputs, places.points.split(places.counts), places.strides.split(places.counts), strict=True)
    for level, (output, points, strides) in enumerate(by_level):
        logits, distances, centerness = (
            by_location([maps[picture]]).float() for maps in (output.logits, output.distances, output.centerness)
        )
        probabilities = logits.sigmoid()
        scores = probabilities * centerness.sigmoid()
        certain = (scores if edition.threshold_on_score else probabilities) > settings.score_threshold
        if edition.best_locations:
            best = scores.amax(1).topk(min(settings.candidates, len(scores))).indices
            certain &= torch.zeros_like(certain).index_fill(0, best, True)
        location, category = certain.nonzero().unbind(1)
        score = scores[location, category]
        if not edition.best_locations:
            score, best = score.topk(min(settings.candidates, len(score)))
            location, category = location[best], category[best]
        near, reach = points[location], (distances if edition.in_pixels else distances * strides)[location]
        box = conventions.from_code_base(torch.cat([near - reach[:, :2], near + reach[:, 2:]], 1))
        score = score.sqrt() if edition.root else score
        found.append((box, score, category, torch.full_like(location, level), location))
    boxes, scores, classes, levels, locations = (torch.cat(parts) for parts in zip(*found, strict=True))
    if edition.clipped:
        height, width = size
        boxes = conventions.clipped(boxes, size).clamp(min=0).minimum(boxes.new_tensor([width, height] * 2))
    kept = batched_nms(boxes, scores, classes, settings.nms)[:detections]
    instances = Instances(
        size,
        pred_boxes=Boxes(boxes[kept]),
        scores=scores[kept],
        pred_classes=classes[kept],
        levels=levels[kept],
        locations=locations[kept],
    )
    first = locations.new_tensor([0, *places.counts]).cumsum(0)  # of each level
    place = first[levels[kept]] + locations[kept]
    instances.points = places.points[place]
    if tops := [output.top[picture] for output in outputs if output.top is not None]:
        instances.tops = by_location(tops)[place]
    return instances
