"""The parameters of a run: what `params.yaml` may say, checked before any work is done.

The classes here are the schema: their fields are the legal keys, their types the legal values. `config/README.md`
explains each for users; `workflow/schemas/params.schema.json` is generated from them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError

from bcnet.files import InputError
from bcnet.validation import one_line

PARAMS = Path("params.yaml")
T = TypeVar("T")
Backbone = Literal["efficientnet_lite0", "resnet50", "resnet101", "resnext101"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # safe as a folder, a stage and a wildcard
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A mapping with fixed keys: an unknown key is an error, and values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shapes(Section):
    """Pictures that the project makes itself."""

    source: Literal["shapes"]
    seed: int = Field(0, ge=0)
    size: int = Field(160, ge=64, le=1024)  # side of the square pictures, pixels
    train: int = Field(600, ge=1)  # pictures
    val: int = Field(150, ge=1)


class Coco(Section):
    """COCO 2017, downloaded, or linked from `folder` when that is set."""

    source: Literal["coco"]
    url: str = Field("http://images.cocodataset.org", pattern=r"^https?://")
    folder: Path | None = None


class Part(Section):
    """One part of a user's own data: a COCO-format file and the folder that its `file_name`s are relative to."""

    annotations: Path
    images: Path


class Files(Section):
    """A user's own data in COCO format."""

    source: Literal["files"]
    train: Part
    val: Part


Dataset = Annotated[Shapes | Coco | Files, Field(discriminator="source")]


class Convert(Section):
    """Who counts as occluder (released converter)."""

    min_box_iou: Share = 0.05  # a neighbour's box must overlap by more than this
    min_pixels: int = Field(20, ge=0)  # a union of this many pixels or fewer counts as none


class Split(Section):
    """A part of val: the images that `rule` selects."""

    rule: Literal["all", "box_iou", "box_cover", "mask_cover"] = "all"
    threshold: Share | None = None

    @model_validator(mode="after")
    def _threshold_where_it_means_something(self) -> "Split":
        if (self.rule == "all") != (self.threshold is None):
            raise ValueError("rule 'all' takes no threshold, every other rule needs one")
        return self


class Schedule(Section):
    """How every variant is trained (a variant's own `schedule` replaces single keys)."""

    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)  # pictures an iteration, over all devices
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd only
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(1000, ge=0)  # iterations
    warmup_factor: float = Field(0.001, gt=0, le=1)
    decay: Literal["steps", "cosine"] = "steps"
    steps: tuple[int, ...] = ()  # iterations after which the rate is divided by 10
    clip_gradients: float | None = Field(None, gt=0)  # global L2 norm
    short_side: tuple[int, ...] = Field(min_length=1)  # pixels, one is drawn for each picture
    max_side: int = Field(ge=32)
    flip: Share = 0.5
    amp: bool = True  # mixed precision, on a GPU only
    checkpoint_every: int = Field(1000, ge=1)  # iterations

    @model_validator(mode="after")
    def _steps_in_order(self) -> "Schedule":
        if list(self.steps) != sorted(set(self.steps)) or any(not 0 < s < self.iterations for s in self.steps):
            raise ValueError(f"steps must rise and lie between 0 and iterations ({self.iterations})")
        if (self.decay == "cosine") and self.steps:
            raise ValueError("steps go with decay: steps, not with decay: cosine")
        return self


class Model(Section):
    """The sizes that every variant shares, so that variants differ only in what they are named for."""

    fpn_channels: int = Field(256, ge=32, multiple_of=32)  # of every pyramid level and of the mask heads
    box_channels: int = Field(1024, ge=16)  # width of the two fully connected layers of the box head
    anchor_sizes: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512)  # pixels, P2 to P6
    rois: int = Field(512, ge=8)  # RoIs a picture that train the box head, a quarter of them foreground
    proposals_train: int = Field(1000, ge=10)  # proposals a picture after NMS
    proposals_test: int = Field(1000, ge=10)
    freeze_at: int = Field(2, ge=0, le=5)  # backbone stages that keep their ImageNet weights, the stem counts as 1


class Predict(Section):
    """Test time: one scale, no flip."""

    short_side: int = Field(ge=32)
    max_side: int = Field(ge=32)
    score_threshold: Share = 0.05
    nms: Share = 0.5
    detections: int = Field(100, ge=1, le=100)


class Evaluate(Section):
    """What the metrics are binned by."""

    cover_bins: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0)  # edges of `box_cover`

    @model_validator(mode="after")
    def _edges_rise(self) -> "Evaluate":
        edges = self.cover_bins
        if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or list(edges) != sorted(set(edges)):
            raise ValueError("cover_bins must rise from 0 to 1")
        return self


