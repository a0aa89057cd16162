"""Mask Scoring R-CNN is equal to what its authors' code gave; `test_mask_iou.py` has the head that scores masks.

The whole model stands on an older code base, whose conventions an imported model has.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks, pairwise_iou
from golden_factory import Golden, bits, overlaps, partners, picture
from torch import Tensor

from bcnet.methods.mask_scoring_rcnn import OFFICIAL_NAMES, MaskHead
from bcnet.models.detections import View
from bcnet.models.masks.mask_iou import MaskIoUHead, mask_iou_loss, mask_iou_targets, shares_inside
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

GOLDEN = Golden("mask_scoring_rcnn")

CLASSES = 80  # theirs are counted from 1, 0 is the background


def heads() -> tuple[MaskHead, MaskIoUHead]:
    """Both heads with the numbers of the authors' checkpoint, the background's left out."""
    ours: dict[str, Tensor] = {}
    for name, tensor in GOLDEN.tensors("roi_heads.mask.", "roi_heads.maskiou.").items():
        old = next(old for old in OFFICIAL_NAMES if name.startswith(old))
        new = name.replace(old, OFFICIAL_NAMES[old]).removeprefix("roi_heads.mask_head.")
        ours[new] = tensor[1:] if len(tensor) == CLASSES + 1 else tensor
    made = MaskHead(256, CLASSES), MaskIoUHead(256, 1024, CLASSES)
    for beginning, head in zip(("head.", "mask_iou."), made, strict=True):
        own = {name.removeprefix(beginning): each for name, each in ours.items() if name.startswith(beginning)}
        head.eval().load_state_dict(own)
    return made


def near(found: Tensor, expected: np.ndarray) -> None:
    assert np.abs(found.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def test_both_heads_give_the_authors_numbers() -> None:
    golden, generator = GOLDEN.arrays("head"), torch.Generator().manual_seed(101)
    features = torch.randn(6, 256, 14, 14, generator=generator)
    masks = torch.rand(6, 1, 28, 28, generator=generator)
    mask_head, mask_iou = heads()
    with torch.inference_mode():
        own = mask_head(features)["target_mask"][range(6), golden["labels"] - 1][:, None]
        near(own[:, 0], golden["mask_logits_of_label"])
        near(mask_iou(features, own.sigmoid()), golden["maskiou_of_own_mask"][:, 1:])
        near(mask_iou(features, masks), golden["maskiou_of_given_mask"][:, 1:])


@pytest.fixture(params=GOLDEN.read("losses")["cases"], ids=lambda case: case["note"].split(";")[0][:40])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def rois_of(case: dict[str, Any]) -> Instances:
    """A case's RoIs, each with the object of the highest IoU. (Its `size` is width and height.)"""
    width, height = case["size"]
    objects = Instances((height, width))
    objects.gt_classes = torch.tensor(case["labels"]) - 1
    objects.gt_masks = PolygonMasks([[np.array(part) for part in each] for each in case["polygons"]])
    boxes = Boxes(torch.tensor(case["proposals"]))
    rois = objects[pairwise_iou(boxes, Boxes(torch.tensor(case["gt_boxes"]))).argmax(1)]
    rois.proposal_boxes = boxes
    return rois


def test_targets_and_losses_are_the_authors(case: dict[str, Any]) -> None:
    rois, count = rois_of(case), len(case["proposals"])
    own = rois.gt_classes
    assert (own + 1).tolist() == case["matched_labels"]
    # rounding decides about two cells of a target, where an edge goes through the middle of cells
    masks = bits(case["mask_targets_hex"])
    assert (rois.gt_masks.crop_and_resize(rois.proposal_boxes.tensor, 28) != masks).sum() <= 2
    inside = shares_inside(rois.gt_masks, rois.proposal_boxes, rois.image_size)
    np.testing.assert_allclose(inside, case["mask_ratios"], rtol=1e-6)

    generator = torch.Generator().manual_seed(case["seed"])
    logits = 4 * torch.randn(count, CLASSES + 1, 28, 28, generator=generator)
    logits += torch.tensor(case["offset"])[:, None, None, None]
    logits = logits[range(count), own + 1][:, None].requires_grad_()
    predicted = 0.5 + 0.2 * torch.randn(count, CLASSES + 1, generator=generator)
    predicted = predicted[range(count), own + 1].requires_grad_()
    near(predicted.detach(), np.array(case["predicted_iou_of_label"]))
    targets = mask_iou_targets(logits.detach()[:, 0] > 0, masks, inside)
    np.testing.assert_allclose(targets, case["maskiou_targets"], rtol=1e-6)
    loss = mask_iou_loss(predicted, targets)
    assert loss.item() == pytest.approx(case["loss_maskiou"], rel=1e-6)
    loss.backward()
    np.testing.assert_allclose(predicted.grad, case["grad_maskiou_of_label"], rtol=1e-5, atol=1e-9)


