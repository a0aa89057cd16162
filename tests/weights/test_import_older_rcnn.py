"""Files of PANet and Mask Scoring R-CNN are recognised by their authors' names, and refused under them."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_factory import Golden
from torch import Tensor

from bcnet.files import InputError
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights


def panet(depth: int = 50) -> dict[str, Tensor]:
    """The authors' checkpoint, which has R50; one number stands for all of a tensor's."""
    shapes = dict(Golden("panet").read("state"))
    if depth == 101:
        block = {name: shape for name, shape in shapes.items() if ".res4.5." in name}
        shapes |= {name.replace(".5.", f".{n}."): shape for n in range(6, 23) for name, shape in block.items()}
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes.items()}


def mask_scoring_rcnn() -> dict[str, Tensor]:
    """The authors' checkpoint with R50 in the place of R101."""
    shapes = Golden("mask_scoring_rcnn").read("state").items()
    deeper = tuple(f"backbone.body.layer3.{block}." for block in range(6, 23))
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes if not name.startswith(deeper)}


@pytest.mark.parametrize(
    ("checkpoint", "backbone", "method", "conventions"),
    [
        (panet, "resnet50", "panet", "panet"),
        (partial(panet, depth=101), "resnet101", "panet", "panet"),
        (mask_scoring_rcnn, "resnet50", "mask_scoring_rcnn", "maskrcnn_benchmark"),
    ],
    ids=["PANet R50", "PANet R101", "Mask Scoring R-CNN R50"],
)
def test_the_backbone_is_told_by_the_authors_names(
    checkpoint: Any, backbone: str, method: str, conventions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as several processes save it, with `module.` before each name."""
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(about))
    torch.save({f"module.{name}": tensor for name, tensor in checkpoint().items()}, tmp_path / "theirs.pth")
    import_weights(str(tmp_path / "theirs.pth"), tmp_path / "m", tmp_path)
    keys = {"detector": "faster_rcnn", "backbone": backbone, "method": method}
    assert (written["variant"], written["conventions"]) == (keys, conventions)


@pytest.mark.parametrize(
    ("checkpoint", "name", "shape", "line"),
    [
        (panet, "Mask_Head.upconv.bias", None, "Mask_Head.upconv.bias: missing"),
        (panet, "Conv_Body.conv_body.res2.0.bn1.bias", None, "Conv_Body.conv_body.res2.0.bn1.bias: missing"),
        (panet, "Box_Head.convs.4.bias", (255,), "Box_Head.convs.4.bias: shape (255,), expected (256,)"),
        (panet, "Mask_Outs.classify.bias", (80,), "Mask_Outs.classify.bias: shape (80,), expected rows for 81 classes"),
        (panet, "Box_Outs.cls_score.weight", (9, 1024), "Box_Outs.cls_score.bias: shape (81,), expected (9,)"),
        (panet, "Box_Head.more", (1,), "Box_Head.more: left over"),
        (
            mask_scoring_rcnn,
            "roi_heads.maskiou.predictor.maskiou.bias",
            None,
            "maskiou.predictor.maskiou.bias: missing",
        ),
        (mask_scoring_rcnn, "rpn.head.conv.bias", (255,), "rpn.head.conv.bias: shape (255,), expected (256,)"),
        (
            mask_scoring_rcnn,
            "roi_heads.mask.predictor.mask_fcn_logits.bias",
            (80,),
            "mask_fcn_logits.bias: shape (80,), expected rows for 81 classes",
        ),
        (
            mask_scoring_rcnn,
            "roi_heads.box.predictor.cls_score.weight",
            (9, 1024),
            "cls_score.bias: shape (81,), expected (9,)",
        ),
        (mask_scoring_rcnn, "roi_heads.more", (1,), "roi_heads.more: left over"),
    ],
)
def test_files_that_do_not_fit_are_refused_under_the_authors_names(
    checkpoint: Any, name: str, shape: tuple[int, ...] | None, line: str, tmp_path: Path
) -> None:
    tensors = checkpoint()
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    torch.save(tensors, tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=re.escape(line)) as raised:
        import_weights(str(tmp_path / "theirs.pth"), tmp_path / "m", tmp_path)
    assert "\n" not in str(raised.value)
