"""Where FCOS differs from one code base to the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from bcnet.models.detectors.fcos_targets import BOX_WEIGHT, giou_loss
from bcnet.params.models import FcosPredict


@dataclass(frozen=True)
class FcosEdition:
    """A code base's FCOS; the defaults are those of BCNet's released code.

    How a code base counts the pixels of a box is not here but in `Conventions`.

    Attributes:
        scales: whether each level has a learnt scale of its distances.
        box_weight: of the loss of the boxes.
        threshold_on_score: `score_threshold` is for a category's probability times centerness, not for it alone.
        tower_bias: whether the towers' convolutions have a bias.
        top_tower: the tower that a method's own layer, `top`, is on.
        activation: what makes distances of the scaled numbers of the head.
        in_pixels: distances are in pixels, not in strides, in what the head gives and in the loss of the boxes.
        images_count: the loss of the categories is divided by the number of positive locations and of pictures.
        box_loss: of boxes around one location each: predicted and true distances (N, 4) to (N,).
        best_locations: `candidates` are a level's locations with the best categories, which then are candidates for all
            of their categories; otherwise locations with one category each.
        root: a score is the square root of a category's probability times centerness, not the product.
        clipped: boxes are cut at the border of the picture before NMS.
        training: how the RoIs that train a mask head are found, whatever `predict` says.
        draws_rois: of more RoIs than a picture may have, those that train a mask head are drawn; otherwise all do.
    """

    scales: bool = True
    box_weight: float = BOX_WEIGHT
    threshold_on_score: bool = False
    tower_bias: bool = True
    top_tower: Literal["boxes", "classes"] = "boxes"
    activation: Literal["relu", "exp", "none"] = "relu"
    in_pixels: bool = False
    images_count: bool = False
    box_loss: Callable[[Tensor, Tensor], Tensor] = giou_loss
    best_locations: bool = False
    root: bool = True
    clipped: bool = False
    training: FcosPredict = field(default_factory=FcosPredict)
    draws_rois: bool = True


RELEASED = FcosEdition()
