"""Models that others trained and released, under this project's names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bcnet.files import InputError
from bcnet.methods import build
from bcnet.models.backbones import BACKBONES
from bcnet.models.conventions import BY_NAME
from bcnet.models.segmenter import Spec
from bcnet.params.method import Official
from bcnet.params.methods import METHODS, variant
from bcnet.params.models import Model, Predict
from bcnet.params.variants import Variant
from bcnet.weights.foreign_file import read_tensors
from bcnet.weights.programs import program_of_tensors

SHOWN = 5  # of the names that do not fit; the rest is counted
# Buffers that detectron2 once stored: its anchors, which this project computes.
CELL_ANCHORS = tuple(f"proposal_generator.anchor_generator.cell_anchors.{level}" for level in range(5))
WRAPPED = "module."
COUNTER = {".num_batches_tracked": 0.0}  # of BatchNorm's, which files of PyTorch before 0.4.1 lack; nothing reads it
FOLDED = {".norm.running_mean": 0.0, ".norm.running_var": 1.0}  # statistics that change nothing


@dataclass(frozen=True)
class Kind:
    """A kind of official model: what the table says of it, the method's name here, and its tensors' names."""

    official: Official
    method: str

    @property
    def name(self) -> str:
        return self.official.name

    def has(self, tensors: Collection[str]) -> bool:
        """Whether a file with tensors of these names is of this kind."""
        marked = any(mark in tensors for mark in self.official.marks)
        return marked and not any(name.startswith(self.official.lacks) for name in tensors)

    def names(self) -> Mapping[str, str]:
        """Beginnings of theirs, and of ours in their place; others are the same."""
        names: Mapping[str, str] = getattr(import_module(METHODS[self.method].module), self.official.names)
        return names


KINDS = [Kind(official, name) for name, method in METHODS.items() for official in method.official]


class OfficialModel(NamedTuple):
    """A released model under this project's names: its kind, what it is built from, and its tensors."""

    kind: Kind
    spec: Spec[Variant]
    tensors: dict[str, Tensor]


def read_official(path: Path) -> OfficialModel:
    """A released model, with as many categories as its file has.

    Raises:
        InputError: the file is of none of `KINDS`; or a tensor is missing, left over, of another shape or not finite.
    """
    tensors = read_tensors(path)
    if (model := official(path, tensors)) is None:
        if program := program_of_tensors(tensors):
            raise InputError(f"{path}: {program}")
        known = ", ".join(kind.name for kind in KINDS)
        raise InputError(f"{path}: expected one of {known} (with FPN); its first tensor is {next(iter(tensors))}")
    return model


def official(path: Path, tensors: Mapping[str, Tensor]) -> OfficialModel | None:
    """As `read_official`, of tensors by the file's names; None: they are of none of `KINDS`.

    Args:
        path: their file, for errors.
    """
    tensors = _of_one_process(tensors)
    kind = next((kind for kind in KINDS if kind.has(tensors)), None)
    if kind is None:
        return None
    backbone = _backbone({_renamed(name, kind.names()): tensor for name, tensor in tensors.items()})
    of_detector = {"detector": kind.official.detector} if kind.official.detector else {}
    chosen = variant(method=kind.method, backbone=backbone, **of_detector, **kind.official.keys)
    short_side, max_side = kind.official.sizes.get(backbone, (800, 1333))
    predict = Predict(
        short_side=short_side, max_side=max_side, detections=kind.official.detections, fcos=kind.official.fcos
    )
    spec = Spec(chosen, Model(), predict, _classes(path, kind, tensors), BY_NAME[kind.official.conventions])
    with torch.device("meta"):  # only its names and shapes are looked at
        expected = build(spec).state_dict()
    fitting = _fit(path, kind, backbone, _background_last(path, kind, tensors), expected)
    return OfficialModel(kind, spec, fitting)


