"""BMask R-CNN: equal to what its authors' code gave, and its streams, boundaries and losses to slow references."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from golden_factory import Golden, bits, overlaps, partners, picture
from model_factory import PREDICT, SIZES, build, item
from slow_layers import convolve, predict
from torch import Tensor

from bcnet.methods.bmask_rcnn import OFFICIAL_NAMES, BoundaryPreservingHead, boundary, boundary_preserving_losses
from bcnet.models.detections import RoIMaps
from bcnet.models.masks.roi_mask_branch import RoIMaskBranch
from bcnet.params import methods
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import load_model

GOLDEN = Golden("bmask_rcnn")
CLASSES = 80
MAPS = {"mask": "target_mask", "boundary": "target_contour"}  # the authors' words and ours


def head_of(tensors: dict[str, Tensor]) -> BoundaryPreservingHead:
    """The head with the tensors of a checkpoint."""
    head = BoundaryPreservingHead(256, CLASSES).eval()
    ours = {}
    for name, tensor in tensors.items():
        old = next(old for old in OFFICIAL_NAMES if name.startswith(old))
        ours[name.replace(old, OFFICIAL_NAMES[old]).removeprefix("roi_heads.mask_head.head.")] = tensor
    head.load_state_dict(ours)
    return head


def test_the_head_gives_the_authors_numbers() -> None:
    golden, generator = GOLDEN.arrays("head"), torch.Generator().manual_seed(121)
    coarse, fine = (torch.randn(6, 256, side, side, generator=generator) for side in (14, 28))
    with torch.inference_mode():
        maps = head_of(GOLDEN.tensors("roi_heads.mask_head."))((coarse, fine))
    classes = golden["classes"].tolist()
    for theirs, ours in MAPS.items():
        of_class = maps[ours][range(6), classes].numpy()
        expected = golden[f"{theirs}_logits_of_class"]
        assert np.abs(of_class - expected).max() <= 1e-5 * np.abs(expected).max()
        means = golden[f"{theirs}_logits_mean_of_each_class"]
        assert np.abs(maps[ours].mean((2, 3)).numpy() - means).max() <= 1e-5 * np.abs(means).max()
    np.testing.assert_allclose(maps["target_mask"][range(6), classes].sigmoid(), golden["pred_masks"], atol=1e-5)


class Given(torch.nn.Module):
    """A head whose logits are given."""

    def __init__(self, maps: dict[str, Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, features: None) -> dict[str, Tensor]:
        return self.maps


def objects_of(case: dict[str, Any]) -> Instances:
    """A case's RoIs with the masks that they learn."""
    height, width = case["size"]
    rois = Instances((height, width))
    rois.proposal_boxes = Boxes(torch.tensor(case["boxes"]).reshape(-1, 4))
    rois.gt_classes = torch.tensor(case["classes"], dtype=torch.int64)
    if case["masks"] == "polygons":
        rois.gt_masks = PolygonMasks([[np.array(part) for part in each] for each in case["polygons"]])
    else:
        y, x = np.mgrid[:height, :width]
        distances = [((x - cx) ** 2 + (y - cy) ** 2, q, r) for cx, cy, r, q in case["discs"]]
        rois.gt_masks = BitMasks(torch.tensor(np.stack([(q * q <= d) & (d <= r * r) for d, q, r in distances])))
    return rois


