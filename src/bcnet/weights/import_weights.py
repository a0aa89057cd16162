"""The verb `import-weights`: models that others trained and released, as model files of this project."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from torch import Tensor

from bcnet import __version__
from bcnet.data.coco import stream
from bcnet.files import InputError, sha256
from bcnet.models.backbones import BACKBONES
from bcnet.models.build import build, save_model
from bcnet.params.models import Model, Predict, Variant
from bcnet.weights.foreign_file import local_file, read_tensors

SHOWN = 5  # of the names that do not fit; the rest is counted
# Buffers that detectron2 once stored: its anchors, which this project computes.
CELL_ANCHORS = tuple(f"proposal_generator.anchor_generator.cell_anchors.{level}" for level in range(5))


def _released_names() -> dict[str, str]:
    """Beginnings of the released FCOS-BCNet's names, and of ours in their place."""
    names = {"head.": "proposal_generator.head."}
    names |= {f"head.scales.{level}.scale": f"proposal_generator.head.scales.{level}" for level in range(5)}
    ours = "roi_heads.mask_head.head."
    for layer, convolutions, suffix in (("occluder", "boundary_fcn", "_bound_bo"), ("target", "mask_fcn", "_bound")):
        for number, place in enumerate((0, 2, 5, 7), start=1):
            names[f"mask_head.{convolutions}{number}."] = f"{ours}{layer}.{place}."
        for part in ("query", "key", "value", "output"):
            names[f"mask_head.{part}_transform{suffix}."] = f"{ours}{layer}.4.{part}."
        names[f"mask_head.blocker{suffix}."] = f"{ours}{layer}.4.norm."
    for output, upsample, predict in (
        ("occluder_mask", "bo_deconv", "predictor_bo"),
        ("occluder_contour", "boundary_deconv_bo", "boundary_predictor_bo"),
        ("target_mask", "deconv", "predictor"),
        ("target_contour", "boundary_deconv", "boundary_predictor"),
    ):
        names[f"mask_head.{upsample}."] = f"{ours}predictors.{output}.upsample."
        names[f"mask_head.{predict}."] = f"{ours}predictors.{output}.predict."
    return names


@dataclass(frozen=True)
class Kind:
    """A kind of released model, how its files are told, and what it is here."""

    name: str
    mark: tuple[str, ...]  # tensors of which no file of another kind has one
    detector: str
    mask_head: str
    classes: tuple[str, int]  # the tensor whose first side counts the categories, and how many more it counts
    names: Mapping[str, str] = field(default_factory=dict)  # beginnings of theirs, and of ours; others are the same
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # short and long side, if not 800, 1333


ZOO_CLASSES = ("roi_heads.box_predictor.cls_score.weight", 1)  # and the background
KINDS = (
    Kind(
        "released FCOS-BCNet",
        ("mask_head.boundary_fcn1.weight",),
        "fcos",
        "bcnet",
        ("head.cls_logits.weight", 0),
        _released_names(),
        {"resnet50": (600, 900)},
    ),
    Kind(
        "model-zoo PointRend",
        ("roi_heads.mask_head.coarse_head.prediction.weight", "roi_heads.mask_coarse_head.prediction.weight"),
        "faster_rcnn",
        "pointrend",
        ZOO_CLASSES,
        {  # of files before 2021
            "roi_heads.mask_coarse_head.coarse_mask_fc": "roi_heads.mask_head.coarse_head.fc",
            "roi_heads.mask_coarse_head.": "roi_heads.mask_head.coarse_head.",
            "roi_heads.mask_point_head.": "roi_heads.mask_head.point_head.",
        },
    ),
    Kind("model-zoo Mask R-CNN", ("roi_heads.mask_head.mask_fcn1.weight",), "faster_rcnn", "mask_rcnn", ZOO_CLASSES),
)


