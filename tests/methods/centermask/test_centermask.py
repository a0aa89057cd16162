"""CenterMask: its heads and the whole model, equal to what both editions of its authors' code gave.

The first edition stands on an older code base, whose conventions an imported model has.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from centermask_golden import CLASSES, EDITIONS, Theirs, compared, near, objects_of
from detectron2.structures import Boxes, Instances, PolygonMasks
from golden_factory import partners, picture
from pycocotools import mask as rle
from torch import Tensor

from bcnet.files import InputError
from bcnet.methods.centermask import (
    OF_EDITION,
    MaskHead,
)
from bcnet.models.detections import View
from bcnet.models.masks.adaptive_rois import AdaptiveRoIFeatures, levels_of
from bcnet.models.masks.mask_iou import MaskIoUHead
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model


@pytest.fixture(params=EDITIONS.values(), ids=lambda theirs: f"edition{theirs.number}", scope="module")
def theirs(request: pytest.FixtureRequest) -> Theirs:
    return request.param


def heads(theirs: Theirs) -> tuple[MaskHead, MaskIoUHead]:
    """Both heads with the numbers of the authors' checkpoint, the background's left out."""
    ours: dict[str, Tensor] = {}
    for name, tensor in theirs.golden.tensors(theirs.head, theirs.scored, changed=False).items():
        old = max((old for old in theirs.names if name.startswith(old)), key=len)
        new = name.replace(old, theirs.names[old]).removeprefix("roi_heads.mask_head.")
        ours[new] = tensor[1:] if len(tensor) == CLASSES + 1 else tensor
    made = MaskHead(256, CLASSES), MaskIoUHead(256, 1024, CLASSES)
    for beginning, head in zip(("head.", "mask_iou."), made, strict=True):
        own = {name.removeprefix(beginning): each for name, each in ours.items() if name.startswith(beginning)}
        head.eval().load_state_dict(own)
    return made


def test_both_heads_and_the_features_are_the_authors(theirs: Theirs) -> None:
    golden, generator = theirs.golden.arrays("head"), torch.Generator().manual_seed(1)
    features = torch.randn(5, 256, 14, 14, generator=generator)
    (labels,) = (each for key, each in theirs.golden.read("recipe")["head"].items() if key.startswith("labels"))
    own = torch.tensor(labels) - theirs.first
    mask_head, mask_iou = heads(theirs)
    with torch.inference_mode():
        near(mask_head.attention(mask_head.layers(features)), golden["attention"])
        logits = mask_head(features)["target_mask"]
        (key,) = (key for key in golden if key.startswith("logits"))
        channels = [int(channel) - theirs.first for channel in key.split("_")[2:]]
        kept = [index for index, channel in enumerate(channels) if channel >= 0]
        chosen = logits[:, [channels[index] for index in kept]]
        near(chosen, golden[key][:, kept].astype(np.float32), 1e-3)  # theirs are float16
        masks = logits[range(5), own][:, None].sigmoid()
        near(masks, golden["selected_mask_prob"])
        near(mask_iou(features, masks), golden["maskiou"][:, theirs.first :])

    levels = {f"p{3 + n}": torch.randn(1, 8, 32 >> n, 40 >> n, generator=generator) for n in range(3)}
    rois = Instances((256, 320), pred_boxes=Boxes(torch.from_numpy(golden["pool_boxes"] + theirs.end).float()))
    least = OF_EDITION[theirs.number].least
    found = levels_of(rois.pred_boxes.area(), rois.image_size, least)
    assert (found + 3).tolist() == golden["pool_levels"].tolist()
    near(AdaptiveRoIFeatures(least, conventions=theirs.conventions)(levels, [rois]), golden["pooled"])


@pytest.fixture(scope="module")
def model(theirs: Theirs, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Imported from the authors' file, as it was saved by several processes."""
    folder: Path = tmp_path_factory.mktemp("imported")
    tensors = {f"module.{name}": tensor for name, tensor in theirs.golden.tensors().items()}
    torch.save({"model": tensors, "iteration": 90000}, folder / "theirs.pth")
    import_weights(str(folder / "theirs.pth"), folder / "m.safetensors", folder)
    return load_model(folder / "m.safetensors")


