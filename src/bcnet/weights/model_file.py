"""Model files: tensors, and all that is needed to build their model and to say where it comes from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bcnet.data.coco.annotation_file import is_id
from bcnet.files import InputError, as_in_file, atomic_output
from bcnet.methods import build
from bcnet.models.conventions import BY_NAME
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params.methods import variant
from bcnet.params.models import Model, Predict
from bcnet.params.variants import Variant

WRONG = (KeyError, TypeError, ValueError, AttributeError, RecursionError)  # raised by metadata of another kind


@dataclass(frozen=True)
class ModelFile:
    """A trained model and what its file says of it."""

    module: Segmenter  # in evaluation mode
    variant: Variant
    predict: Predict
    categories: list[dict[str, Any]]  # COCO's, in the order of the model's classes
    provenance: dict[str, Any]


def save_model(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write a model file.

    Args:
        path: a safetensors file.
        tensors: the model's `state_dict`.
        description: `variant`, `model`, `predict` (those sections as JSON), `categories` and `provenance`, and of
            others' models perhaps `conventions`, a name of `models.conventions.BY_NAME`.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_output(path) as temporary:
        temporary.write_bytes(save(contiguous, metadata={"bcnet": json.dumps(description)}))


def load_model(path: Path, predict: Predict | None = None) -> ModelFile:
    """Read a model file and build its model, in evaluation mode on the CPU.

    Args:
        path: the file.
        predict: test-time settings in the place of the file's own.

    Raises:
        InputError: missing, not a safetensors file, not one of bcnet's, or of another shape than it says.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = (file.metadata() or {}).get("bcnet")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such model file (`bcnet train` and `bcnet import-weights` make them)") from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    if description is None:
        raise InputError(f"{path}: metadata has no 'bcnet': not a model file of this program")
    try:
        about = json.loads(description)
        chosen, own = variant(**_of_today(about["variant"])), Predict.model_validate(about["predict"])
        sizes, categories = Model.model_validate(about["model"]), _categories(about["categories"])
        provenance = dict(about["provenance"])
        conventions = BY_NAME[about.get("conventions", "detectron2")]
    except WRONG as error:  # not JSON, or a part that is missing or unknown
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path}: metadata: not as this version writes it: {why:.300}") from error
    predict = predict or own
    spec = Spec(chosen, sizes, predict, len(categories), conventions)
    _fit(path, tensors, spec)
    model = build(spec)
    model.load_state_dict(tensors)
    if not torch.cuda.is_available():
        model.to(memory_format=torch.channels_last)  # as training; predicting takes 15 to 40 % less time
    return ModelFile(model.eval(), chosen, predict, categories, provenance)


def _categories(listed: Any) -> list[dict[str, Any]]:
    """The categories of a model file.

    Raises:
        ValueError: they are no list of objects with an id each, all of them different.
    """
    if not isinstance(listed, list) or not listed or not all(isinstance(category, dict) for category in listed):
        raise ValueError(f"categories: {as_in_file(listed)}: expected a list of objects with an id each")
    for category in listed:
        if not is_id(category.get("id")) or not isinstance(category.get("name", ""), str):
            raise ValueError(
                f"categories: {as_in_file(category)}: expected an object with an id, and a name that is text"
            )
    if len({category["id"] for category in listed}) < len(listed):
        raise ValueError("categories: two have one id")
    return listed


def _fit(path: Path, tensors: dict[str, Tensor], spec: Spec) -> None:
    """See that tensors are those of a model, before the memory for one is taken.

    Raises:
        InputError: one is missing, left over or of another shape.
    """
    with torch.device("meta"):
        expected = build(spec).state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors or name not in expected:
            raise InputError(f"{path}: {name}: {'left over' if name in tensors else 'missing'}")
        if tensors[name].shape != expected[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)} by the file's metadata"
            raise InputError(f"{path}: {name}: shape {shapes}")


def _of_today(variant: dict[str, Any]) -> dict[str, Any]:
    """A variant's keys, those of files before 0.2 under their names of today."""
    return {"method" if key == "mask_head" else key: value for key, value in variant.items()}
