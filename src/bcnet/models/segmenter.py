"""What training, prediction and report know of a method's model, and what it is built from."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from detectron2.modeling import FPN
from torch import Tensor, nn

from bcnet.models.conventions import DETECTRON2, Conventions
from bcnet.models.detections import Detected, Size, View
from bcnet.params.models import Model, Predict
from bcnet.params.variants import Variant

OfMethod = TypeVar("OfMethod", bound=Variant, covariant=True)


@dataclass(frozen=True)
class Spec(Generic[OfMethod]):
    """What a model is built from.

    Attributes:
        variant: backbone, detector and the method's own keys.
        sizes: what all variants share.
        predict: test time.
        classes: number of categories, background not counted.
        conventions: of the code base that trained it.
    """

    variant: OfMethod
    sizes: Model
    predict: Predict
    classes: int
    conventions: Conventions = DETECTRON2


class Segmenter(nn.Module):
    """A method's model.

    Attributes:
        backbone: with its pyramid; `bottom_up` below it takes the ImageNet weights.
    """

    backbone: FPN

    @abstractmethod
    def forward(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The losses in training mode, by name, each a scalar; their sum is what is learned.

        Args:
            batch: items of `training.loader.TrainingPictures`.
        """

    @abstractmethod
    def detect(self, views: Sequence[View], size: Size) -> Detected:
        """What the model finds in a picture, in evaluation mode and without gradients.

        Args:
            views: of the picture; several only where the method's entry in the table says that it merges them.
            size: (height, width) of the picture.
        """
