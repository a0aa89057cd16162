"""Parameters of training, of the sizes that models share, and of test time."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bcnet.params.section import Section, Share

Side = Annotated[int, Field(ge=1, le=10**5)]  # pixels


class Schedule(Section):
    """How every variant is trained (a variant's own `schedule` replaces single keys)."""

    iterations: int = Field(ge=1, le=10**8)
    batch: int = Field(ge=1, le=10**5)  # pictures an iteration, over all processes
    processes: int = Field(1, ge=1, le=10**3)  # that train together on one machine, with a GPU each if it has GPUs
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd only
    weight_decay: float = Field(1e-4, ge=0)
    weight_decay_norm: float = Field(0.0, ge=0)  # of scale and shift of norms (detectron2: none; released code: all)
    weight_decay_bias: float | None = Field(None, ge=0)  # of biases, also those of norms; None: as of other weights
    bias_lr_factor: float = Field(1.0, gt=0)  # what the rate of biases is times that of other weights
    warmup: int = Field(1000, ge=0)  # iterations
    warmup_method: Literal["linear", "constant"] = "linear"
    warmup_factor: float = Field(0.001, gt=0, le=1)
    decay: Literal["steps", "cosine"] = "steps"
    steps: tuple[int, ...] = ()  # iterations after which the rate is divided by 10
    clip_gradients: float | None = Field(None, gt=0)  # global L2 norm
    short_side: tuple[Side, ...] = Field(min_length=1)  # pixels
    short_side_sampling: Literal["choice", "range"] = "choice"  # one is drawn, or any from the least to the greatest
    max_side: int = Field(ge=32, le=10**5)
    flip: Share = 0.5
    amp: bool = True  # mixed precision, on a GPU only
    checkpoint_every: int = Field(1000, ge=1)  # iterations
    validate_every: int | None = Field(None, ge=1)  # iterations; None: AP on val is not measured during training
    validate_images: int = Field(200, ge=1, le=10**6)  # of val that it is measured on

    @model_validator(mode="after")
    def _processes_share_a_batch(self) -> "Schedule":
        if self.batch % self.processes:
            raise ValueError(f"batch must be a multiple of processes ({self.processes})")
        return self

    @model_validator(mode="after")
    def _steps_in_order(self) -> "Schedule":
        if list(self.steps) != sorted(set(self.steps)) or any(not 0 < s < self.iterations for s in self.steps):
            raise ValueError(f"steps must rise and lie between 0 and iterations ({self.iterations})")
        if (self.decay == "cosine") and self.steps:
            raise ValueError("steps go with decay: steps, not with decay: cosine")
        return self

    def remarks(self) -> list[str]:
        """What is legal but hardly meant, a line each."""
        if self.warmup < self.iterations:
            return []
        shorter = f"warmup {self.warmup} is not shorter than iterations {self.iterations}"
        return [f"{shorter}: the learning rate never reaches lr {self.lr:g}"]

    def determining(self) -> dict[str, Any]:
        """The keys that determine a model, as JSON.

        Validation changes nothing of it, and the key of a training has how many processes there are.
        """
        return self.model_dump(mode="json", exclude={"processes", "validate_every", "validate_images"})


class Model(Section):
    """The sizes that every variant shares, so that variants differ only in what they are named for."""

    fpn_channels: int = Field(256, ge=32, le=4096, multiple_of=32)  # of every pyramid level and of the mask heads
    box_channels: int = Field(
        1024, ge=16, le=2**16
    )  # width of the fully connected layers of box heads, and of the one that scores masks
    anchor_sizes: tuple[Side, Side, Side, Side, Side] = (32, 64, 128, 256, 512)  # pixels, P2 to P6
    rois: int = Field(512, ge=8, le=10**5)  # RoIs a picture that train the box head, a quarter of them foreground
    proposals_train: int = Field(1000, ge=10, le=10**5)  # proposals a picture after NMS
    proposals_test: int = Field(1000, ge=10, le=10**5)
    fcos_ranges: tuple[int, int, int, int] = (64, 128, 256, 512)  # pixels: largest distance to a side, P3 to P6
    solov2_ranges: tuple[int, int, int, int, int] = (96, 192, 384, 768, 2048)  # pixels: largest root of a box's area
    freeze_at: int = Field(2, ge=0, le=5)  # backbone stages that keep the weights they start with, the stem counts as 1

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "Model":
        for key, ranges in (("fcos_ranges", self.fcos_ranges), ("solov2_ranges", self.solov2_ranges)):
            if list(ranges) != sorted(set(ranges)) or ranges[0] <= 0:
                raise ValueError(f"{key} must rise from above 0")
        return self


class FcosPredict(Section):
    """How FCOS chooses its detections (defaults: the released configuration)."""

    score_threshold: Share = 0.03  # of a category's probability; some methods: times centerness
    nms: Share = 0.6
    candidates: int = Field(1000, ge=1, le=10**6)  # of each level, before NMS


class SOLOv2Predict(Section):
    """How SOLOv2 chooses its detections (defaults: the authors' configuration)."""

    score_threshold: Share = 0.1  # of a category's probability, before a mask counts
    candidates: int = Field(500, ge=1, le=10**5)  # masks of an image, before NMS
    nms: Literal["gaussian", "linear"] = "gaussian"  # how scores decay with the IoU of masks
    sigma: float = Field(2.0, gt=0)  # of the gaussian: a score is multiplied by exp(-sigma IoU^2)


class Predict(Section):
    """Test time: one view of each picture, or several whose detections are merged."""

    short_side: int = Field(ge=32, le=10**5)
    max_side: int = Field(ge=32, le=10**5)
    flip: bool = False  # each view mirrored as well
    extra_short_sides: tuple[Annotated[int, Field(ge=32, le=10**5)], ...] = ()  # one more view each
    score_threshold: Share = 0.05
    nms: Share = 0.5
    detections: int = Field(100, ge=1, le=100)
    occluders: bool = False  # the occluder mask of each detection is written, too, where the head predicts one
    fcos: FcosPredict = FcosPredict()  # in the place of score_threshold and nms
    solov2: SOLOv2Predict = SOLOv2Predict()  # in the place of nms

    @model_validator(mode="after")
    def _views_differ(self) -> "Predict":
        sides = [self.short_side, *self.extra_short_sides]
        if twice := [side for side in sides if sides.count(side) > 1]:
            raise ValueError(f"extra_short_sides: {twice[0]} is a view twice, short_side's included")
        return self


class RunPredict(Predict):
    """The section `predict` of params.yaml: test time, and which model of a training is meant."""

    checkpoint: Literal["last", "best"] = "last"  # best: of the highest AP on val during training
