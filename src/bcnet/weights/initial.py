"""What a variant's training starts from: another model, ours or an official one, or weights of its backbone alone."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bcnet.files import InputError, atomic_output, readable
from bcnet.models.backbones import BACKBONES
from bcnet.weights.foreign_file import read_tensors
from bcnet.weights.imagenet import fit, read_pickle
from bcnet.weights.official import official

BACKBONE = "backbone.bottom_up."  # before the names of its tensors in a model
TIMM = "body."  # before timm's names in those of a backbone


def write_initial(path: Path, backbone: str, out: Path) -> None:
    """Write the tensors of a file under the names of this project's models, from which training takes what fits.

    Args:
        path: a model file of this project, an official model that `import-weights` reads, with any number of
            categories, or weights of the backbone alone: as `bcnet weights` writes them, of detectron2's model zoo,
            or under timm's names.
        backbone: of the variant.
        out: a safetensors file.

    Raises:
        InputError: the file is none of these, or has another backbone.
    """
    if path.suffix == ".safetensors":
        tensors = _own(path, backbone)
    elif path.suffix == ".pkl" and {"conv1_w", "stem.conv1.weight"} & (arrays := read_pickle(path)).keys():
        tensors = {BACKBONE + name: tensor for name, tensor in fit(arrays, backbone, path).items()}
    else:
        tensors = _foreign(path, backbone)
    with atomic_output(out, keep_equal=True) as temporary:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _own(path: Path, backbone: str) -> dict[str, Tensor]:
    try:
        with readable(path), safe_open(path, framework="pt") as file:
            description = (file.metadata() or {}).get("bcnet")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    if description is None:
        return _of_backbone(path, backbone, tensors)
    _same_backbone(path, json.loads(description)["variant"]["backbone"], backbone)
    return tensors


def _foreign(path: Path, backbone: str) -> dict[str, Tensor]:
    tensors = read_tensors(path)
    if (model := official(path, tensors)) is None:
        return _of_backbone(path, backbone, tensors)
    _same_backbone(path, model.spec.variant.backbone, backbone)
    return model.tensors


def _same_backbone(path: Path, its: str, backbone: str) -> None:
    if its != backbone:
        raise InputError(f"{path}: a model with backbone {its}, the variant's is {backbone}")


def _of_backbone(path: Path, backbone: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a backbone alone, under its own names or timm's; what lies beside them, as a classifier, is dropped.

    torchvision's ResNets are none of these: they are of other networks, with strides and colours of their own.
    """
    named = {**{TIMM + name: tensor for name, tensor in tensors.items()}, **tensors}
    with torch.device("meta"):  # only its names and shapes are looked at
        expected = BACKBONES[backbone].build(0).state_dict()
    for name, tensor in expected.items():
        if name not in named or named[name].shape != tensor.shape:
            has = f"shape {tuple(named[name].shape)}" if name in named else "missing"
            kinds = "a model file, an official model, or a backbone"
            raise InputError(f"{path}: expected {kinds} {backbone}: {name}: {has}, expected {tuple(tensor.shape)}")
    return {BACKBONE + name: named[name].to(tensor.dtype) for name, tensor in expected.items()}
