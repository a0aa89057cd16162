"""PANet: equal to what its authors' code gave, and its parts to slow references in float64.

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
from model_factory import PREDICT, SIZES, as_they_are, build, item
from slow_layers import normalised, predict
from torch import Tensor, nn
from torchvision.ops import roi_align

from bcnet.files import InputError
from bcnet.methods import build as build_method
from bcnet.methods.panet import BoxHead, FullyConnected, MaskHead
from bcnet.models.adaptive_pooling import FusedLevels, LevelPooler
from bcnet.models.conventions import DETECTRON2, PANET
from bcnet.models.detections import View
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


def near(found: Tensor, expected: np.ndarray) -> None:
    assert np.abs(found.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


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
    found = LevelPooler(7, [[4], [8], [16], [32]], PANET)(features["levels"], [Boxes(rois)])
    near(torch.stack(found)[:, :, :2], GOLDEN.arrays("head")["pooled"])


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
    """In boxes with the pixels of the picture, whatever its scale: as they are after the proposals were found."""
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
    polygons = PolygonMasks([[np.array(part) for part in each] for each in case["polygons"]])
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
    every = Boxes(anchors.tensor.expand(sum(len(each[0]) for each in logits), 4))
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
        found = model.module.detect([View(image, flipped=False)], size)
        masks = found.masks.paste(size).numpy()
    theirs = golden["boxes"] + LAST.numpy()
    order = partners(found.boxes.numpy(), found.classes.numpy(), theirs, golden["classes"] - 1)
    assert np.abs(found.boxes[order].numpy() - theirs).max() < 0.01  # pixels
    np.testing.assert_allclose(found.scores[order], golden["scores"], rtol=1e-4)
    assert np.abs(found.maps["target_mask"][order].numpy() - golden["raw_masks"]).max() < 1e-3  # theirs are float16
    assert overlaps(masks[order], GOLDEN.read("infer_masks")).min() >= 0.999


def test_proposals_are_the_authors(model: ModelFile) -> None:
    golden, module = GOLDEN.arrays("infer"), model.module
    with torch.inference_mode():
        images = module.preprocess_image([{"image": picture()}])
        features = module.backbone(images.tensor)
        ((proposals,), _) = module.proposal_generator(images, features, None)
    found = np.array([[features[name].mean(), features[name].std()] for name in ("p5", "p4", "p3", "p2")])
    np.testing.assert_allclose(found, golden["n5_n4_n3_n2_mean_std"], rtol=1e-4)
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
        sizes.extend(each.image_size for each in proposals)
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
        ("Box_Outs.cls_score.weight", (9, 1024), "8 categories, not COCO's 80"),
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


# --- slow references


def drawn(module: nn.Module) -> Any:
    """The module in double precision, with numbers of its own for everything."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for tensor in module.parameters():
            spread = 1 if tensor.ndim == 1 else 2 / tensor[0].numel() ** 0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.double) * spread)
    return module


def fused(head: Any, features: list[np.ndarray], roi: int) -> np.ndarray:
    """A RoI's levels, one after the other, then the largest value of each cell."""
    maps = [normalised(level[roi], layer) for level, layer in zip(features, head.levels, strict=True)]
    assert len({int(place) for place in np.argmax(maps, 0).ravel()}) == len(maps)  # each level is somewhere the largest
    return np.max(maps, 0)


def inputs(levels: int, side: int) -> list[np.ndarray]:
    random = np.random.default_rng(levels)
    return [random.normal(size=(2, 32, side, side)) for _ in range(levels)]


@pytest.mark.parametrize("levels", [1, 4])
def test_the_box_head_by_the_formulas(levels: int) -> None:
    head, features = drawn(BoxHead(32, 16, levels)), inputs(levels, 7)
    found = head([torch.from_numpy(level) for level in features]).detach().numpy()
    weight, bias = head.connected.weight.detach().numpy(), head.connected.bias.detach().numpy()
    for roi in range(2):
        x = fused(head, features, roi)
        for layer in head.layers:
            x = normalised(x, layer)
        np.testing.assert_allclose(found[roi], np.maximum(weight @ x.ravel() + bias, 0), atol=1e-9)
    assert (found > 0).any()
    assert (found == 0).any()


@pytest.mark.parametrize("levels", [1, 4])
def test_the_mask_head_by_the_formulas(levels: int) -> None:
    """The fully connected branch pixel by pixel: row i and column j of the map is output 28 i + j of its layer."""
    head, features = drawn(MaskHead(32, 3, levels, fully_connected=True)), inputs(levels, 14)
    found = head([torch.from_numpy(level) for level in features])["target_mask"].detach().numpy()
    branch = head.connected
    weight, bias = branch.connected.weight.detach().numpy(), branch.connected.bias.detach().numpy()
    for roi in range(2):
        x = fused(head, features, roi)
        for layer in head.layers:
            x = normalised(x, layer)
        expected, seen = predict(normalised(x, head.convolutional), head.predictor), x
        for layer in branch.layers:
            seen = normalised(seen, layer)
        assert seen.shape == (16, 14, 14)
        for i in range(28):
            for j in range(28):
                expected[:, i, j] += max(weight[28 * i + j] @ seen.ravel() + bias[28 * i + j], 0)
        np.testing.assert_allclose(found[roi], expected, atol=1e-9)


