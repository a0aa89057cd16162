"""The detectors that a mask branch can stand on, by the name that `params.yaml` gives them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bcnet.models.detectors import faster_rcnn, fcos
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.models.segmenter import Spec
from bcnet.params.variants import OnDetector


@dataclass(frozen=True)
class RoIDetector:
    """A detector.

    Attributes:
        strides: of the levels that RoIs are pooled from, by name, in pixels.
        build: the model, from its spec and a mask branch.
    """

    strides: Mapping[str, int]
    build: Callable[[Spec[Any], nn.Module], RoISegmenter]


ROI_DETECTORS = {
    "faster_rcnn": RoIDetector(faster_rcnn.STRIDES, faster_rcnn.faster_rcnn),
    "fcos": RoIDetector(fcos.STRIDES, fcos.fcos),
}


def with_mask_branch(spec: Spec[OnDetector], branch: Callable[[Mapping[str, int]], nn.Module]) -> RoISegmenter:
    """The variant's detector with a mask branch.

    The branch draws its weights apart, so that with one seed all variants start with equal weights elsewhere.

    Args:
        spec: of the model.
        branch: makes the mask branch, given the strides of the levels that RoIs are pooled from.
    """
    detector = ROI_DETECTORS[spec.variant.detector]
    with torch.random.fork_rng(devices=[]):
        mask_branch = branch(detector.strides)
    return detector.build(spec, mask_branch)