def _of_one_process(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without the `module.` that DistributedDataParallel puts before every name."""
    if not all(name.startswith(WRAPPED) for name in tensors):
        return tensors
    return {name.removeprefix(WRAPPED): tensor for name, tensor in tensors.items()}


def _backbone(tensors: Mapping[str, Tensor]) -> str:
    """Told by its depth and by the width of its groups."""
    if "backbone.bottom_up.res4.22.conv1.weight" not in tensors:
        return "resnet50"
    grouped = tensors.get("backbone.bottom_up.res2.0.conv2.weight", torch.empty(0)).shape == (256, 8, 3, 3)
    return "resnext101" if grouped else "resnet101"


def _classes(path: Path, kind: Kind, tensors: Mapping[str, Tensor]) -> int:
    """The number of the model's categories."""
    name, more = kind.official.classes
    if name not in tensors or not tensors[name].ndim:
        raise InputError(f"{path}: {name}: missing, its first dimension is the number of categories of a {kind.name}")
    return len(tensors[name]) - more


def _fit(
    path: Path, kind: Kind, backbone: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under this project's names, every one of `expected` and no other, floating-point ones as float32."""
    fitting, problems = _matched(kind, backbone, tensors, expected)
    fitting = _buffers(kind, expected) | fitting
    theirs = {new: old for old, new in kind.names().items()}
    problems += [f"{_renamed(ours, theirs)}: missing" for ours in expected if ours not in fitting]
    if problems:
        rest = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: does not fit {kind.name} with {backbone}: {'; '.join(problems[:SHOWN])}{rest}")
    return {name: fitting[name].to(tensor.dtype) for name, tensor in expected.items()}


def _matched(
    kind: Kind, backbone: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A file's tensors under the names of `expected`, and a line for each that is not such a tensor."""
    names, matched, problems = kind.names(), dict[str, Tensor](), []
    for name, tensor in tensors.items():
        ours = _renamed(name, names)
        uncounted = ours.endswith(tuple(COUNTER)) and ours not in expected  # norms that are frozen here
        if uncounted or ours in CELL_ANCHORS or name.startswith(kind.official.unused):
            continue
        if name in ("pixel_mean", "pixel_std"):
            problems += _normalised_otherwise(name, tensor, backbone)
        elif ours not in expected or ours in matched:
            problems.append(f"{name}: left over")
        else:
            shape = expected[ours].shape
            matched[ours] = tensor.reshape(shape) if tensor.numel() == shape.numel() == 1 else tensor  # () as (1,)
            if problem := _problem(matched[ours], expected[ours]):
                problems.append(f"{name}: {problem}")
    return matched, problems


def _buffers(kind: Kind, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that a file of this kind may lack."""
    values = COUNTER | (FOLDED if kind.official.folded_norms else {})
    return {
        name: torch.full(tensor.shape, value)
        for name, tensor in expected.items()
        for ending, value in values.items()
        if name.endswith(ending)
    }


def _normalised_otherwise(name: str, tensor: Tensor, backbone: str) -> list[str]:
    """What is wrong with a file's `pixel_mean` or `pixel_std`: nothing, or one line."""
    expected = getattr(BACKBONES[backbone], name)
    if tensor.numel() == 3 and np.allclose(tensor.flatten(), expected, atol=1e-3):
        return []
    return [f"{name}: {tensor.flatten()[:3].tolist()}, expected {list(expected)}"]


def _background_last(path: Path, kind: Kind, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Those whose first rows are the background's with these as the last, for scores of boxes, or without them."""
    scores, more = kind.official.classes
    groups, ordered = len(tensors[scores]) - more + 1, dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith(kind.official.background_first):
            own, rest = divmod(len(tensor) if tensor.ndim else 1, groups)
            if rest:
                raise InputError(f"{path}: {name}: shape {tuple(tensor.shape)}, expected rows for {groups} classes")
            of_scores = name.startswith(scores.removesuffix("weight"))
            ordered[name] = tensor.roll(-own, 0) if of_scores else tensor[own:]
    return ordered


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
