"""CenterMask: equal to what both editions of its authors' code gave, and to slow references.

The first edition stands on an older code base, whose conventions an imported model has.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance import checks
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from golden_factory import Golden, partners, picture
from model_factory import PREDICT, SIZES, build, item
from pycocotools import mask as rle
from slow_layers import convolve, predict
from torch import Tensor, nn
from torchvision.ops import roi_align

from bcnet import methods as models
from bcnet.files import InputError
from bcnet.methods.centermask import (
    OF_EDITION,
    OFFICIAL_NAMES,
    OFFICIAL_NAMES_2,
    MaskHead,
    first_share,
    outlined_share,
)
from bcnet.models.conventions import DETECTRON2, MASKRCNN_BENCHMARK, Conventions
from bcnet.models.detections import View
from bcnet.models.detectors.fcos_head import LevelOutput
from bcnet.models.detectors.mask_roi_heads import training_rois
from bcnet.models.masks.adaptive_rois import AdaptiveRoIFeatures, levels_of
from bcnet.models.masks.mask_iou import MaskIoUHead, drawn_share, shares_inside
from bcnet.models.segmenter import Spec
from bcnet.params import methods
from bcnet.params.models import Model, Predict
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

CLASSES = 80
STRIDES = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Theirs:
    """An edition: its golden numbers, where its own rows begin that are not the background's, and its names."""

    number: int
    golden: Golden
    first: int
    conventions: Conventions
    names: dict[str, str]
    head: str  # beginnings of their names of both heads
    scored: str

    @property
    def end(self) -> np.ndarray:
        """What their boxes are less than ours."""
        return np.array([0, 0, self.first, self.first])


EDITIONS = {
    1: Theirs(1, Golden("centermask"), 1, MASKRCNN_BENCHMARK, OFFICIAL_NAMES, "roi_heads.mask.", "roi_heads.maskiou."),
    2: Theirs(
        2, Golden("centermask2"), 0, DETECTRON2, OFFICIAL_NAMES_2, "roi_heads.mask_head.", "roi_heads.maskiou_head."
    ),
}


@pytest.fixture(params=EDITIONS.values(), ids=lambda theirs: f"edition{theirs.number}", scope="module")
def theirs(request: pytest.FixtureRequest) -> Theirs:
    return request.param


def near(found: Tensor, expected: np.ndarray, relative: float = 1e-5) -> None:
    assert np.abs(found.numpy() - expected).max() <= relative * np.abs(expected).max()


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


# --- losses


