"""What a variant may start from: models and backbones of any origin, under this project's names."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from model_factory import PREDICT, SIZES, build
from released_files import random_tensors, released_shapes
from safetensors.torch import load_file
from test_imagenet import zoo_file

from bcnet.files import InputError
from bcnet.params import methods
from bcnet.weights.import_weights import import_weights
from bcnet.weights.initial import write_initial
from bcnet.weights.model_file import save_model

RESNET50 = (3, 4, 6, 3)


def written(path: Path, backbone: str) -> dict[str, torch.Tensor]:
    out = path.with_name("out.safetensors")
    write_initial(path, backbone, out)
    return load_file(out)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    variant = methods.variant(method="mask_rcnn", detector="faster_rcnn", backbone="efficientnet_lite0")
    description = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": PREDICT.model_dump(mode="json"),
        "categories": [{"id": 1, "name": "a"}],
        "provenance": {},
    }
    save_model(tmp_path / "own.safetensors", build(variant, classes=1).state_dict(), description)
    return tmp_path / "own.safetensors"


def test_a_model_file_is_taken_as_it_is(own: Path) -> None:
    theirs, ours = load_file(own), written(own, "efficientnet_lite0")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_model_on_another_backbone_is_refused(own: Path) -> None:
    with pytest.raises(InputError, match=r"own.safetensors: a model with backbone efficientnet_lite0, .* is resnet50$"):
        written(own, "resnet50")


@pytest.mark.parametrize("classes", [80, 5])
def test_an_official_model_is_what_it_is_when_imported(tmp_path: Path, classes: int) -> None:
    """With any number of categories: which they are does not matter."""
    tensors = random_tensors(released_shapes(RESNET50, classes), {})
    torch.save({"model": tensors}, tmp_path / "released.pth")
    ours = written(tmp_path / "released.pth", "resnet50")
    if classes == 80:
        import_weights(str(tmp_path / "released.pth"), tmp_path / "m.safetensors", tmp_path)
        theirs = load_file(tmp_path / "m.safetensors")
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert torch.equal(ours["proposal_generator.head.cls_logits.weight"], tensors["head.cls_logits.weight"])
    with pytest.raises(InputError, match=r"a model with backbone resnet50, the variant's is efficientnet_lite0"):
        written(tmp_path / "released.pth", "efficientnet_lite0")


@pytest.mark.parametrize("caffe2_names", [True, False])
def test_a_backbone_of_the_model_zoo(tmp_path: Path, caffe2_names: bool) -> None:
    arrays = zoo_file(tmp_path / "r.pkl", caffe2_names)
    ours = written(tmp_path / "r.pkl", "resnet50")
    assert all(name.startswith("backbone.bottom_up.") for name in ours)
    for name, array in arrays.items():
        assert np.array_equal(ours[f"backbone.bottom_up.{name}"].numpy(), array)


def test_a_backbone_under_timms_names(tmp_path: Path) -> None:
    theirs = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(theirs, tmp_path / "timm.pth")
    ours = written(tmp_path / "timm.pth", "efficientnet_lite0")
    assert torch.equal(ours["backbone.bottom_up.body.conv_stem.weight"], theirs["conv_stem.weight"])
    assert not any("classifier" in name for name in ours)


def test_what_is_none_of_these_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "torchvision.pth")
    line = (
        r"torchvision.pth: expected a model file, an official model, or a backbone resnet50: stem.conv1.weight: missing"
    )
    with pytest.raises(InputError, match=line):
        written(tmp_path / "torchvision.pth", "resnet50")
    (tmp_path / "cut.safetensors").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"cut.safetensors: not a safetensors file: "):
        written(tmp_path / "cut.safetensors", "resnet50")
    with pytest.raises(InputError, match=r"none.safetensors: cannot be read: |none.safetensors: .*[Nn]o such file"):
        written(tmp_path / "none.safetensors", "resnet50")
    assert not (tmp_path / "out.safetensors").exists()
