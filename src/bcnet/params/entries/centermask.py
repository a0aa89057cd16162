"""CenterMask in the table of methods."""

from typing import ClassVar, Literal

from bcnet.params.method import Method, Official
from bcnet.params.models import FcosPredict
from bcnet.params.variants import OnFcos


class CenterMask(OnFcos):
    """CenterMask; the edition of its authors' code that gave the published numbers is the default."""

    method: Literal["centermask"]
    edition: Literal[1, 2] = 1  # 1: on maskrcnn-benchmark (2020), 2: on detectron2 (2021)
    mask_rois: ClassVar[str] = "proposals"  # as both have it


DETECTIONS = 50
ENTRY = Method(
    "CenterMask",
    CenterMask,
    "bcnet.methods.centermask",
    (
        Official(
            "authors' CenterMask",
            ("roi_heads.mask.feature_extractor.spatialAtt.conv.weight",),
            "fcos",
            ("rpn.head.cls_logits.weight", 0),
            detections=DETECTIONS,
            conventions="maskrcnn_benchmark",
            background_first=("roi_heads.mask.predictor.mask_fcn_logits.", "roi_heads.maskiou.predictor."),
        ),
        Official(
            "authors' CenterMask2",
            ("roi_heads.mask_head.spatialAtt.conv.weight",),
            "fcos",
            ("proposal_generator.fcos_head.cls_logits.weight", 0),
            fcos=FcosPredict(score_threshold=0.05),
            detections=DETECTIONS,
            keys={"edition": 2},
            names="OFFICIAL_NAMES_2",
        ),
    ),
)