class Given(nn.Module):
    """A part of a model whose output is given."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: Any) -> Any:
        return self.output


class GivenIoU(MaskIoUHead):
    """A head whose numbers are given."""

    def __init__(self, predicted: Tensor, like: MaskIoUHead) -> None:
        super().__init__(1, 1, 1, like.of_polygons)
        self.predicted = predicted

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        return self.predicted


def objects_of(theirs: Theirs, gt: dict[str, Any], size: list[int]) -> Instances:
    """Of a picture whose `size` is width and height; boxes as ours, polygons as precise as theirs."""
    objects = Instances((size[1], size[0]))
    objects.gt_boxes = Boxes(torch.tensor(np.array(gt["boxes"]) + theirs.end, dtype=torch.float32))
    objects.gt_classes = torch.tensor(gt["labels_1_to_80"]) - 1
    precision = np.float32 if theirs.number == 1 else np.float64
    polygons = [[np.array(part, precision).astype(float) for part in each] for each in gt["polygons"]]
    objects.gt_masks = PolygonMasks(polygons)
    return objects


CASES = [(theirs, case) for theirs in EDITIONS.values() for case in theirs.golden.read("losses")["cases"]]
cases = pytest.mark.parametrize(("theirs", "case"), CASES, ids=[f"{t.number}-{c['name']}" for t, c in CASES])
LOSSES = {  # ours, and theirs of both editions
    "loss_fcos_cls": ("loss_cls", "loss_fcos_cls"),
    "loss_fcos_box": ("loss_reg", "loss_fcos_loc"),
    "loss_fcos_centerness": ("loss_centerness", "loss_fcos_ctr"),
    "loss_mask": ("loss_mask", "loss_mask"),
    "loss_mask_iou": ("loss_maskiou", "loss_maskiou"),
}


def compared(theirs: Theirs, losses: dict[str, Tensor], expected: dict[str, Any], relative: float) -> None:
    found = {LOSSES[name][theirs.number - 1]: loss.item() for name, loss in losses.items()}
    assert found == pytest.approx({name: expected[name] for name in found}, rel=relative)


def model_of(theirs: Theirs) -> Any:
    variant = methods.variant(method="centermask", backbone="efficientnet_lite0", edition=theirs.number)
    return models.build(Spec(variant, Model(), Predict(short_side=64, max_side=64), CLASSES, theirs.conventions))


@cases
def test_the_losses_of_fcos_are_the_authors(theirs: Theirs, case: dict[str, Any]) -> None:
    fcos, generator = model_of(theirs).train().proposal_generator, torch.Generator().manual_seed(case["seed"])
    targets = [objects_of(theirs, gt, case["image_wh"]) for gt in case["gt"]]
    logits, distances, centre = maps_of(case, generator)
    units = STRIDES if theirs.number == 2 else [1] * 5
    distances = [(0.5 * each + 3).exp() / unit for each, unit in zip(distances, units, strict=True)]
    levels = zip([each - 3 for each in logits], distances, centre, strict=True)
    outputs = [LevelOutput(*level, torch.empty(0)) for level in levels]
    sizes = case["feature_sizes_hw"]
    _, places = fcos.predict({f"p{3 + n}": torch.zeros(len(targets), 256, *size) for n, size in enumerate(sizes)})
    learned = fcos.learned(places, targets)
    counts = [int((level >= 0).sum()) for level in torch.stack(learned).split(places.counts, 1)]
    assert counts == case["expected"]["positives_per_level"]
    compared(theirs, fcos.losses(outputs, places, targets, learned), case["expected"], 1e-6)


def maps_of(case: dict[str, Any], generator: torch.Generator) -> list[list[Tensor]]:
    """Random numbers of all levels: of the categories, the distances, and centerness."""
    sizes, n = case["feature_sizes_hw"], len(case["gt"])
    return [[torch.randn(n, channels, *size, generator=generator) for size in sizes] for channels in (CLASSES, 4, 1)]


def proposals_of(theirs: Theirs, case: dict[str, Any]) -> list[np.ndarray]:
    """Of each picture, as they end at theirs."""
    if theirs.number == 1:
        return [np.array(boxes) for boxes in case["proposals"]]
    return [np.array(of_picture["boxes"]) for of_picture in case["foreground_proposals"]]


def labels_of(theirs: Theirs, case: dict[str, Any]) -> list[list[int]]:
    """Of their proposals, from 1 on; 0: background."""
    if theirs.number == 1:
        return case["expected"]["mask_labels"]
    return [[label + 1 for label in of_picture["gt_classes_0_to_79"]] for of_picture in case["foreground_proposals"]]


@cases
def test_the_losses_of_masks_are_the_authors(theirs: Theirs, case: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    maps_of(case, generator)  # their generator has made these before
    labels, rois = [], []
    for gt, proposals in zip(case["gt"], proposals_of(theirs, case), strict=True):
        objects = objects_of(theirs, gt, case["image_wh"])
        boxes = Boxes(torch.tensor(proposals + theirs.end, dtype=torch.float32))
        chosen = training_rois(Instances(objects.image_size, pred_boxes=boxes), objects, None)
        labels.append(chosen.gt_classes + 1)
        chosen = chosen[: len(chosen) - len(objects)]  # the objects' own boxes are not among their proposals
        chosen.proposal_boxes = Boxes(chosen.proposal_boxes.tensor - torch.tensor(theirs.end))
        rois.append(chosen)
    foreground = torch.tensor([label for picture in labels_of(theirs, case) for label in picture]) > 0
    assert [label for each, gt in zip(labels, case["gt"], strict=True) for label in each[: -len(gt["boxes"])]] == [
        label for picture in labels_of(theirs, case) for label in picture if label
    ]
    if theirs.number == 1:
        shares = [shares_inside(each.gt_masks, each.proposal_boxes, each.image_size, first_share) for each in rois]
        near(torch.cat(shares), np.concatenate(case["expected"]["mask_ratio"]), 1e-6)

    masks = 2 * torch.randn(len(foreground), CLASSES + theirs.first, 28, 28, generator=generator)
    predicted = torch.rand(len(foreground), CLASSES + theirs.first, generator=generator)
    branch = model_of(theirs).train().roi_heads.mask_head
    branch.roi_features = Given(torch.zeros(0))
    branch.head = Given({"target_mask": masks[foreground][:, theirs.first :]})
    branch.mask_iou = GivenIoU(predicted[foreground][:, theirs.first :], branch.mask_iou)
    compared(theirs, branch({}, rois), case["expected"], 1e-6)


# --- the whole model


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


# --- slow references


def test_the_mask_head_by_the_formulas() -> None:
    """One RoI at a time, in float64."""
    torch.manual_seed(0)
    head = MaskHead(8, 3).double().eval()
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(0.5 * torch.rand_like(tensor) - 0.25)
    features = np.random.default_rng(0).normal(size=(3, 8, 14, 14))
    found = head(torch.from_numpy(features))["target_mask"].detach().numpy()
    for x, logits in zip(features, found, strict=True):
        for place in (0, 2, 4, 6):
            x = np.maximum(convolve(x, head.layers[place]), 0)
        both = np.zeros((2, 14, 14))
        for row, column in np.ndindex(14, 14):
            both[:, row, column] = sum(x[:, row, column]) / 8, max(x[:, row, column])
        attention = 1 / (1 + np.exp(-convolve(both, head.attention.convolution)[0]))
        assert attention.max() - attention.min() > 0.2
        np.testing.assert_allclose(logits, predict(x * attention, head.predictor), rtol=1e-9, atol=1e-12)


def test_attention_does_not_depend_on_the_order_of_the_channels() -> None:
    attention = MaskHead(8, 3).attention
    x = torch.randn(2, 8, 14, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(x[:, torch.randperm(8)]), attention(x))


@pytest.mark.parametrize("number", [1, 2])
def test_the_level_is_told_by_the_share_of_the_picture(number: int) -> None:
    """More than a half, more than a quarter, or less, whatever the size of both."""
    least = OF_EDITION[number].least
    for height, width in ((64, 128), (800, 1333), (97, 211)):
        shares = torch.tensor([0.001, 0.1, 0.2499, 0.2501, 0.3, 0.4999, 0.5001, 0.9, 1.0, 3.0])
        found = levels_of(shares * height * width, (height, width), least)
        assert found.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert levels_of(torch.tensor([0.0, 16, 32, 64]), (8, 8), least).tolist() == [0, 0, 1, 2]  # none, ¼, ½, all of it


@pytest.mark.parametrize("conventions", [DETECTRON2, MASKRCNN_BENCHMARK], ids=["detectron2", "maskrcnn_benchmark"])
def test_features_come_from_the_level_of_each_roi(conventions: Conventions) -> None:
    """Of two pictures, one of which has less padding; one RoI at a time."""
    generator = torch.Generator().manual_seed(0)
    levels = {f"p{3 + n}": torch.randn(2, 4, 16 >> n, 24 >> n, generator=generator) for n in range(4)}
    sizes, rois = [(128, 192), (90, 100)], []
    for size in sizes:
        corners = torch.rand(40, 2, 2, generator=generator).sort(1).values * torch.tensor([size[1], size[0]])
        rois.append(Instances(size, pred_boxes=Boxes(corners.flatten(1))))
    found = AdaptiveRoIFeatures(1e-6, conventions=conventions)(levels, rois)
    assert found.shape == (80, 4, 14, 14)
    end, seen, index = torch.tensor([0.0, 0, 1, 1]) * conventions.last_pixel, set(), 0
    for picture_index, (size, of_picture) in enumerate(zip(sizes, rois, strict=True)):
        for box in of_picture.pred_boxes.tensor:
            share = float((box[2] - box[0]) * (box[3] - box[1])) / math.prod(size)
            name, stride = ("p5", 32) if share > 0.5 else ("p4", 16) if share > 0.25 else ("p3", 8)
            expected = roi_align(
                levels[name][picture_index : picture_index + 1],
                [(box - end)[None]],
                14,
                1 / stride,
                sampling_ratio=conventions.samples or -1,
                aligned=conventions.aligned,
            )
            torch.testing.assert_close(found[index], expected[0])
            seen.add(name)
            index += 1
    assert seen == {"p3", "p4", "p5"}
    assert AdaptiveRoIFeatures(1e-6)(levels, [of_picture[:0] for of_picture in rois]).shape == (0, 4, 14, 14)


def test_shares_of_polygons() -> None:
    """Of the second rectangle the first edition knows nothing; the second counts what both enclose."""
    first, second = np.array([10.0, 10, 30, 10, 30, 30, 10, 30]), np.array([40.0, 10, 50, 10, 50, 20, 40, 20])
    box = np.array([20.0, 10, 45, 30])
    share = {
        function: function([first, second], box, (64, 64)) for function in (first_share, outlined_share, drawn_share)
    }
    assert share[first_share] == pytest.approx(200 / 400)
    assert share[outlined_share] == pytest.approx((200 + 50) / (400 + 100))
    assert share[drawn_share] == pytest.approx((200 + 50) / (400 + 100))
    triangle, whole = np.array([30.0, 10, 30, 30, 10, 30]), np.array([0.0, 0, 64, 64])
    assert outlined_share([triangle], whole, (64, 64)) == 1  # it has 210 pixels, but an area of 200
    assert outlined_share([triangle], np.array([20.0, 10, 64, 64]), (64, 64)) == pytest.approx(0.75, abs=0.05)
    assert math.isnan(outlined_share([np.array([5.0, 5, 9, 5, 9, 5])], box, (64, 64)))


# --- training and what is found


def small(edition: int) -> Any:
    torch.manual_seed(0)
    return build(
        methods.variant(method="centermask", backbone="efficientnet_lite0", edition=edition), SIZES, PREDICT, 3
    )


def test_both_heads_start_as_the_editions_have_them() -> None:
    """All else starts with equal weights."""
    first, second = (small(edition).state_dict() for edition in (1, 2))
    branch = "roi_heads.mask_head."
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith(branch))
    spread = {
        f"{branch}head.predictor.predict.weight": (math.sqrt(2 / 3), 0.001),
        f"{branch}head.attention.convolution.weight": (math.sqrt(1 / 18 / 3), math.sqrt(2 / 9)),
        f"{branch}mask_iou.connected.0.weight": (math.sqrt(1 / 1568), math.sqrt(2 / 32)),
        f"{branch}mask_iou.predict.weight": (0.01, 0.01),
    }
    for name, wanted in spread.items():
        for state, deviation in zip((first, second), wanted, strict=True):
            slack = 0.4 if "attention" in name else 0.15
            assert state[name].std() == pytest.approx(deviation, rel=slack), name


@pytest.mark.parametrize("edition", [1, 2])
def test_the_loss_of_scores_reaches_masks_and_features(edition: int) -> None:
    model = small(edition).train()
    losses = model([item()])
    assert set(losses) == set(LOSSES)
    weights = ["head.attention.convolution.weight", "head.predictor.predict.weight"]
    parameters = [model.get_parameter(f"roi_heads.mask_head.{name}") for name in weights]
    gradients = torch.autograd.grad(
        losses["loss_mask_iou"], [*parameters, model.get_parameter("backbone.fpn_output3.weight")]
    )
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("edition", [1, 2])
def test_all_rois_train_the_mask_head_in_the_first_edition(edition: int) -> None:
    model = small(edition)
    assert model.roi_heads.rois == (None if edition == 1 else SIZES.rois // 4)
    assert model.proposal_generator.edition.training.score_threshold == (0.03 if edition == 1 else 0.05)


def test_masks_are_ranked_by_both_scores() -> None:
    """Boxes by the first alone, which detections keep."""
    model = small(1).eval()
    branch: Any = model.roi_heads.mask_head
    nn.init.normal_(branch.mask_iou.predict.weight, std=1)
    levels = {f"p{3 + n}": torch.randn(1, 32, 16 >> n, 16 >> n) for n in range(3)}
    boxes = torch.tensor([[0.0, 0, 100, 100], [5, 5, 40, 60], [3, 3, 20, 30]])
    given = Instances((128, 128), pred_boxes=Boxes(boxes), scores=torch.tensor([0.9, 0.8, 0.7]))
    given.pred_classes = torch.tensor([2, 0, 1])
    with torch.no_grad():
        (found,) = branch(levels, [given])
        predicted = branch.mask_iou(branch.roi_features(levels, [given]), found.pred_masks)[
            range(3), given.pred_classes
        ]
    assert found.box_scores.tolist() == torch.tensor([0.9, 0.8, 0.7]).tolist()
    torch.testing.assert_close(found.scores, (found.box_scores * predicted).clamp(0, 1))
    assert len(found.scores.unique()) > 1


def test_bitmaps_count_by_their_pixels_in_both_editions() -> None:
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 10:30, 10:30] = True
    box = Boxes(torch.tensor([[20.0, 0, 64, 64]]))
    for edition in OF_EDITION.values():
        assert shares_inside(BitMasks(mask), box, (64, 64), edition.share).tolist() == [0.5]


@checks
def test_the_second_edition_conforms_as_the_first(check: Any, tmp_path: Path) -> None:
    check(methods.variant(method="centermask", backbone="efficientnet_lite0", edition=2), tmp_path)
