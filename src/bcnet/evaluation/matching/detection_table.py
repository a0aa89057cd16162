"""The table of detections: all that COCO's AP of any choice of images is computed from."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from bcnet.data.coco.prediction_format import IouType
from bcnet.evaluation.matching.arrays import Detections
from bcnet.evaluation.matching.coco_matching import AREAS
from bcnet.evaluation.matching.outcomes import KINDS, Outcomes

RANKING = "category_id", "score"
BOX_RANKING = "box_category_id", "box_score"


def flag(kind: str, name: str, area: str) -> str:
    """The column of a flag, `matched` or `ignored`, for what detections and objects are matched by and an area."""
    return f"{kind}_{name}_{area}"


def ranking(kind: str, names: Collection[str]) -> tuple[str, str]:
    """The columns of a table, which has these names, by which detections of a kind are ranked: category and score."""
    return BOX_RANKING if kind == "bbox" and BOX_RANKING[1] in names else RANKING


def schema(iou_type: IouType, box_scores: bool = False) -> pa.Schema:
    """Of the table of detections.

    Args:
        iou_type: whether they are masks or boxes.
        box_scores: whether the boxes around masks have scores of their own.
    """
    columns = {"image_id": pa.int64()}
    for category, score in (RANKING, BOX_RANKING) if box_scores else (RANKING,):
        columns |= {category: pa.list_(pa.int64()), score: pa.list_(pa.float64())}
    flags = [flag(kind, name, area) for kind in KINDS[iou_type] for area in AREAS for name in ("matched", "ignored")]
    return pa.schema(columns | dict.fromkeys(flags, pa.list_(pa.uint16())))


def detection_table(
    images: np.ndarray,
    detections: Detections,
    outcomes: Outcomes,
    iou_type: IouType,
    as_boxes: tuple[Detections, Outcomes] | None = None,
    kinds: Collection[str] | None = None,
) -> pa.Table:
    """One row an image, rising by id, with all that COCO's AP has to know of its detections, as lists.

    The lists go by category and falling score, equal scores in the predictions' order, and have at most 100 detections
    of a category. `K_matched_A` and `K_ignored_A`: COCO's matching for objects of area A (all, small, medium, large) by
    K, one of `outcomes.KINDS`, bit k (of value 2^k) for the IoU threshold .50 + .05 k; ignored are those that match a
    crowd or an object of another area, and those that match nothing and have another area themselves. A detection that
    is neither is wrong.

    Args:
        images: (I,) their ids.
        iou_type: whether the detections are masks or boxes.
        as_boxes: the same predictions ranked and matched as boxes, where these have scores of their own: the lists of
            boxes then go by `box_category_id` and `box_score`.
        kinds: those of KINDS that `outcomes` knows, in their order; None: all.
    """
    columns: dict[str, tuple[Detections, np.ndarray]] = {}
    rankings = [(RANKING, detections), *([(BOX_RANKING, as_boxes[0])] if as_boxes else [])]
    for (category, score), ranked in rankings:
        columns |= {category: (ranked, ranked.category), score: (ranked, ranked.score)}
    for k, kind in enumerate(KINDS[iou_type]):
        if kinds is not None and kind not in kinds:
            continue
        ranked, became, of_kind = detections, outcomes, k
        if kind == "bbox" and as_boxes:
            (ranked, became), of_kind = as_boxes, 0
        for a, area in enumerate(AREAS):
            columns[flag(kind, "matched", area)] = ranked, became.matched[of_kind, :, a]
            columns[flag(kind, "ignored", area)] = ranked, became.ignored[of_kind, :, a]
    lists = {
        name: pa.ListArray.from_arrays(pa.array(np.append(0, ranked.ends), pa.int32()), np.ascontiguousarray(values))
        for name, (ranked, values) in columns.items()
    }
    every = schema(iou_type, as_boxes is not None)
    columns_there = {"image_id": images, **lists}
    return pa.table(columns_there, schema=pa.schema([every.field(name) for name in columns_there]))
