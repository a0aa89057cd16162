"""Checkpoints of SipMask's two code bases are read as they come, and wrong ones refused in one line."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sipmask_golden import EDITIONS
from torch import Tensor

from bcnet.files import InputError
from bcnet.models.conventions import BY_NAME, MASKRCNN_BENCHMARK
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights

NAMES = {"benchmark": "authors' SipMask", "mmdetection": "authors' SipMask of mmdetection"}
KEYS = {"benchmark": {}, "mmdetection": {"edition": "mmdetection"}}
CONVENTIONS = {"benchmark": "maskrcnn_benchmark", "mmdetection": "mmdetection"}
BLOCKS = {"benchmark": "backbone.body.layer3.", "mmdetection": "backbone.layer3."}
COUNTER = "num_batches_tracked"


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would have been written."""
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(tensors=tensors, about=about))
    return written


def stand_ins(edition: str) -> dict[str, Tensor]:
    """Their tensors with one number for all of each, so that files stay small."""
    shapes = EDITIONS[edition].read("state").items()
    return {name: torch.tensor(7 if name.endswith(COUNTER) else 0.5).expand(shape) for name, shape in shapes}


def write(path: Path, edition: str, tensors: dict[str, Tensor]) -> str:
    """A file as the edition's code writes it."""
    beside = {"model": {"iteration": 270000}, "state_dict": {"meta": {"epoch": 48}, "optimizer": {}}}
    key = "model" if edition == "benchmark" else "state_dict"
    torch.save({key: tensors, **beside[key]}, path)
    return str(path)


@pytest.mark.parametrize("change", ["none", "module", "no counters", "no key", "r50"])
@pytest.mark.parametrize("edition", EDITIONS)
def test_their_files_are_read_as_they_come(edition: str, change: str, tmp_path: Path, saved: dict[str, Any]) -> None:
    tensors, backbone = stand_ins(edition), "resnet101"
    if change == "r50":
        deeper = tuple(f"{BLOCKS[edition]}{block}." for block in range(6, 23))
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(deeper)}
        backbone = "resnet50"
    count = sum(not name.endswith(COUNTER) for name in tensors)
    if change == "module":
        tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    if change == "no counters":
        tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
    path = write(tmp_path / "c.pth", edition, tensors)
    if change == "no key":
        torch.save(tensors, path)
    import_weights(path, tmp_path / "m", tmp_path)
    assert len(saved["tensors"]) == count
    about = saved["about"]
    assert about["variant"] == {"detector": "fcos", "backbone": backbone, "method": "sipmask", **KEYS[edition]}
    assert about["provenance"]["kind"] == NAMES[edition]
    assert about["conventions"] == CONVENTIONS[edition]
    nms = 0.6 if edition == "benchmark" else 0.5
    assert about["predict"]["fcos"] == {"score_threshold": 0.05, "nms": nms, "candidates": 1000}
    assert (about["predict"]["short_side"], about["predict"]["max_side"]) == (800, 1333)


def test_norms_of_mmdetection_have_an_epsilon() -> None:
    assert BY_NAME["mmdetection"].norm_eps == 1e-5
    assert BY_NAME["mmdetection"].last_pixel
    assert BY_NAME["mmdetection"].pixel_mean == MASKRCNN_BENCHMARK.pixel_mean


@pytest.mark.parametrize(
    ("edition", "name", "shape", "line"),
    [
        ("benchmark", "rpn.head.sip_cof.bias", None, "rpn.head.sip_cof.bias: missing"),
        ("benchmark", "backbone.fpn.top_blocks.p7.bias", None, "backbone.fpn.top_blocks.p7.bias: missing"),
        ("benchmark", "rpn.head.cls_tower.0.bias", None, "rpn.head.cls_tower.0.bias: missing"),
        ("benchmark", "rpn.head.cls_tower.9.bias", (256,), "rpn.head.cls_tower.9.bias: left over"),
        ("benchmark", "rpn.head.scales.3.scale", (2,), "rpn.head.scales.3.scale: shape (2,), expected (1,)"),
        ("mmdetection", "neck.fpn_convs.3.conv.bias", None, "neck.fpn_convs.3.conv.bias: missing"),
        ("mmdetection", "bbox_head.reg_convs.3.gn.bias", None, "bbox_head.reg_convs.3.gn.bias: missing"),
        ("mmdetection", "bbox_head.cls_convs.0.conv.bias", (256,), "bbox_head.cls_convs.0.conv.bias: left over"),
        ("mmdetection", "bbox_head.sip_mask_lat.bias", (31,), "sip_mask_lat.bias: shape (31,), expected (32,)"),
        ("mmdetection", "bbox_head.fcos_cls.weight", (9, 256, 3, 3), "shape (80,), expected (9,)"),
    ],
)
def test_files_that_do_not_fit_are_refused_under_the_authors_names(
    edition: str, name: str, shape: tuple[int, ...] | None, line: str, tmp_path: Path
) -> None:
    tensors = stand_ins(edition)
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    path = write(tmp_path / "c.pth", edition, tensors)
    with pytest.raises(InputError, match=re.escape(line)) as refused:
        import_weights(path, tmp_path / "m", tmp_path)
    assert "\n" not in str(refused.value)


def test_what_else_a_file_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": stand_ins("mmdetection"), "more": 1}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="'more' beside 'state_dict', known there"):
        import_weights(str(tmp_path / "c.pth"), tmp_path / "m", tmp_path)
