"""PANet is equal to what its authors' code gave; `test_panet_heads.py` has its parts by themselves.

The whole model stands on an older code base, whose conventions an imported model has.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from golden_factory import Golden, bits, overlaps, partners, picture
from model_factory import PREDICT, SIZES, as_they_are, build
from torch import Tensor, nn

from bcnet.files import InputError
from bcnet.methods import build as build_method
from bcnet.models.conventions import PANET
from bcnet.models.detections import View
from bcnet.models.layers.adaptive_pooling import LevelPooler
from bcnet.models.masks.losses import mask_losses
from bcnet.models.masks.roi_mask_branch import RoIMaskBranch, of_class
from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params import methods
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

GOLDEN = Golden("panet")
CLASSES = 80  # theirs are counted from 1, 0 is the background
LAST = torch.tensor([0.0, 0, 1, 1])  # their boxes end at their last pixel


def near(ours: Tensor, expected: np.ndarray) -> None:
    assert np.abs(ours.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


# --- heads and pyramid


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Imported from the authors' file, with what their training stores beside the model."""
    folder: Path = tmp_path_factory.mktemp("imported")
    torch.save({"model": GOLDEN.tensors(), "step": 179999, "train_size": 1, "batch_size": 16}, folder / "theirs.pth")
    import_weights(str(folder / "theirs.pth"), folder / "m.safetensors", folder)
    return load_model(folder / "m.safetensors")


@pytest.fixture(scope="module")
def features() -> dict[str, list[Tensor]]:
    """What the authors' parts were fed with: the recipe's."""
    generator = torch.Generator().manual_seed(111)

    def drawn(*sizes: tuple[int, ...]) -> list[Tensor]:
        return [torch.randn(size, generator=generator) for size in sizes]

    return {
        "backbone": drawn((1, 256, 16, 24), (1, 512, 8, 12), (1, 1024, 4, 6), (1, 2048, 2, 3)),
        "boxes": drawn(*[(6, 256, 7, 7)] * 4),
        "masks": drawn(*[(6, 256, 14, 14)] * 4),
        "levels": drawn((1, 8, 64, 80), (1, 8, 32, 40), (1, 8, 16, 20), (1, 8, 8, 10)),
    }


class Given(nn.Module):
    """A backbone whose levels are given."""

    def __init__(self, levels: list[Tensor]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(["res2", "res3", "res4", "res5"], self.levels, strict=True))


