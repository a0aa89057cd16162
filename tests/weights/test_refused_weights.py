"""Model files that are not what they should be are refused in one line, and no code in them is run."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import BLOCKS, released_shapes, stand_ins
from torch import Tensor

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.weights.import_weights import import_weights

Change = Callable[[dict], object]
CENTRE = "head.centerness.weight"


def with_a(number: float) -> Tensor:
    tensor = torch.zeros((1, 256, 3, 3), dtype=torch.float64)
    tensor[0, 255, 2, 2] = number
    return tensor


def made(name: str, value: Tensor) -> Change:
    return lambda model: model.update({name: value})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda model: model.pop(CENTRE), f"does not fit released FCOS-BCNet with resnet50: {CENTRE}: missing"),
        (lambda model: model.pop("mask_head.boundary_fcn2.bias"), "mask_head.boundary_fcn2.bias: missing"),
        (lambda model: model.pop("head.cls_logits.weight"), "head.cls_logits.weight: missing, its first dimension is"),
        (made("head.extra", torch.ones(3)), "head.extra: left over"),
        (made("proposal_generator.head.centerness.weight", torch.ones(1, 256, 3, 3)), "centerness.weight: left over"),
        (made(CENTRE, torch.ones(1, 256, 1, 1)), f"{CENTRE}: shape (1, 256, 1, 1), expected (1, 256, 3, 3)"),
        (made(CENTRE, torch.ones(1, 256, 3, 3).int()), f"{CENTRE}: torch.int32, expected torch.float32"),
        (made(CENTRE, with_a(torch.nan)), f"{CENTRE}: holds numbers that are not finite as float32"),
        (made(CENTRE, with_a(1e300)), f"{CENTRE}: holds numbers that are not finite as float32"),
        (made(CENTRE, torch.ones(1, 256, 3, 3).to_sparse()), f"{CENTRE}: a Tensor, expected a dense tensor of numbers"),
        (made(CENTRE, torch.tensor(0.0).expand(2**50)), f"{CENTRE}: shape ({2**50},), expected"),  # memory for nobody
        (lambda model: model.update(note="text"), "note: a str, expected a dense tensor of numbers"),
        (made("pixel_mean", torch.tensor([123.675, 116.28, 103.53])), "expected [103.53, 116.28, 123.675]"),
        (dict.clear, "model: a dict, expected a dict of tensors"),
        (lambda model: [model.pop(name) for name in list(model)[:9]], "; and 4 more"),
        (lambda model: model.pop("mask_head.boundary_fcn1.weight"), "expected one of model-zoo Mask R-CNN, released"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(
    change: Change, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = stand_ins(released_shapes(BLOCKS["resnet50"]))
    change(model)
    torch.save({"model": model}, tmp_path / "r.pth")
    assert main(["import-weights", str(tmp_path / "r.pth"), "--out", str(tmp_path / "m.safetensors")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bcnet import-weights: {tmp_path / 'r.pth'}: ")
    assert line in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["r.pth"]


def test_unknown_things_beside_the_model_are_refused(tmp_path: Path) -> None:
    torch.save({"model": stand_ins(released_shapes(BLOCKS["resnet50"])), "ema": {}}, tmp_path / "r.pth")
    with pytest.raises(InputError, match=r"r.pth: 'ema' beside 'model', known there: __author__, batch_size, "):
        import_weights(str(tmp_path / "r.pth"), tmp_path / "m", tmp_path)


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth", "old.pth", "plain.pth"])
def test_no_code_in_a_file_is_run(name: str, tmp_path: Path) -> None:
    content = {"model": {"weight": Payload(tmp_path / "ran")}}
    if name in ("evil.pkl", "plain.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=name == "evil.pth")
    with pytest.raises(InputError, match=rf"{name}: not a .*: it asks for posix.mkdir"):
        import_weights(str(tmp_path / name), tmp_path / "m", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pkl", "a.pth", "old.pth"])
def test_damaged_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content = {"model": {f"head.{i}": np.arange(5.0) if name == "a.pkl" else torch.arange(5.0) for i in range(3)}}
    path = tmp_path / name
    if name == "a.pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=name == "a.pth")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for attempt in range(150):
        spoilt = bytearray(whole if attempt % 2 else whole[: random.integers(len(whole))])
        for place in random.integers(len(spoilt), size=attempt % 7) if spoilt else ():
            spoilt[place] = random.integers(256)
        path.write_bytes(spoilt)
        with pytest.raises(InputError) as raised:  # if not as damaged, then as no model
            import_weights(str(path), tmp_path / "m", tmp_path)
        assert "\n" not in str(raised.value)