def import_weights(source: str, out: Path, downloads: Path, annotations: Path | None = None) -> None:
    """Write a released model as a model file that predicts as the original does with its own configuration.

    Args:
        source: a released FCOS-BCNet `.pth`, or a Mask R-CNN or PointRend with FPN of detectron2's model zoo: a file or
            an http(s) URL.
        out: the model file.
        downloads: where a downloaded file is kept, and found again.
        annotations: a COCO-format file with the model's categories; None: COCO's 80.

    Raises:
        InputError: the file is of none of these kinds, a tensor is missing, left over, of another shape or not finite,
            or the number of categories is another.
    """
    path = local_file(source, downloads)
    tensors = read_tensors(path)
    kind = _kind(path, tensors)
    backbone = _backbone(tensors)
    categories = _categories(path, kind, tensors, annotations)
    variant = Variant.model_validate({"detector": kind.detector, "backbone": backbone, "mask_head": kind.mask_head})
    short_side, max_side = kind.sizes.get(backbone, (800, 1333))
    predict = Predict(short_side=short_side, max_side=max_side)
    sizes = Model()
    with torch.device("meta"):  # only its names and shapes are looked at
        expected = build(variant, sizes, predict, len(categories)).state_dict()
    description = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": sizes.model_dump(mode="json"),
        "predict": predict.model_dump(mode="json"),
        "categories": categories,
        "provenance": {
            "origin": "imported",
            "kind": kind.name,
            "file_sha256": sha256(path),
            "versions": {"bcnet": __version__, "torch": torch.__version__},
        },
    }
    save_model(out, _fit(path, kind, backbone, tensors, expected), description)


def _kind(path: Path, tensors: Mapping[str, Tensor]) -> Kind:
    for kind in KINDS:
        if any(mark in tensors for mark in kind.mark):
            return kind
    known = ", ".join(kind.name for kind in KINDS)
    raise InputError(f"{path}: neither of these: {known} (with FPN); its first tensor is {next(iter(tensors))}")


def _backbone(tensors: Mapping[str, Tensor]) -> str:
    """Told by its depth and by the width of its groups."""
    if "backbone.bottom_up.res4.22.conv1.weight" not in tensors:
        return "resnet50"
    grouped = tensors.get("backbone.bottom_up.res2.0.conv2.weight", torch.empty(0)).shape == (256, 8, 3, 3)
    return "resnext101" if grouped else "resnet101"


def _categories(
    path: Path, kind: Kind, tensors: Mapping[str, Tensor], annotations: Path | None
) -> list[dict[str, Any]]:
    """The model's categories in the order of its classes: as detectron2 has them, that of their ids."""
    name, more = kind.classes
    if name not in tensors or not tensors[name].ndim:
        raise InputError(f"{path}: {name}: missing, its first side counts the categories of a {kind.name}")
    classes = len(tensors[name]) - more
    if annotations:
        categories = sorted(stream.read(annotations).head["categories"], key=lambda category: category["id"])
        if len(categories) != classes:
            raise InputError(f"{annotations}: {len(categories)} categories, the model of {path} has {classes}")
        return categories
    things = [{"id": each["id"], "name": each["name"]} for each in COCO_CATEGORIES if each["isthing"]]
    if len(things) != classes:
        raise InputError(f"{path}: {classes} categories, not COCO's {len(things)}: --categories FILE says which")
    return things


def _fit(
    path: Path, kind: Kind, backbone: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under this project's names, every one of `expected` and no other, floating-point ones as float32."""
    spec = BACKBONES[backbone]
    normalisation = {"pixel_mean": spec.pixel_mean, "pixel_std": spec.pixel_std}
    fitting: dict[str, Tensor] = {}
    problems = []
    for name, tensor in tensors.items():
        ours = _renamed(name, kind.names)
        if name in CELL_ANCHORS:
            continue
        if name in normalisation:
            if tensor.numel() != 3 or not np.allclose(tensor.flatten(), normalisation[name], atol=1e-3):
                problems.append(f"{name}: {tensor.flatten()[:3].tolist()}, expected {list(normalisation[name])}")
        elif ours not in expected or ours in fitting:
            problems.append(f"{name}: left over")
        else:
            fitting[ours] = tensor
            if problem := _problem(tensor, expected[ours]):
                problems.append(f"{name}: {problem}")
    theirs = {new: old for old, new in kind.names.items()}
    problems += [f"{_renamed(ours, theirs)}: missing" for ours in expected if ours not in fitting]
    if problems:
        rest = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: not a {kind.name} with {backbone}: {'; '.join(problems[:SHOWN])}{rest}")
    return {name: fitting[name].to(tensor.dtype) for name, tensor in expected.items()}


def _renamed(name: str, beginnings: Mapping[str, str]) -> str:
    old = max((old for old in beginnings if name.startswith(old)), key=len, default=None)
    return name if old is None else beginnings[old] + name[len(old) :]


def _problem(tensor: Tensor, expected: Tensor) -> str | None:
    """What is wrong with a tensor; its numbers are looked at only where their count is right."""
    if tensor.shape != expected.shape:
        return f"shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}"
    if tensor.is_floating_point() != expected.is_floating_point():
        return f"{tensor.dtype}, expected {expected.dtype}"
    return None if tensor.to(expected.dtype).isfinite().all() else "holds numbers that are not finite as float32"
