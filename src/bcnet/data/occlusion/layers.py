"""The two layers of a converted annotation: the object itself, and what occludes it."""

from typing import Literal, NamedTuple

Masks = Literal["visible", "amodal"]


class Keys(NamedTuple):
    """Where an annotation has the object's box and mask, and the mask of what occludes it."""

    box: str
    mask: str
    occluder: str


LAYERS = {
    "visible": Keys("bbox", "segmentation", "occluder"),
    "amodal": Keys("amodal_bbox", "amodal_segmentation", "amodal_occluder"),
}
