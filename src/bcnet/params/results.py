"""Parameters of the results: predictions from elsewhere, what is measured, which tables are written."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bcnet.params.section import Name, Section


class Evaluate(Section):
    """What the metrics are binned by."""

    cover_bins: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0)  # edges of `box_cover`

    @model_validator(mode="after")
    def _edges_rise(self) -> "Evaluate":
        edges = self.cover_bins
        if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or list(edges) != sorted(set(edges)):
            raise ValueError("cover_bins must rise from 0 to 1")
        return self


class Brought(Section):
    """Predictions from elsewhere, in COCO's result format, of the images of val."""

    file: Path
    label: str


class Imported(Section):
    """A model trained elsewhere, in a file that `bcnet import-weights` reads."""

    file: str = Field(min_length=1)  # a path, or an http(s) URL
    label: str


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
    draws: Annotated[int, Field(ge=1)] = 1000  # of the bootstrap
