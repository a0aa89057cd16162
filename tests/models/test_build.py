"""Variants become models that train, on every backbone, and model files that are refused when they are not whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances
from model_factory import PREDICT, SIZES, as_they_are, build, item, pasted, variants, with_boxes

from bcnet.data.masks.segmentation import decode
from bcnet.files import InputError
from bcnet.inference.detect import detect
from bcnet.inference.predict import results
from bcnet.models.backbones import BACKBONES
from bcnet.models.detections import MAPS
from bcnet.models.masks.roi_mask_branch import RoIMaskBranch
from bcnet.params import methods
from bcnet.params.models import Predict
from bcnet.training.initial import load_backbone
from bcnet.weights.imagenet import write_weights
from bcnet.weights.model_file import ModelFile, load_model, save_model


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("keys", variants().values(), ids=variants())
def test_every_loss_reaches_the_backbone(keys: dict[str, str], backbone: str) -> None:
    torch.manual_seed(0)
    model = with_boxes(build(methods.variant(**keys, backbone=backbone))).train()
    for name, buffer in model.named_buffers():
        if name.endswith("conv3.norm.weight"):  # signals of an untrained ResNet explode: PointRend's boxes with them
            buffer.fill_(0.2)
    losses = model([item(), item()])
    finest = min(name for name, _ in model.backbone.named_children() if name.startswith("fpn_lateral"))
    lateral = model.get_parameter(f"backbone.{finest}.weight")
    for name, loss in losses.items():
        assert torch.isfinite(loss), name
        (gradient,) = torch.autograd.grad(loss, lateral, retain_graph=True)
        assert gradient.abs().max() > 0, name


def test_the_occluder_layer_learns_from_the_occluder_masks() -> None:
    """Without any occluder, the occluder losses vanish; with one, they depend on where it is."""
    torch.manual_seed(0)
    model = build(
        methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet"), SIZES, PREDICT, 3
    )
    model.train()

    def occluder_losses(change: torch.Tensor | None) -> list[float]:
        batch = [item()]
        if change is not None:
            batch[0]["instances"].gt_occluder_masks = BitMasks(change)
        torch.manual_seed(1)
        return [float(loss.detach()) for name, loss in model(batch).items() if "occluder" in name]

    there = item()["instances"].gt_occluder_masks.tensor
    assert occluder_losses(torch.zeros_like(there)) == [0, 0]
    assert min(occluder_losses(None)) > 0
    assert occluder_losses(None) != occluder_losses(there.roll(9, dims=1))


def test_masks_of_each_category_learn_from_their_own_objects_only() -> None:
    """The picture has objects of categories 0 and 2; category 1 has none."""
    torch.manual_seed(0)
    variant = methods.variant(
        detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet", class_agnostic=False
    )
    model = build(variant, SIZES, PREDICT, 3).train()
    losses = model([item()])
    for name in ("target_mask", "target_contour"):
        weight = model.get_parameter(f"roi_heads.mask_head.head.predictors.{name}.predict.weight")
        (gradient,) = torch.autograd.grad(losses[f"loss_{name}"], weight, retain_graph=True)
        assert (gradient.abs().amax((1, 2, 3)) > 0).tolist() == [True, False, True]


def test_a_detection_gets_the_mask_of_its_category() -> None:
    maps = torch.arange(2 * 3, dtype=torch.float32).reshape(2, 3, 1, 1).expand(2, 3, 28, 28)
    branch = RoIMaskBranch(
        as_they_are, Constant({"target_mask": maps, "occluder_mask": -maps[:, :1]}), lambda *_: {}
    ).eval()
    instances = Instances((64, 64))
    instances.pred_classes = torch.tensor([2, 0])
    branch({"p2": torch.zeros(2, 1, 14, 14)}, [instances])
    assert instances.pred_masks[:, 0, 0, 0].tolist() == torch.tensor([2.0, 3.0]).sigmoid().tolist()
    assert instances.occluder_mask[:, 0, 0, 0].tolist() == torch.tensor([0.0, -3.0]).sigmoid().tolist()


@pytest.mark.parametrize(("agnostic", "masks"), [(None, 3), (False, 3), (True, 1)])
def test_mask_rcnn_with_one_mask_for_all_categories(agnostic: bool | None, masks: int) -> None:
    variant = methods.variant(
        detector="faster_rcnn", backbone="efficientnet_lite0", method="mask_rcnn", class_agnostic=agnostic
    )
    model = build(variant, SIZES, PREDICT, 3).train()
    assert len(model.get_parameter("roi_heads.mask_head.predictor.weight")) == masks
    assert torch.isfinite(model([item()])["loss_mask"])


class Constant(torch.nn.Module):
    """A head whose maps are always the same."""

    def __init__(self, maps: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.maps


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet", layer="fcn")
    tensors = build(variant, SIZES, PREDICT, 1).state_dict()
    description = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": PREDICT.model_dump(mode="json"),
        "categories": [{"id": 4, "name": "thing"}],
        "provenance": {"seed": 3},
    }
    save_model(tmp_path / "model.safetensors", tensors, description)
    return tmp_path / "model.safetensors"


def test_a_model_file_is_all_that_is_needed(model_file: Path) -> None:
    model = load_model(model_file)
    assert model.variant.layer == "fcn"
    assert model.provenance == {"seed": 3}
    assert not model.module.training


def test_a_cut_model_file_is_refused(model_file: Path) -> None:
    model_file.write_bytes(model_file.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"model.safetensors: not a safetensors file"):
        load_model(model_file)


@pytest.mark.parametrize(("old", "new"), [("fcn", "fcm"), ('"model"', '"modal"'), ('{"variant"', '["variant"')])
def test_metadata_of_another_kind_is_refused_in_one_line(model_file: Path, old: str, new: str) -> None:
    content = model_file.read_bytes()
    inside = [json.dumps(text)[1:-1].encode() for text in (old, new)]  # JSON within the header's JSON; of equal length
    assert inside[0] in content
    model_file.write_bytes(content.replace(*inside, 1))
    with pytest.raises(InputError, match=r"model.safetensors: metadata: not as this version writes it") as raised:
        load_model(model_file)
    assert "\n" not in str(raised.value)


def test_backbone_weights_that_are_cut_are_refused(tmp_path: Path) -> None:
    write_weights("efficientnet_lite0", tmp_path / "w.safetensors", tmp_path)
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-100])
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet")
    with pytest.raises(InputError, match=r"w.safetensors: "):
        load_backbone(build(variant, SIZES, PREDICT, 3), tmp_path / "w.safetensors")


def test_a_model_file_of_another_shape_is_refused(model_file: Path) -> None:
    about = {"variant": {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}}
    about |= {"model": SIZES.model_dump(mode="json"), "predict": PREDICT.model_dump(mode="json")}
    tensors = build(
        load_model(model_file).variant, SIZES, PREDICT, 1
    ).state_dict()  # of a head without non-local blocks
    save_model(model_file, tensors, {**about, "categories": [{"id": 4}], "provenance": {}})
    with pytest.raises(InputError, match=r"model.safetensors: .*(left over|missing)$") as raised:
        load_model(model_file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("method", ["mask_rcnn", "bcnet"])
def test_the_mask_is_the_target_map_in_its_box_of_the_picture(method: str) -> None:
    """A picture that is resized, not to scale, so that boxes and maps can only agree in its own pixels."""
    torch.manual_seed(0)
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method=method)
    predict = Predict(short_side=64, max_side=90, score_threshold=0)
    model = ModelFile(build(variant, SIZES, predict, 3).eval(), variant, predict, [], {})
    head = model.module.roi_heads.mask_head
    last = head.head.predictors["target_mask"].predict if method == "bcnet" else head.predictor
    torch.nn.init.normal_(last.weight, std=3)  # so that the masks are not all of one sign
    picture = np.random.default_rng(0).integers(0, 255, (30, 57, 3)).astype(np.uint8)
    found = detect(model, picture)
    assert len(found.scores) > 5
    assert set(found.maps) == (set(MAPS) if method == "bcnet" else {"target_mask"})
    for box, mask, probabilities in zip(found.boxes, found.masks, found.maps["target_mask"], strict=True):
        expected = pasted(probabilities, box, 30, 57)
        unsure = abs(expected - 0.5) < 1e-3
        assert (mask == (expected >= 0.5))[~unsure].all()
    assert 0.05 < np.asarray(found.masks).mean() < 0.95


def test_occluder_masks_are_the_occluder_map_in_the_box_where_they_are_asked_for() -> None:
    torch.manual_seed(0)
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method="bcnet")
    predict = Predict(short_side=64, max_side=90, score_threshold=0, occluders=True)
    model = ModelFile(build(variant, SIZES, predict, 3).eval(), variant, predict, [{"id": i} for i in range(3)], {})
    torch.nn.init.normal_(model.module.roi_heads.mask_head.head.predictors["occluder_mask"].predict.weight, std=3)
    picture = np.random.default_rng(0).integers(0, 255, (30, 57, 3)).astype(np.uint8)
    found = detect(model, picture)
    assert found.occluders is not None
    for box, occluder, probabilities in zip(found.boxes, found.occluders, found.maps["occluder_mask"], strict=True):
        expected = pasted(probabilities, box, 30, 57)
        unsure = abs(expected - 0.5) < 1e-3
        assert (occluder == (expected >= 0.5))[~unsure].all()
    assert 0.05 < np.asarray(found.occluders).mean() < 0.95
    entries = results(model, picture, 4)
    assert [decode(each["occluder"], 30, 57).tolist() for each in entries] == np.asarray(found.occluders).tolist()
    silent = results(replace(model, predict=Predict(short_side=64, max_side=90)), picture, 4)
    assert silent == [{key: value for key, value in each.items() if key != "occluder"} for each in entries]


@pytest.mark.parametrize(
    "head",
    [{"method": "mask_rcnn"}, {"method": "bcnet", "structure": "single"}, {"occluder": {"mask": False}}],
)
def test_a_head_without_an_occluder_mask_gives_none(head: dict) -> None:
    variant = methods.variant(**{"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"} | head)
    predict = Predict(short_side=64, max_side=64, score_threshold=0, occluders=True)
    model = ModelFile(build(variant, SIZES, predict, 3).eval(), variant, predict, [{"id": i} for i in range(3)], {})
    entries = results(model, np.zeros((30, 57, 3), np.uint8), 4)
    assert entries
    assert all("occluder" not in each for each in entries)


def test_a_picture_without_detections_has_empty_arrays(model_file: Path) -> None:
    model = load_model(model_file)
    model.module.roi_heads.box_predictor.test_score_thresh = 1.0
    found = detect(model, np.zeros((20, 31, 3), np.uint8))
    assert (found.classes, found.scores, found.boxes.shape) == ([], [], (0, 4))
    assert np.asarray(found.masks).shape == (0, 20, 31)
    assert {name: maps.shape for name, maps in found.maps.items()} == dict.fromkeys(MAPS, (0, 28, 28))


def test_a_model_file_of_version_0_1_is_read(tmp_path: Path) -> None:
    """`method` was called `mask_head` then."""
    keys = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "mask_head": "mask_rcnn"}
    torch.manual_seed(0)
    tensors = build(methods.variant(detector="faster_rcnn", backbone=keys["backbone"], method="mask_rcnn")).state_dict()
    about = {"variant": keys, "model": SIZES.model_dump(), "predict": PREDICT.model_dump(), "provenance": {}}
    save_model(tmp_path / "old.safetensors", tensors, {**about, "categories": [{"id": i} for i in range(3)]})
    model = load_model(tmp_path / "old.safetensors")
    assert model.variant.method == "mask_rcnn"
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.module.state_dict().items())