class Given(MaskIoUHead):
    """A head whose numbers are given."""

    def __init__(self, predicted: Tensor) -> None:
        super().__init__(1, 1, 1)
        self.predicted = predicted

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        return self.predicted


def test_the_head_learns_its_own_category_of_the_masks_that_are_predicted(case: dict[str, Any]) -> None:
    """As `test_targets_and_losses_are_the_authors`, through the head."""
    rois, count = rois_of(case), len(case["proposals"])
    generator = torch.Generator().manual_seed(case["seed"])
    logits = 4 * torch.randn(count, CLASSES + 1, 28, 28, generator=generator)
    logits += torch.tensor(case["offset"])[:, None, None, None]
    predicted = 0.5 + 0.2 * torch.randn(count, CLASSES + 1, generator=generator)
    own = logits[range(count), rois.gt_classes + 1][:, None]
    loss = Given(predicted[:, 1:]).loss(torch.zeros(0), own, bits(case["mask_targets_hex"]), [rois, rois[:0]])
    assert loss.item() == pytest.approx(case["loss_maskiou"], rel=1e-6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Imported from the authors' file, as it was saved by several processes."""
    folder: Path = tmp_path_factory.mktemp("imported")
    theirs = {f"module.{name}": tensor for name, tensor in GOLDEN.tensors().items()}
    torch.save({"model": theirs, "iteration": 90000}, folder / "theirs.pth")
    import_weights(str(folder / "theirs.pth"), folder / "m.safetensors", folder)
    return load_model(folder / "m.safetensors")


def test_the_whole_model_detects_as_the_authors(model: ModelFile) -> None:
    golden, image = GOLDEN.arrays("infer"), picture()
    assert (model.variant.method, model.variant.backbone) == ("mask_scoring_rcnn", "resnet101")
    size = image.shape[1], image.shape[2]
    with torch.inference_mode():
        found = model.module.detect([View(image, flipped=False)], size)
        masks = found.masks.paste(size).numpy()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    theirs = golden["boxes"] + np.array([0, 0, 1, 1])  # they end at their last pixel
    order = partners(found.boxes.numpy(), found.classes.numpy(), theirs, golden["classes"] - 1)
    assert np.abs(found.boxes[order].numpy() - theirs).max() < 0.01  # pixels
    np.testing.assert_allclose(found.scores[order], golden["mask_scores"], rtol=1e-4)
    assert np.abs(found.maps["target_mask"][order].numpy() - golden["raw_masks"]).max() < 1e-3  # theirs are float16
    same = overlaps(masks[order], GOLDEN.read("infer_masks"))
    assert np.sort(same)[1] >= 0.999
    assert same.min() >= 0.998  # one pixel of 766, whose probability is 0.5


def test_proposals_are_the_authors(model: ModelFile) -> None:
    golden, module = GOLDEN.arrays("infer"), model.module
    with torch.inference_mode():
        images = module.preprocess_image([{"image": picture()}])
        features = module.backbone(images.tensor)
        ((proposals,), _) = module.proposal_generator(images, features, None)
    found = np.array([[each.mean(), each.std()] for each in features.values()])
    np.testing.assert_allclose(found, golden["p2_mean_std"], rtol=1e-4)
    assert len(proposals) == golden["proposals_count"]
    first = proposals.proposal_boxes.tensor[:20].numpy() - np.array([0, 0, 1, 1])
    assert np.abs(first - golden["proposals_first20"]).max() < 0.01