def test_the_whole_model_detects_as_the_authors(theirs: Theirs, model: ModelFile) -> None:
    """All masks are theirs but for pixels whose probability is 0.5 ± 1e-5, of which there are few."""
    golden, image = theirs.golden.arrays("infer"), picture("one_stage")
    assert (model.variant.method, model.variant.backbone) == ("centermask", "resnet101")
    size = image.shape[1], image.shape[2]
    with torch.inference_mode():
        found = model.module.detect([View(image, flipped=False)], size)
        masks = found.masks.paste(size).numpy()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    (labels,) = (each for key, each in golden.items() if key.startswith("labels"))
    boxes = golden["boxes"] + theirs.end
    order = partners(found.boxes.numpy(), found.classes.numpy(), boxes, labels - theirs.first)
    assert np.abs(found.boxes[order].numpy() - boxes).max() < 0.005  # pixels
    np.testing.assert_allclose(found.scores[order], golden["mask_scores"], rtol=1e-4)
    assert golden["mask_scores"].max() < 1  # so that no bound of ours shows
    assert np.abs(found.maps["target_mask"][order][:, 0].numpy() - golden["raw_masks"]).max() < 1e-3  # theirs: float16
    truth = [rle.decode({**each, "counts": each["counts"].encode()}) for each in theirs.golden.read("infer_masks")]
    maps = found.masks.maps
    low, high = (replace(found.masks, maps=maps + change).paste(size).numpy() for change in (-1e-5, 1e-5))
    unsure = (low ^ high)[order]
    assert not ((masks[order] != np.stack(truth)) & ~unsure).any()
    assert unsure.mean() < 1e-4


def test_a_step_of_the_whole_model_is_the_authors(
    theirs: Theirs, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the picture on, with the RoIs of the same step. Targets are cut out of boxes as they end at theirs."""
    about = theirs.golden.read("losses")["whole_model"]
    image = picture("one_stage")
    module: Any = model.module
    branch = module.roi_heads.mask_head
    cut, share = PolygonMasks.crop_and_resize, branch.mask_iou.of_polygons
    end = torch.tensor(theirs.end, dtype=torch.float32)
    monkeypatch.setattr(PolygonMasks, "crop_and_resize", lambda self, boxes, side: cut(self, boxes - end, side))
    monkeypatch.setattr(branch.mask_iou, "of_polygons", lambda parts, box, size: share(parts, box - theirs.end, size))
    with torch.no_grad():
        try:
            losses = module.train()([{"image": image, "instances": objects_of(theirs, about["gt"], about["image_wh"])}])
        finally:
            module.eval()
    compared(theirs, losses, about["expected"], 1e-5)


def stand_ins(theirs: Theirs) -> dict[str, Tensor]:
    """The checkpoint with R50 in the place of R101; one number stands for all of a tensor's."""
    shapes = theirs.golden.read("state").items()
    stage = "backbone.body.layer3" if theirs.number == 1 else "backbone.bottom_up.res4"
    deeper = tuple(f"{stage}.{block}." for block in range(6, 23))
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes if not name.startswith(deeper)}


def test_backbone_and_edition_are_told_by_the_authors_names(
    theirs: Theirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(about))
    torch.save(stand_ins(theirs), tmp_path / "r50.pth")
    import_weights(str(tmp_path / "r50.pth"), tmp_path / "m", tmp_path)
    keys = {"detector": "fcos", "backbone": "resnet50", "method": "centermask"}
    assert written["variant"] == keys | ({"edition": 2} if theirs.number == 2 else {})
    assert written.get("conventions") == ("maskrcnn_benchmark" if theirs.number == 1 else None)
    assert written["predict"]["detections"] == 50
    assert written["predict"]["fcos"]["score_threshold"] == (0.03 if theirs.number == 1 else 0.05)


ATTENTION = {
    1: "roi_heads.mask.feature_extractor.spatialAtt.conv.weight",
    2: "roi_heads.mask_head.spatialAtt.conv.weight",
}
LOGITS = {1: "roi_heads.mask.predictor.mask_fcn_logits.bias", 2: "roi_heads.mask_head.predictor.bias"}
FOCUS = {1: "rpn.head.centerness.bias", 2: "proposal_generator.fcos_head.ctrness.bias"}
SCORE = {1: "roi_heads.maskiou.predictor.maskiou.bias", 2: "roi_heads.maskiou_head.maskiou.bias"}
CATEGORIES = {1: "rpn.head.cls_logits.weight", 2: "proposal_generator.fcos_head.cls_logits.weight"}


@pytest.mark.parametrize(
    ("names", "shape", "line"),
    [
        (FOCUS, None, "NAME: missing"),
        (SCORE, None, "NAME: missing"),
        (ATTENTION, (1, 3, 3, 3), "NAME: shape (1, 3, 3, 3), expected (1, 2, 3, 3)"),
        (LOGITS, (79,), "NAME: shape (79,), expected"),
        (CATEGORIES, (8, 256, 3, 3), "cls_logits.bias: shape (80,), expected (8,)"),
        ({1: "rpn.more", 2: "roi_heads.more"}, (1,), "NAME: left over"),
    ],
)
def test_files_that_do_not_fit_are_refused_under_the_authors_names(
    theirs: Theirs, names: dict[int, str], shape: tuple[int, ...] | None, line: str, tmp_path: Path
) -> None:
    tensors, name = stand_ins(theirs), names[theirs.number]
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    torch.save(tensors, tmp_path / "r50.pth")
    with pytest.raises(InputError, match=re.escape(line.replace("NAME", name))):
        import_weights(str(tmp_path / "r50.pth"), tmp_path / "m", tmp_path)