class Supervision(Section):
    """Which of a layer's two outputs are built and trained."""

    mask: bool = True
    contour: bool = True


class TargetSupervision(Supervision):
    """The target layer always has its mask: it is the result."""

    mask: Literal[True] = True


class Variant(Section):
    """A row of the tables: one detector with one backbone and one mask head."""

    detector: Literal["faster_rcnn"]
    backbone: Backbone
    mask_head: Literal["mask_rcnn", "bcnet"]
    label: str | None = None
    structure: Literal["bilayer", "single"] = "bilayer"
    layer: Literal["gcn", "fcn"] = "gcn"
    occluder: Supervision = Supervision()
    target: TargetSupervision = TargetSupervision()
    schedule: dict[str, Any] = {}

    @model_validator(mode="after")
    def _switches_belong_to_bcnet(self) -> "Variant":
        switches = {"structure", "layer", "occluder", "target"} & self.model_fields_set
        if self.mask_head != "bcnet" and switches:
            raise ValueError(f"{', '.join(sorted(switches))}: only for mask_head: bcnet")
        if self.structure == "single" and "occluder" in switches:
            raise ValueError("occluder: structure: single has no occluder layer")
        return self


class Brought(Section):
    """Predictions from elsewhere, in COCO's result format, of the images of val."""

    file: Path
    label: str


class Tables(Section):
    """What `compare` writes."""

    metrics: tuple[Literal["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"], ...] = (
        "AP",
        "AP50",
        "AP75",
    )
    published: str | None = None  # a table of reference/results.yaml to set beside the measured rows


class Params(Section):
    """All of `params.yaml`. Every section must be there, an empty one as `{}`: DVC knows no defaults."""

    dataset: Name
    datasets: dict[Name, Dataset]
    convert: Convert
    splits: dict[Name, Split]
    schedule: Schedule
    model: Model
    predict: Predict
    evaluate: Evaluate
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**20)], ...] = Field(min_length=1)
    variants: dict[Name, Variant] = Field(min_length=1)
    predictions: dict[Name, Brought]
    tables: Tables

    @model_validator(mode="after")
    def _sections_fit(self) -> "Params":
        if self.dataset not in self.datasets:
            raise ValueError(f"dataset: {self.dataset!r} is not one of datasets ({', '.join(self.datasets)})")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} names a seed twice")
        if both := sorted(self.variants.keys() & self.predictions.keys()):
            raise ValueError(f"predictions: {both[0]!r} is already the name of a variant")
        if "val" not in self.splits:
            raise ValueError("splits: needs one named val: the report takes its pictures from it")
        labels = [variant.label or name for name, variant in self.variants.items()]
        labels += [brought.label for brought in self.predictions.values()]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"label: {twice[0]!r} is given twice: tables could not tell the rows apart")
        if self.tables.published is not None and isinstance(self.datasets[self.dataset], Shapes):
            raise ValueError("tables.published: numbers on made data are not comparable with published ones, use null")
        for name in self.variants:
            self.schedule_of(name)
        return self

    def schedule_of(self, variant: str) -> Schedule:
        """The schedule that a variant is trained with: the shared one, with the variant's own keys replaced.

        Raises:
            ValueError: the variant's keys do not make a legal schedule.
        """
        own = self.variants[variant].schedule
        try:
            return Schedule.model_validate({**self.schedule.model_dump(), **own})
        except ValidationError as error:
            raise ValueError(f"variants.{variant}.schedule.{one_line(error, Schedule)}") from error

    def variant(self, name: str) -> Variant:
        """The variant of that name; `dataset_named`, `split_named` and `brought` do the same for their sections.

        Raises:
            InputError: there is none.
        """
        return _entry("variants", self.variants, name)

    def dataset_named(self, name: str) -> Dataset:
        return _entry("datasets", self.datasets, name)

    def split_named(self, name: str) -> Split:
        return _entry("splits", self.splits, name)

    def brought(self, name: str) -> Brought:
        return _entry("predictions", self.predictions, name)


def _entry(section: str, entries: dict[str, T], name: str) -> T:
    if name not in entries:
        raise InputError(f"{PARAMS}: {section}: no {name!r}, there are: {', '.join(entries) or 'none'}")
    return entries[name]


def load(path: Path = PARAMS) -> Params:
    """Read and check a params file.

    Raises:
        InputError: missing, not YAML, a key twice, or a key or value that is not legal; the line names the legal ones.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror} (`bcnet preset demo` makes one)") from error
    except DuplicateKeyError as error:
        raise InputError(f"{path}:{error.problem_mark.line + 1}: {str(error.problem).splitlines()[0]}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, Params)}") from error


def schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, for editors and for Snakemake."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
