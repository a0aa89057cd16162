"""Checkpoints of AdelaiDet's methods are read as they come: with and without what does nothing at test time."""

from pathlib import Path
from typing import Any

import adelaidet_golden as golden
import pytest
import torch
from torch import Tensor

from bcnet.files import InputError
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights

METHODS = {"condinst": "CondInst", "blendmask": "BlendMask", "solov2": "SOLOv2"}
OF_FCOS = ("condinst", "blendmask")
DEAD = ("mask_head._iter", "mask_head.sizes_of_interest")  # buffers that this project computes


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would have been written."""
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(tensors=tensors, about=about))
    return written


def stand_ins(method: str, more: str | None = None) -> dict[str, Tensor]:
    """Their tensors with one number for all of each, so that files stay small."""
    shapes = golden.read(method, "state") | (golden.read(method, more) if more else {})
    whole = ("num_batches_tracked", "sizes_of_interest")
    return {
        name: (torch.tensor(7) if name.endswith(whole) else torch.tensor(0.5)).expand(shape)
        for name, shape in shapes.items()
    }


def of_r50(name: str) -> bool:
    """All but the blocks of the fourth stage that a ResNet-50 does not have."""
    start = "backbone.bottom_up.res4."
    return not (name.startswith(start) and int(name.removeprefix(start).split(".")[0]) > 5)


@pytest.mark.parametrize("change", ["none", "module", "no buffers", "old name", "no model key"])
@pytest.mark.parametrize("method", METHODS)
def test_their_files_are_read_as_they_come(method: str, change: str, tmp_path: Path, saved: dict[str, Any]) -> None:
    tensors = stand_ins(method)
    count = sum(name not in DEAD for name in tensors)
    if change == "module":
        tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    if change == "no buffers":
        dropped = (*DEAD, "num_batches_tracked")
        tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(dropped)}
    if change == "old name":
        tensors = {name.replace("ctrness", "centerness"): tensor for name, tensor in tensors.items()}
    torch.save(tensors if change == "no model key" else {"model": tensors, "iteration": 269999}, tmp_path / "c.pth")
    import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)
    assert len(saved["tensors"]) == count
    detector = {"detector": "fcos"} if method in OF_FCOS else {}
    assert saved["about"]["variant"] == {**detector, "backbone": "resnet101", "method": method}
    assert saved["about"]["provenance"]["kind"] == f"released {METHODS[method]}"
    predict = saved["about"]["predict"]
    assert (predict["short_side"], predict["max_side"]) == (800, 1333)
    if method in OF_FCOS:
        assert predict["fcos"] == {"score_threshold": 0.05, "nms": 0.6, "candidates": 1000}
    assert predict["solov2"] == {"score_threshold": 0.1, "candidates": 500, "nms": "gaussian", "sigma": 2.0}
    assert (predict["score_threshold"], predict["detections"]) == (0.05, 100)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_of_r50(method: str, tmp_path: Path, saved: dict[str, Any]) -> None:
    tensors = {name: tensor for name, tensor in stand_ins(method).items() if of_r50(name)}
    torch.save({"model": tensors}, tmp_path / "c.pth")
    import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)
    assert saved["about"]["variant"]["backbone"] == "resnet50"


def test_condinst_with_the_semantic_head(tmp_path: Path, saved: dict[str, Any]) -> None:
    torch.save({"model": stand_ins("condinst", "state_semantic")}, tmp_path / "c.pth")
    import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)
    assert saved["about"]["variant"]["semantic_loss"] is True
    assert saved["about"]["provenance"]["kind"] == "released CondInst with semantic loss"


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("condinst", "controller.bias"),
        ("condinst", "mask_branch.tower.4.weight"),
        ("condinst", "mask_branch.tower.0.1.running_mean"),
        ("condinst", "proposal_generator.fcos_head.ctrness.bias"),
        ("blendmask", "top_layer.bias"),
        ("blendmask", "basis_module.tower.5.weight"),
        ("blendmask", "proposal_generator.fcos_head.ctrness.bias"),
        ("solov2", "ins_head.cate_pred.bias"),
        ("solov2", "mask_head.convs_all_levels.3.conv2.1.bias"),
        ("solov2", "mask_head.conv_pred.0.weight"),
    ],
)
def test_a_file_that_lacks_a_tensor_is_refused(method: str, name: str, tmp_path: Path) -> None:
    tensors = stand_ins(method)
    del tensors[name]
    torch.save({"model": tensors}, tmp_path / "c.pth")
    line = f"c.pth: does not fit released {METHODS[method]} with resnet101: {name}: missing"
    with pytest.raises(InputError, match=line):
        import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)


def test_a_file_of_solos_other_repository_is_refused(tmp_path: Path) -> None:
    """Its backbone is another, and so are its pictures: RGB, in parts of their deviation."""
    names = ("bbox_head.solo_cate.weight", "bbox_head.solo_kernel.weight", "mask_feat_head.conv_pred.0.conv.weight")
    torch.save({"state_dict": {name: torch.zeros(2, 2) for name in names}, "meta": {}}, tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"expected one of .*, released SOLOv2 \(with FPN\); its first tensor is bbox"):
        import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)
