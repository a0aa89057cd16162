"""What is known of a method by name, without its model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from bcnet.params.models import FcosPredict
from bcnet.params.variants import Variant

OF_DETECTRON2 = ("roi_heads.box_predictor.cls_score.weight", 1)  # counts the categories, and the background


@dataclass(frozen=True)
class Official:
    """Models of a method that others trained and released: how their files are told, and what they are here.

    The names of their tensors are translated by a table of the method's module, `OFFICIAL_NAMES`.

    Attributes:
        name: in messages and provenance.
        marks: tensors of which every such file has one.
        lacks: beginnings of the names of tensors that no such file has, but others that have its marks do.
        detector: that they stand on; None: the method has none.
        classes: the tensor whose first side counts the categories, and how many more it counts.
        sizes: short and long side at test time by backbone, where they are not 800 and 1333.
        fcos: how FCOS chooses its detections at test time.
        detections: at most so many an image then.
        keys: of the variant, where they are not as by default.
        unused: beginnings of the names of tensors that do nothing at test time.
        conventions: of the code base: a name of `models.conventions.BY_NAME`.
        background_first: beginnings of the names of tensors whose first rows are the background's; here, those of the
            box scores are the last, and others have none.
        names: what the table of names is called in the method's module.
        folded_norms: the backbone's norms have scale and shift alone, into which their statistics went.
    """

    name: str
    marks: tuple[str, ...]
    detector: str | None
    classes: tuple[str, int]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fcos: FcosPredict = field(default_factory=FcosPredict)
    detections: int = 100
    keys: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    conventions: str = "detectron2"
    background_first: tuple[str, ...] = ()
    names: str = "OFFICIAL_NAMES"
    lacks: tuple[str, ...] = ()
    folded_norms: bool = False


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        name: in the literature.
        variant: what a variant of it may say in `params.yaml`.
        module: where its model is built: `build(spec)`, from a `Spec` to a `Segmenter` (`models.segmenter`).
        official: released models that `import-weights` reads.
        merges_views: whether it can be shown a picture in several views at test time.
    """

    name: str
    variant: type[Variant]
    module: str
    official: tuple[Official, ...] = ()
    merges_views: bool = True

    @property
    def detectors(self) -> tuple[str, ...]:
        """The legal values of the key `detector`; none for a method without one."""
        detector = self.variant.model_fields.get("detector")
        return get_args(detector.annotation) if detector else ()