@pytest.mark.parametrize("case", GOLDEN.read("losses")["cases"], ids=lambda case: case["note"].split(";")[0])
def test_targets_and_losses_are_the_authors(case: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    shape = (len(case["boxes"]), CLASSES, 28, 28)
    maps = {name: (4 * torch.randn(shape, generator=generator)).requires_grad_() for name in MAPS.values()}
    seen = {}

    def losses(outputs: dict[str, Tensor], masks: Tensor) -> dict[str, Tensor]:
        seen["masks"] = masks
        return boundary_preserving_losses(outputs, masks, dice=True)

    branch = RoIMaskBranch(lambda *_: None, Given(maps), losses, learned=["gt_masks"]).train()
    found = branch({}, [objects_of(case)])
    assert torch.equal(seen["masks"], bits(case.get("mask_targets_hex", [])))
    assert torch.equal(boundary(seen["masks"]), bits(case.get("boundary_targets_hex", [])))
    assert found.keys() == {"loss_mask", "loss_boundary"}
    for name, loss in found.items():
        assert loss.item() == pytest.approx(case[name], rel=1e-5)
    torch.stack(list(found.values())).sum().backward()
    if not shape[0]:
        return
    for theirs, ours in MAPS.items():
        gradient = maps[ours].grad
        assert float(gradient.abs().sum()) == pytest.approx(case[f"grad_{theirs}_abs_sum"], rel=1e-5)
        assert [gradient[i, c].any().item() for i, c in enumerate(case["classes"])] == [True] * shape[0]
    own = {name: logits[range(shape[0]), case["classes"]][:, None] for name, logits in maps.items()}
    cross_entropy = boundary_preserving_losses(own, seen["masks"], dice=False)["loss_boundary"]
    assert cross_entropy.item() == pytest.approx(case["boundary_bce"], rel=1e-5)


def test_the_whole_model_detects_as_the_authors(tmp_path: Path) -> None:
    golden = GOLDEN.arrays("infer")
    old = {"pixel_mean": torch.tensor([103.53, 116.28, 123.675])[:, None, None], "pixel_std": torch.ones(3, 1, 1)}
    import_weights(str(GOLDEN.checkpoint(tmp_path / "theirs.pth", **old)), tmp_path / "m.safetensors", tmp_path)
    model = load_model(tmp_path / "m.safetensors")
    assert model.variant.method == "bmask_rcnn"
    assert model.variant.backbone == "resnet101"
    with torch.inference_mode():
        (found,) = model.module.inference([{"image": picture()}], do_postprocess=False)
    boxes = found.pred_boxes.tensor
    order = partners(boxes.numpy(), found.pred_classes.numpy(), golden["boxes"], golden["classes"])
    assert np.abs(boxes[order].numpy() - golden["boxes"]).max() < 0.01  # pixels
    np.testing.assert_allclose(found.scores[order], golden["scores"], rtol=1e-4)
    for theirs, ours in {"raw_masks": "pred_masks", "raw_boundaries": "target_contour"}.items():
        assert np.abs(found.get(ours)[order].numpy() - golden[theirs]).max() < 1e-3  # theirs are float16
    masks = RoIMaps(found.pred_masks, boxes).paste(found.image_size)[order].numpy()
    assert overlaps(masks, GOLDEN.read("infer_masks")).min() >= 0.999


# --- slow references


def test_the_streams_by_the_formulas() -> None:
    torch.manual_seed(0)
    head = BoundaryPreservingHead(8, 3).double().eval()
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(torch.rand_like(tensor) * 0.4 - 0.2)
    random = np.random.default_rng(0)
    coarse, fine = random.normal(size=(2, 8, 14, 14)), random.normal(size=(2, 8, 28, 28))
    outputs = head((torch.from_numpy(coarse), torch.from_numpy(fine)))
    for index, (masks, boundaries) in enumerate(zip(coarse, fine, strict=True)):
        for place in (0, 2, 4, 6):
            masks = np.maximum(convolve(masks, head.mask_layers[place]), 0)
        boundaries = np.maximum(convolve(boundaries, head.downsample), 0)
        boundaries = boundaries + np.maximum(convolve(masks, head.mask_to_boundary), 0)
        for place in (0, 2):
            boundaries = np.maximum(convolve(boundaries, head.boundary_layers[place]), 0)
        masks = masks + np.maximum(convolve(boundaries, head.boundary_to_mask), 0)
        masks = np.maximum(convolve(masks, head.fused), 0)
        for name, stream in (("target_mask", masks), ("target_contour", boundaries)):
            expected = predict(stream, head.predictors[name])
            np.testing.assert_allclose(outputs[name][index].detach().numpy(), expected, atol=1e-12)


def slow_boundary(mask: np.ndarray) -> np.ndarray:
    """The authors' Laplacian, pixel by pixel: 8 in the middle, -1 around, zeros outside; over 0.1 is boundary."""
    padded, out = np.pad(mask.astype(float), 1), np.zeros(mask.shape, bool)
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            around = padded[row : row + 3, column : column + 3]
            out[row, column] = 9 * padded[row + 1, column + 1] - around.sum() > 0.1
    return out


def test_boundaries_are_the_laplacians() -> None:
    masks = np.random.default_rng(0).random((6, 28, 28)) < np.array([0, 0.1, 0.5, 0.9, 0.99, 1])[:, None, None]
    found = boundary(torch.from_numpy(masks)).numpy()
    for mask, edges in zip(masks, found, strict=True):
        assert (edges == slow_boundary(mask)).all()
    assert found.sum((1, 2))[[0, -1]].tolist() == [0, 108]  # a RoI full of object has a frame


def test_losses_in_double_precision_one_roi_at_a_time() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(4, 1, 28, 28, generator=generator, dtype=torch.float64) for name in MAPS.values()}
    masks = torch.rand(4, 28, 28, generator=generator) < 0.5
    masks[1] = False
    found = boundary_preserving_losses(logits, masks, dice=True)
    expected = {"loss_mask": 0.0, "loss_boundary": 0.0}
    for roi in range(4):
        mask = masks[roi].numpy()
        for name, ours, truth in (
            ("loss_mask", "target_mask", mask),
            ("loss_boundary", "target_contour", slow_boundary(mask)),
        ):
            p = 1 / (1 + np.exp(-logits[ours][roi, 0].numpy()))
            expected[name] -= np.log(np.where(truth, p, 1 - p)).mean() / 4
            if name == "loss_boundary":
                expected[name] += (1 - (2 * p[truth].sum() + 1) / (p.sum() + truth.sum() + 1)) / 4
    assert {name: float(loss) for name, loss in found.items()} == pytest.approx(expected, rel=1e-12)


