"""A checkpoint of another program is called by its program, with what can be done."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bcnet.files import InputError
from bcnet.weights.import_weights import import_weights

ONE = torch.zeros(1)


def names(*tensors: str) -> dict[str, torch.Tensor]:
    return dict.fromkeys(tensors, ONE)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"state_dict": names("model.a"), "pytorch-lightning_version": "2", "epoch": 1}, "a checkpoint of PyTorch L"),
        ({"model": names("a"), "optimizer": {}, "lr_scheduler": {}, "epoch": 3}, "a checkpoint of torchvision's tr"),
        (
            names("backbone.body.conv1.weight", "roi_heads.box_head.fc6.weight"),
            "a model of torchvision: let",
        ),
        (
            {"meta": {}, "state_dict": names("backbone.layer1.0.conv1.weight", "roi_head.bbox_head.fc_cls.weight")},
            "a model of mmdetection: let it predict and evaluate its predictions: `bcnet evaluate`",
        ),
        (names("transformer.encoder.layers.0", "class_embed.weight"), "a model of DETR"),
        (names("image_encoder.pos_embed", "mask_decoder.x"), "a model of Segment Anything"),
        (names("model.0.conv.weight", "model.1.conv.weight"), "a model of Ultralytics"),
        (names("layer1.0.conv1.weight", "fc.weight"), "a model of timm or torchvision, of a classifier"),
        (names("backbone.res2.0.a", "roi_heads.res5.0.a"), "a model of detectron2, of a model without FPN"),
        (names("something"), "expected one of "),
    ],
)
def test_a_checkpoint_is_called_by_its_program(content: dict[str, Any], line: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(content, path)
    with pytest.raises(InputError) as raised:
        import_weights(str(path), tmp_path / "out.safetensors", tmp_path)
    assert str(raised.value).startswith(f"{path}: {line}")
    assert not (tmp_path / "out.safetensors").exists()


def test_torchscript_is_a_program(tmp_path: Path) -> None:
    path = tmp_path / "script.pth"
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with pytest.raises(InputError, match="a TorchScript archive, a program: save its state_dict"):
        import_weights(str(path), tmp_path / "out.safetensors", tmp_path)
