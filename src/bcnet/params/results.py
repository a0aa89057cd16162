"""Parameters of the results: predictions from elsewhere, what is measured, which tables are written."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bcnet.params.section import InputPath, Label, Name, Section


def _rise(edges: tuple[float, ...]) -> tuple[float, ...]:
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or list(edges) != sorted(set(edges)):
        raise ValueError(f"{list(edges)}: must rise from 0 to 1")
    return edges


Edges = Annotated[tuple[float, ...], AfterValidator(_rise)]
BINNED = ("box_cover", "mask_cover", "max_box_iou")  # measures of occlusion that go from 0 to 1


class Evaluate(Section):
    """What the metrics are binned by, the edges of the bins of each measure of occlusion; and how sure they are."""

    cover_bins: Edges = (0.0, 0.1, 0.3, 1.0)  # of `box_cover`
    mask_cover_bins: Edges = (0.0, 0.02, 0.1, 1.0)
    box_iou_bins: Edges = (0.0, 0.2, 0.5, 1.0)  # of `max_box_iou`
    draws: Annotated[int, Field(ge=1, le=10**6)] = 1000  # of the bootstrap that says how sure the numbers are
    file_boxes: bool = False  # box_AP is of the boxes beside predicted masks, not of those around them

    def bins(self) -> dict[str, tuple[float, ...]]:
        """The edges by measure."""
        return dict(zip(BINNED, (self.cover_bins, self.mask_cover_bins, self.box_iou_bins), strict=True))


class Brought(Section):
    """Predictions from elsewhere, in COCO's result format, of the images of val."""

    file: InputPath
    label: Label


class Imported(Section):
    """A model trained elsewhere, in a file that `bcnet import-weights` reads."""

    file: str = Field(min_length=1)  # a path, or an http(s) URL
    label: Label


class Reproduces(Section):
    """The published row that a method is to reproduce, and where it is measured."""

    table: str
    row: str  # its detector, backbone and method, or what it has of these, joined by ", "
    split: Name


class Tables(Section):
    """What `compare` writes."""

    metrics: tuple[Literal["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"], ...] = (
        "AP",
        "AP50",
        "AP75",
    )
    published: tuple[str, ...] = ()  # tables of reference/results.yaml to set beside what is measured
    reproduces: dict[Name, Reproduces] = Field({})
    tolerance: Annotated[float, Field(ge=0)] = 0.5  # points; a larger difference: not reproduced
    compare_to: tuple[Name, ...] = ()  # of all methods; none: the first variant
    draws: Annotated[int, Field(ge=1, le=10**6)] = 1000  # of the bootstrap