# --- switches


@pytest.mark.parametrize("rois", ["predicted", "proposals"])
def test_masks_are_learned_in_the_boxes_that_are_asked_for(rois: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    keys = {"method": "bmask_rcnn", "detector": "faster_rcnn", "backbone": "efficientnet_lite0"}
    model: Any = build(methods.variant(**keys, mask_rois=rois), SIZES, PREDICT, 3).train()
    drawn, seen = [], []
    sample, head = model.roi_heads.label_and_sample_proposals, model.roi_heads.mask_head.forward

    def sampled(*given: Any) -> list[Instances]:
        found = sample(*given)
        drawn.extend(i.proposal_boxes.tensor[i.gt_classes < 3].clone() for i in found)
        return found

    def learn(features: dict[str, Tensor], instances: list[Instances]) -> dict[str, Tensor]:
        seen.extend(i.proposal_boxes.tensor for i in instances)
        return head(features, instances)

    monkeypatch.setattr(model.roi_heads, "label_and_sample_proposals", sampled)
    monkeypatch.setattr(model.roi_heads.mask_head, "forward", learn)
    model([item()])
    assert len(drawn[0]) == len(seen[0]) > 0
    assert torch.equal(drawn[0], seen[0]) == (rois == "proposals")


def test_the_boundary_s_dice_loss_can_be_left_out() -> None:
    losses = {}
    for form in ("bce", "bce_dice"):
        torch.manual_seed(0)
        keys = {"method": "bmask_rcnn", "detector": "faster_rcnn", "backbone": "efficientnet_lite0"}
        model = build(methods.variant(**keys, boundary_loss=form), SIZES, PREDICT, 3).train()
        torch.manual_seed(1)
        losses[form] = {name: float(loss.detach()) for name, loss in model([item()]).items()}
    assert losses["bce"].pop("loss_boundary") < losses["bce_dice"].pop("loss_boundary")
    assert losses["bce"] == losses["bce_dice"]