def test_a_roi_is_taken_from_every_level_in_their_order() -> None:
    """One RoI and one level at a time; boxes of all sizes, of two pictures."""
    generator = torch.Generator().manual_seed(0)
    strides = [4, 8, 16, 32]
    levels = [torch.randn(2, 3, 256 // stride, 256 // stride, generator=generator) for stride in strides]
    boxes = [torch.tensor([[3.0, 5, 20, 30], [0, 0, 250, 240]]), torch.tensor([[60.0, 9, 200, 220]])]
    found = LevelPooler(7, [[stride] for stride in strides], DETECTRON2)(levels, [Boxes(each) for each in boxes])
    for stride, level, of_level in zip(strides, levels, found, strict=True):
        rois = [
            roi_align(level[index : index + 1], [box[None]], 7, 1 / stride, aligned=True)
            for index, of_picture in enumerate(boxes)
            for box in of_picture
        ]
        torch.testing.assert_close(of_level, torch.cat(rois))
    (fitting,) = LevelPooler(7, [strides], DETECTRON2)(levels, [Boxes(each) for each in boxes])
    torch.testing.assert_close(fitting, torch.stack([found[0][0], found[2][1], found[1][2]]))  # FPN's rule: 224 on P4


# --- properties


def test_levels_have_no_rank_but_their_own_layers() -> None:
    """With their layers exchanged, exchanged levels give the same."""
    layers, features = drawn(FusedLevels(4, 32)), [torch.from_numpy(level) for level in inputs(4, 7)]
    expected = layers(features)
    order = [2, 0, 3, 1]
    exchanged = FusedLevels(0, 32).extend(layers[place] for place in order)
    assert torch.equal(exchanged([features[place] for place in order]), expected)
    assert not torch.equal(exchanged(features), expected)


def test_the_fully_connected_branch_raises_all_categories_alike() -> None:
    head, features = drawn(MaskHead(32, 3, 4, fully_connected=True)), [torch.from_numpy(x) for x in inputs(4, 14)]
    both = head(features)["target_mask"]
    head.connected = None
    more = both - head(features)["target_mask"]
    assert more.min() >= -1e-9
    assert more.max() > 0.1
    torch.testing.assert_close(more, more[:, :1].expand_as(more))


def test_layers_start_as_released() -> None:
    """Convolutions and the last layer of masks: deviation √(2 / outputs of a cell); fully connected of masks: 0.01."""
    torch.manual_seed(0)
    head, box = MaskHead(64, 20, 4, fully_connected=True), BoxHead(64, 128, 4)
    for convolution in (head.levels[0][0], head.layers[1][0], box.layers[2][0]):
        assert convolution.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
        assert convolution.bias is None
    assert head.predictor.predict.weight.std().item() == pytest.approx((2 / 20) ** 0.5, rel=0.06)
    branch = head.connected
    assert branch.connected.weight.std().item() == pytest.approx(0.01, rel=0.01)
    bound = (3 / (64 * 49)) ** 0.5  # uniform
    assert box.connected.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert box.connected.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    for bias in (head.predictor.predict.bias, head.predictor.upsample.bias, branch.connected.bias, box.connected.bias):
        assert not bias.any()


# --- switches


def test_each_part_can_be_left_out() -> None:
    for keys, missing in (
        ({"neck": "fpn"}, "backbone.path."),
        ({"fully_connected": False}, "roi_heads.mask_head.head.connected."),
        ({"adaptive_pooling": False}, "roi_heads.box_head.levels.1."),
        ({"adaptive_pooling": False}, "roi_heads.mask_head.head.levels.1."),
    ):
        variant = methods.variant(method="panet", detector="faster_rcnn", backbone="efficientnet_lite0", **keys)
        torch.manual_seed(0)
        model = build(variant).train()
        assert not any(name.startswith(missing) for name in model.state_dict())
        assert all(loss.isfinite() for loss in model([item(), item()]).values())
    assert any(name.startswith("roi_heads.box_head.levels.0.") for name in model.state_dict())


def test_without_categories_of_its_own_a_roi_has_one_mask() -> None:
    variant = methods.variant(
        method="panet", detector="faster_rcnn", backbone="efficientnet_lite0", class_agnostic=True
    )
    head = build(variant).get_submodule("roi_heads.mask_head.head")
    assert isinstance(head.connected, FullyConnected)
    assert head([torch.zeros(2, 32, 14, 14)] * 4)["target_mask"].shape == (2, 1, 28, 28)
