"""Spoilt model files: refused in a line, or the model that the tensors say."""

import copy
import io
import random
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from fuzz_annotations import spoil, spoilt_bytes
from fuzz_oracle import line_of

from bcnet import methods
from bcnet.files import InputError
from bcnet.models.segmenter import Spec
from bcnet.params.methods import variant as variant_of
from bcnet.params.models import Model, Predict
from bcnet.weights.model_file import load_model, save_model


def model_about() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a small model and what its file says of it."""
    variant = variant_of(detector="faster_rcnn", backbone="efficientnet_lite0", method="mask_rcnn")
    sizes, predict = Model(fpn_channels=32, box_channels=32), Predict(short_side=64, max_side=64)
    about = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": sizes.model_dump(mode="json"),
        "predict": predict.model_dump(mode="json"),
        "categories": [{"id": 1, "name": "cup"}],
        "provenance": {"versions": {}},
    }
    return methods.build(Spec(variant, sizes, predict, 1)).state_dict(), about


TENSORS: dict[str, torch.Tensor] = {}
ABOUT: dict[str, Any] = {}


def judge_model(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A model file with spoilt metadata, tensors or bytes: refused in a line, or of what its metadata says."""
    if not TENSORS:
        TENSORS.update(model_about()[0])
        ABOUT.update(model_about()[1])
    path, about, tensors = folder / "m.safetensors", copy.deepcopy(ABOUT), dict(TENSORS)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        spoil(about, rng)
    if rng.random() < 0.2:
        name = rng.choice(list(tensors))
        tensors[rng.choice((name, "more", name + ".x"))] = rng.choice(
            (torch.zeros(3), torch.zeros(()), torch.ones(2, 2, dtype=torch.int8))
        )
    with redirect_stderr(io.StringIO()):
        save_model(path, tensors, about)
    if rng.random() < 0.3:
        raw = path.read_bytes()
        header = 8 + int.from_bytes(raw[:8], "little")
        path.write_bytes(spoilt_bytes(raw[:header], rng) + raw[header:])
    try:
        model = load_model(path)
    except InputError as error:
        return "refused", line_of(error, path)
    expected = {name: tensor.shape for name, tensor in TENSORS.items()}
    found = {name: tensor.shape for name, tensor in model.module.state_dict().items()}
    ids = [category["id"] for category in model.categories]
    right = found == expected and len(ids) == 1 and type(ids[0]) is int and isinstance(model.provenance, dict)
    return "accepted", [] if right else [f"accepted a model of {len(found)} tensors with categories {ids}"]