def test_the_pyramid_has_the_authors_numbers(
    model: ModelFile, features: dict[str, list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    golden, backbone = GOLDEN.arrays("head"), model.module.backbone
    monkeypatch.setitem(backbone._modules, "bottom_up", Given(features["backbone"]))
    with torch.inference_mode():
        levels = backbone(torch.zeros(0))
    near(levels["p2"][:, ::8], golden["n2_every8th_channel"])
    near(levels["p3"][:, ::4], golden["n3_every4th_channel"])
    for number in (4, 5, 6):
        near(levels[f"p{number}"], golden[f"n{number}"])


def test_rois_of_every_level_are_sampled_as_the_authors(features: dict[str, list[Tensor]]) -> None:
    rois = torch.tensor([[10, 20, 60, 90], [0, 0, 319, 255], [200.5, 100.25, 203, 104]]) + LAST
    ours = LevelPooler(7, [[4], [8], [16], [32]], PANET)(features["levels"], [Boxes(rois)])
    near(torch.stack(ours)[:, :, :2], GOLDEN.arrays("head")["pooled"])


def test_the_heads_give_the_authors_numbers(model: ModelFile, features: dict[str, list[Tensor]]) -> None:
    golden, heads = GOLDEN.arrays("head"), model.module.get_submodule("roi_heads")
    mask_head = heads.mask_head.head
    with torch.inference_mode():
        connected = heads.box_head(features["boxes"])
        assert np.abs(connected.numpy() - golden["box_fc"]).max() < 1e-3  # theirs are float16
        scores, deltas = heads.box_predictor(connected)
        near(scores.softmax(1).roll(1, 1), golden["class_probabilities"])
        near(deltas, golden["box_deltas"][:, 4:])
        near(mask_head.connected(mask_head.layers(mask_head.levels(features["masks"])))[:, 0], golden["mask_fc_branch"])
        masks = mask_head(features["masks"])["target_mask"][range(6), golden["labels"] - 1]
        near(masks.sigmoid(), golden["mask_probabilities_of_label"])


# --- losses


@pytest.fixture(params=GOLDEN.read("losses")["cases"], ids=lambda case: case["note"].split(";")[0][:40])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture(scope="module")
def in_training() -> Segmenter:
    """A model with 80 categories, whose losses are compared."""
    torch.manual_seed(0)
    variant = methods.variant(method="panet", detector="faster_rcnn", backbone="efficientnet_lite0")
    return build(variant, SIZES, PREDICT, CLASSES).train()


def test_losses_are_the_authors(case: dict[str, Any], in_training: Segmenter) -> None:
    """In boxes with the pixels of the picture, whatever its scale: as they are after the proposals were ours."""
    generator = torch.Generator().manual_seed(case["seed"])
    count, masks = len(case["rois"]), len(case["mask_rois"])
    scores, deltas = (torch.randn(count, width, generator=generator) for width in (CLASSES + 1, 4 * CLASSES + 4))
    logits = 4 * torch.randn(masks, CLASSES + 1, 28, 28, generator=generator)

    labels = torch.tensor(case["labels"])
    rois = Instances((500, 500), proposal_boxes=Boxes(torch.tensor(case["rois"]) + LAST))
    rois.gt_boxes = Boxes((torch.tensor(case["gt_boxes"]) + LAST)[case["roi_gt"]])
    rois.gt_classes = torch.where(labels > 0, labels - 1, CLASSES)
    predictor: Any = in_training.get_submodule("roi_heads.box_predictor")
    targets = predictor.box2box_transform.get_deltas(rois.proposal_boxes.tensor, rois.gt_boxes.tensor)
    for target, expected in zip(targets[labels > 0], case["box_targets_of_label"], strict=False):
        np.testing.assert_allclose(target, expected, rtol=1e-5, atol=1e-6)
    with EventStorage(0):
        losses = predictor.losses((scores.roll(-1, 1), deltas[:, 4:]), [rois])
    assert losses["loss_cls"].item() == pytest.approx(case["loss_cls"], rel=1e-6)
    assert losses["loss_box_reg"].item() == pytest.approx(case["loss_bbox"], rel=1e-6)

    own = labels[labels > 0]
    chosen = of_class(logits[: len(own)], own)
    loss = mask_losses({"target_mask": chosen}, bits(case["mask_targets_hex"]))["loss_mask"]
    # without a foreground RoI theirs is 0/0
    assert loss.item() == pytest.approx(case["loss_mask"] if len(own) else 0, rel=1e-6)


def test_targets_of_masks_are_the_authors(case: dict[str, Any], in_training: Segmenter) -> None:
    """Where a RoI's object is also the one whose box overlaps it most, as in all of these cases."""
    foreground = torch.tensor(case["labels"]) > 0
    chosen, count = torch.tensor(case["roi_gt"])[foreground], int(foreground.sum())
    polygons = PolygonMasks([[np.array(part) for part in parts] for parts in case["polygons"]])
    rois = Instances((500, 500), proposal_boxes=Boxes(torch.tensor(case["rois"])[foreground]))
    rois.gt_classes, rois.gt_masks = torch.tensor(case["labels"])[foreground] - 1, polygons[chosen]
    learned: list[Tensor] = []

    def noted(outputs: dict[str, Tensor], *masks: Tensor) -> dict[str, Tensor]:
        learned.extend(masks)
        return {}

    own: Any = in_training.get_submodule("roi_heads.mask_head")
    branch = RoIMaskBranch(as_they_are, nn.Identity(), noted, own.learned).train()
    branch({"p2": {"target_mask": torch.zeros(count, CLASSES, 28, 28)}}, [rois])
    assert len(learned) == 1
    assert torch.equal(learned[0], bits(case["mask_targets_hex"]))


def test_losses_of_proposals_are_the_authors(in_training: Segmenter) -> None:
    golden = GOLDEN.read("losses")["rpn"]
    generator = torch.Generator().manual_seed(golden["seed"])
    logits, deltas, labels, targets = [], [], [], []
    for side in (8, 4, 2, 1, 1):

        def values(made: Tensor, side: int = side) -> Tensor:
            """(2, 3 times V, side, side) to (2, anchors, V), in the order of anchors."""
            return made.view(2, 3, -1, side, side).permute(0, 3, 4, 1, 2).flatten(1, 3)

        logits.append(values(torch.randn(2, 3, side, side, generator=generator)).squeeze(2))
        deltas.append(values(torch.randn(2, 12, side, side, generator=generator)))
        labels.append(values(torch.randint(-1, 2, (2, 3, side, side), generator=generator)).squeeze(2))
        targets.append(values(torch.randn(2, 12, side, side, generator=generator)))
    proposals: Any = in_training.get_submodule("proposal_generator")
    anchors = Boxes(torch.tensor([[-50.0, -50, 50, 50]]))
    every = Boxes(anchors.tensor.expand(sum(len(of_level[0]) for of_level in logits), 4))
    truth = [proposals.box2box_transform.apply_deltas(of_picture, every.tensor) for of_picture in torch.cat(targets, 1)]
    with EventStorage(0):
        losses = proposals.losses([every], logits, list(torch.cat(labels, 1)), deltas, truth)
    assert losses["loss_rpn_cls"].item() == pytest.approx(sum(golden["loss_rpn_cls"]), rel=1e-6)
    assert losses["loss_rpn_loc"].item() == pytest.approx(sum(golden["loss_rpn_bbox"]), rel=1e-5)


# --- the whole model


def test_the_whole_model_detects_as_the_authors(model: ModelFile) -> None:
    golden, image = GOLDEN.arrays("infer"), picture()
    assert (model.variant.method, model.variant.backbone) == ("panet", "resnet50")
    assert (model.predict.short_side, model.predict.max_side) == (1000, 1400)
    size = image.shape[1], image.shape[2]
    with torch.inference_mode():
        ours = model.module.detect([View(image, flipped=False)], size)
        masks = ours.masks.paste(size).numpy()
    theirs = golden["boxes"] + LAST.numpy()
    order = partners(ours.boxes.numpy(), ours.classes.numpy(), theirs, golden["classes"] - 1)
    assert np.abs(ours.boxes[order].numpy() - theirs).max() < 0.01  # pixels
    np.testing.assert_allclose(ours.scores[order], golden["scores"], rtol=1e-4)
    assert np.abs(ours.maps["target_mask"][order].numpy() - golden["raw_masks"]).max() < 1e-3  # theirs are float16
    assert overlaps(masks[order], GOLDEN.read("infer_masks")).min() >= 0.999


def test_proposals_are_the_authors(model: ModelFile) -> None:
    golden, module = GOLDEN.arrays("infer"), model.module
    with torch.inference_mode():
        images = module.preprocess_image([{"image": picture()}])
        features = module.backbone(images.tensor)
        ((proposals,), _) = module.proposal_generator(images, features, None)
    ours = np.array([[features[name].mean(), features[name].std()] for name in ("p5", "p4", "p3", "p2")])
    np.testing.assert_allclose(ours, golden["n5_n4_n3_n2_mean_std"], rtol=1e-4)
    assert len(proposals) == golden["proposals_count"]
    first = (proposals.proposal_boxes.tensor[:20] - LAST).numpy()
    assert np.abs(first - golden["proposals_first20"]).max() < 0.01


def test_boxes_are_computed_in_the_pictures_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of the view; `test_conventions.py` has the numbers."""
    torch.manual_seed(0)
    variant = methods.variant(method="panet", detector="faster_rcnn", backbone="efficientnet_lite0")
    model: Any = build_method(Spec(variant, SIZES, PREDICT, 3, PANET)).eval()
    predictor = model.roi_heads.box_predictor
    computed, sizes = predictor.predict_boxes, []

    def noted(predictions: Any, proposals: list[Instances]) -> Any:
        sizes.extend(rois.image_size for rois in proposals)
        return computed(predictions, proposals)

    monkeypatch.setattr(predictor, "predict_boxes", noted)
    with torch.inference_mode():
        views = [View(picture()[:, :64, :96], flipped=False), View(picture()[:, :96, :64], flipped=False)]
        for chosen in (views[:1], views):
            model.detect(chosen, (40, 50))
        assert sizes == [(40, 50)] * 3
        model.inference([{"image": views[0].image}], do_postprocess=False)
    assert sizes[3:] == [(64, 96)]


def test_all_numbers_of_the_authors_model_are_here(model: ModelFile) -> None:
    """But for the background's boxes and masks. Statistics of the norms, which they do not have, change nothing."""
    state = model.module.state_dict()
    statistics = {name: tensor for name, tensor in state.items() if ".norm.running_" in name}
    assert {name.rsplit("_")[-1]: set(tensor.tolist()) for name, tensor in statistics.items()} == {
        "mean": {0.0},
        "var": {1.0},
    }
    ours = sum(tensor.numel() for name, tensor in state.items() if name not in statistics)
    background = 4 * (1024 + 1) + (256 + 1)
    assert ours + background == 73_356_357


# --- files that do not fit


def stand_ins(depth: int = 50) -> dict[str, Tensor]:
    """The checkpoint; one number stands for all of a tensor's."""
    shapes = dict(GOLDEN.read("state"))
    if depth == 101:
        block = {name: shape for name, shape in shapes.items() if ".res4.5." in name}
        shapes |= {name.replace(".5.", f".{n}."): shape for n in range(6, 23) for name, shape in block.items()}
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("depth", [50, 101])
def test_the_backbone_is_told_by_the_authors_names(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(about))
    torch.save({f"module.{name}": tensor for name, tensor in stand_ins(depth).items()}, tmp_path / "theirs.pth")
    import_weights(str(tmp_path / "theirs.pth"), tmp_path / "m", tmp_path)
    keys = {"detector": "faster_rcnn", "backbone": f"resnet{depth}", "method": "panet"}
    assert (written["variant"], written["conventions"]) == (keys, "panet")


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("Mask_Head.upconv.bias", None, "Mask_Head.upconv.bias: missing"),
        ("Conv_Body.conv_body.res2.0.bn1.bias", None, "Conv_Body.conv_body.res2.0.bn1.bias: missing"),
        ("Box_Head.convs.4.bias", (255,), "Box_Head.convs.4.bias: shape (255,), expected (256,)"),
        ("Mask_Outs.classify.bias", (80,), "Mask_Outs.classify.bias: shape (80,), expected rows for 81 classes"),
        ("Box_Outs.cls_score.weight", (9, 1024), "Box_Outs.cls_score.bias: shape (81,), expected (9,)"),
        ("Box_Head.more", (1,), "Box_Head.more: left over"),
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
    torch.save(tensors, tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=re.escape(line)) as raised:
        import_weights(str(tmp_path / "theirs.pth"), tmp_path / "m", tmp_path)
    assert "\n" not in str(raised.value)
