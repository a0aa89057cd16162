"""Parameters of the data: where it comes from, who occludes whom, which splits are made of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bcnet.params.section import Section, Share, UserPath


class Shapes(Section):
    """Pictures that the project makes itself."""

    source: Literal["shapes"]
    seed: int = Field(0, ge=0)
    size: int = Field(160, ge=64, le=1024)  # side of the square pictures, pixels
    train: int = Field(600, ge=1, lt=10**6)  # pictures
    val: int = Field(150, ge=1, lt=10**6)
    objects: tuple[Annotated[int, Field(ge=1, le=15)], Annotated[int, Field(ge=1, le=15)]] = (4, 9)  # of a picture
    beside: Share = 0.6  # of the objects: put so as to overlap the one before
    twin: Share = 0.8  # of those: repeat its category and texture; objects that meet by chance make the two differ more
    outline_light: Share = (
        0.5  # light left on outlines; at 1 there is none, and nothing tells twins apart but their shape
    )

    @model_validator(mode="after")
    def _from_less_to_more(self) -> "Shapes":
        if self.objects[0] > self.objects[1]:
            raise ValueError(f"objects: {list(self.objects)}: expected the least first")
        return self


class Coco(Section):
    """COCO 2017, downloaded, or linked from `folder` when that is set."""

    source: Literal["coco"]
    url: str = Field("http://images.cocodataset.org", pattern=r"^https?://")
    mirrors: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()  # tried in turn where `url` fails
    folder: UserPath | None = None


class Part(Section):
    """One part of a user's own data: a COCO-format file and the folder that its `file_name`s are relative to."""

    annotations: UserPath
    images: UserPath


class Files(Section):
    """A user's own files: in COCO's format, or those of the amodal datasets KINS, COCOA, COCOA-cls and D2SA."""

    source: Literal["files", "kins", "cocoa", "cocoa_cls"]
    train: Part
    val: Part
    test: Part | None = None  # for the end: no stage reads it, so that nothing is chosen by it


Dataset = Annotated[Shapes | Coco | Files, Field(discriminator="source")]


class Synthetic(Section):
    """Training pictures with objects of others pasted over theirs, so that occluder and occludee are known exactly."""

    pictures: int = Field(ge=1, lt=10**6)  # their names have six digits
    seed: int = Field(0, ge=0)
    pasted: tuple[Annotated[int, Field(ge=1, le=20)], Annotated[int, Field(ge=1, le=20)]] = (1, 3)  # objects a picture
    hidden: tuple[Share, Share] = (0.1, 0.7)  # share of its target's mask that a pasted object hides
    min_pixels: int = Field(1000, ge=1)  # of the objects that are pasted, and of those that they are pasted over
    keep_real: bool = True  # the real training pictures are part of the set too

    @model_validator(mode="after")
    def _from_less_to_more(self) -> "Synthetic":
        for key in ("pasted", "hidden"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: {[low, high]}: expected the least first")
        return self


class Convert(Section):
    """Who counts as occluder (released converter)."""

    min_box_iou: Share = 0.05  # a neighbour's box must overlap by more than this
    min_pixels: int = Field(20, ge=0)  # a union of this many pixels or fewer counts as none
    in_front: bool = False  # only neighbours that `depth` does not put behind; the released converter knows no depth


PAIR_RULES = ("box_iou", "box_iou_inclusive", "box_over_smaller", "box_over_larger")  # of two boxes


class Split(Section):
    """A part of val: the images that `rule` selects."""

    rule: Literal[
        "all",
        "box_iou",
        "box_iou_inclusive",
        "box_over_smaller",
        "box_over_larger",
        "box_cover",
        "mask_cover",
        "image_overlap",
        "image_ids",
    ] = "all"
    threshold: Share | None = None
    same_category: bool = False  # rules of two boxes: only pairs of one category
    file: UserPath | None = None  # rule image_ids: a COCO-format file with these images, or a text with an id a line
    masks: Literal["visible", "amodal"] = "visible"  # what counts as ground truth

    @model_validator(mode="after")
    def _keys_where_they_mean_something(self) -> "Split":
        takes = {"threshold": self.rule not in ("all", "image_ids"), "file": self.rule == "image_ids"}
        for key, needed in takes.items():
            value = getattr(self, key)
            if needed and value is None:
                raise ValueError(f"{key}: missing: rule '{self.rule}' needs it")
            if not needed and value is not None:
                raise ValueError(f"{key}: {value}: rule '{self.rule}' takes none")
        if self.same_category and self.rule not in PAIR_RULES:
            raise ValueError(f"same_category: true: only for rules of two boxes ({', '.join(PAIR_RULES)})")
        return self
