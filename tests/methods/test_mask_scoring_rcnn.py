"""Mask Scoring R-CNN: equal to what its authors' code gave, and the head that scores masks to slow references.

The whole model stands on an older code base, whose conventions an imported model has.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance import EVERYTHING
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks, pairwise_iou
from golden_factory import Golden, bits, overlaps, partners, picture
from model_factory import PREDICT, SIZES, build, item
from slow_layers import convolve
from torch import Tensor

from bcnet.files import InputError
from bcnet.inference.detect import detect
from bcnet.inference.predict import results
from bcnet.methods.mask_scoring_rcnn import OFFICIAL_NAMES, MaskHead
from bcnet.models.detections import View
from bcnet.models.masks.mask_iou import MaskIoUHead, mask_iou_loss, mask_iou_targets, shares_inside
from bcnet.models.segmenter import Segmenter
from bcnet.params import methods
from bcnet.weights import import_weights as imported
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


# --- the whole model


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


def stand_ins() -> dict[str, Tensor]:
    """The checkpoint with R50 in the place of R101; one number stands for all of a tensor's."""
    shapes = GOLDEN.read("state").items()
    deeper = tuple(f"backbone.body.layer3.{block}." for block in range(6, 23))
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes if not name.startswith(deeper)}


def test_the_backbone_is_told_by_the_authors_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(about))
    torch.save(stand_ins(), tmp_path / "r50.pth")
    import_weights(str(tmp_path / "r50.pth"), tmp_path / "m", tmp_path)
    keys = {"detector": "faster_rcnn", "backbone": "resnet50", "method": "mask_scoring_rcnn"}
    assert (written["variant"], written["conventions"]) == (keys, "maskrcnn_benchmark")


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("roi_heads.maskiou.predictor.maskiou.bias", None, "roi_heads.maskiou.predictor.maskiou.bias: missing"),
        ("rpn.head.conv.bias", (255,), "rpn.head.conv.bias: shape (255,), expected (256,)"),
        (
            "roi_heads.mask.predictor.mask_fcn_logits.bias",
            (80,),
            "mask_fcn_logits.bias: shape (80,), expected rows for 81 classes",
        ),
        ("roi_heads.box.predictor.cls_score.weight", (9, 1024), "cls_score.bias: shape (81,), expected (9,)"),
        ("roi_heads.more", (1,), "roi_heads.more: left over"),
    ],
)
def test_files_that_do_not_fit_are_refused_under_the_authors_names(
    name: str, shape: tuple[int, ...] | None, line: str, tmp_path: Path
) -> None:
    tensors = stand_ins()
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    torch.save(tensors, tmp_path / "r50.pth")
    with pytest.raises(InputError, match=re.escape(line)):
        import_weights(str(tmp_path / "r50.pth"), tmp_path / "m", tmp_path)


# --- slow references


def test_the_score_of_a_mask_by_the_formulas() -> None:
    torch.manual_seed(0)
    head = MaskIoUHead(8, 16, 3).double().eval()
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(torch.rand_like(tensor) * 0.4 - 0.2)
    random = np.random.default_rng(0)
    features, masks = random.normal(size=(2, 8, 14, 14)), random.random((2, 1, 28, 28))
    found = head(torch.from_numpy(features), torch.from_numpy(masks)).detach().numpy()
    for index in range(2):
        pooled = np.zeros((1, 14, 14))
        for row in range(14):
            for column in range(14):
                pooled[0, row, column] = masks[index, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max()
        x = np.concatenate([features[index], pooled])
        for place in (0, 2, 4, 6):
            x = np.maximum(convolve(x, head.convolutions[place]), 0)
        assert x.shape == (8, 7, 7)
        x = x.ravel()
        for layer in (head.connected[0], head.connected[2], head.predict):
            x = layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()
            x = x if layer is head.predict else np.maximum(x, 0)
        np.testing.assert_allclose(found[index], x, atol=1e-12)


def test_targets_are_the_iou_with_the_whole_object() -> None:
    """Of a mask and an object of picture size that lies on the RoI's cells: their IoU, pixel by pixel."""
    random = np.random.default_rng(0)
    for _ in range(20):
        whole, predicted = random.random((60, 60)) < 0.5, np.zeros((60, 60), bool)
        x, y = random.integers(0, 32, 2)
        predicted[y : y + 28, x : x + 28] = random.random((28, 28)) < 0.4
        box = Boxes(torch.tensor([[x, y, x + 28, y + 28]], dtype=torch.float32))
        inside = shares_inside(BitMasks(torch.from_numpy(whole)[None]), box, (60, 60))
        cut = [torch.from_numpy(each[y : y + 28, x : x + 28])[None] for each in (predicted, whole)]
        expected = (predicted & whole).sum() / (predicted | whole).sum()
        assert mask_iou_targets(*cut, inside).item() == pytest.approx(expected, rel=1e-6)


def test_an_iou_of_nothing_with_nothing_is_zero() -> None:
    """A RoI beside its object, in which nothing is predicted."""
    nothing, something = torch.zeros(1, 28, 28, dtype=torch.bool), torch.ones(1, 28, 28, dtype=torch.bool)
    assert mask_iou_targets(nothing, nothing, torch.zeros(1)).tolist() == [0]
    assert mask_iou_targets(something, nothing, torch.zeros(1)).tolist() == [0]


def test_a_pixel_counts_by_its_part_inside_the_box() -> None:
    """By ten by ten points in each pixel, for corners at tenths."""
    random = np.random.default_rng(0)
    masks = random.random((8, 20, 30)) < 0.5
    masks[7] = False
    tenths = np.sort(random.integers(-50, [[[350], [250]]] * 8, size=(8, 2, 2)), axis=2)
    found = shares_inside(
        BitMasks(torch.from_numpy(masks)),
        Boxes(torch.from_numpy(tenths.transpose(0, 2, 1).reshape(8, 4).astype(np.float32) / 10)),
        (20, 30),
    )
    for mask, (x, y), share in zip(masks[:7], tenths[:7], found, strict=False):
        fine = mask.repeat(10, 0).repeat(10, 1)
        part = fine[max(y[0], 0) : max(y[1], 0), max(x[0], 0) : max(x[1], 0)].sum()
        assert share.item() == pytest.approx(part / fine.sum(), rel=1e-4, abs=1e-6)
    assert found[7].isnan()
    assert not shares_inside(BitMasks(torch.zeros(0, 20, 30)), Boxes(torch.zeros(0, 4)), (20, 30)).shape[0]


def test_rois_without_a_common_cell_or_an_area_are_left_out() -> None:
    predicted = torch.tensor([0.3, 0.9, 0.1], dtype=torch.float64, requires_grad=True)
    loss = mask_iou_loss(predicted, torch.tensor([0.5, 0.0, torch.nan], dtype=torch.float64))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 0.2**2)
    assert predicted.grad.tolist() == pytest.approx([-0.2, 0, 0])
    none = mask_iou_loss(predicted[1:], torch.tensor([0.0, torch.nan]))
    assert none.item() == 0
    none.backward()  # several processes need a gradient


# --- on any mask head


@pytest.mark.parametrize("detector", ["faster_rcnn", "fcos"])
@pytest.mark.parametrize("keys", [{"method": "mask_scoring_rcnn"}, {"method": "bcnet", "mask_iou": True}])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_are_chosen_before_masks_are_scored(keys: dict[str, Any], detector: str, flip: bool) -> None:
    """The same detections as without, in the order of the new scores; the boxes keep theirs. Also of two views."""
    predict = EVERYTHING.model_copy(update={"flip": flip})
    variant = methods.variant(detector=detector, backbone="efficientnet_lite0", **keys)
    torch.manual_seed(0)
    module: Segmenter = build(variant, SIZES, EVERYTHING, 3).eval()
    branch: Any = module.get_submodule("roi_heads.mask_head")
    torch.nn.init.normal_(branch.mask_iou.predict.weight, std=1)
    image = item()["image"].permute(1, 2, 0).numpy()
    model = ModelFile(module, variant, predict, [{"id": place + 1} for place in range(3)], {})
    scored, entries = detect(model, image), results(model, image, 7)
    branch.mask_iou = None
    plain = detect(model, image)
    assert len(scored.scores) == len(plain.scores) > 5
    assert {tuple(box) for box in scored.boxes.tolist()} == {tuple(box) for box in plain.boxes.tolist()}
    assert scored.scores == sorted(scored.scores, reverse=True)
    assert scored.scores != plain.scores
    assert plain.box_scores is None
    assert scored.box_scores is not None
    of_box = {(label, *box): score for label, score, box in zip(plain.classes, plain.scores, plain.boxes, strict=True)}
    assert scored.box_scores == [of_box[label, *box] for label, box in zip(scored.classes, scored.boxes, strict=True)]
    assert [entry["box_score"] for entry in entries] == [round(score, 6) for score in scored.box_scores]
    assert "box_score" not in results(model, image, 7)[0]


def test_the_loss_of_scores_reaches_masks_and_features() -> None:
    torch.manual_seed(0)
    variant = methods.variant(method="mask_scoring_rcnn", detector="faster_rcnn", backbone="efficientnet_lite0")
    model = build(variant, SIZES, PREDICT, 3).train()
    loss = model([item()])["loss_mask_iou"]
    weights = ["roi_heads.mask_head.head.predictor.predict.weight", "backbone.fpn_output2.weight"]
    gradients = torch.autograd.grad(loss, [model.get_parameter(name) for name in weights])
    assert all(gradient.abs().max() > 0 for gradient in gradients)
