"""PANet is equal to what its authors' code gave; `test_panet_heads.py` has its parts by themselves.

The whole model stands on an older code base, whose conventions an imported model has.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from golden_factory import Golden, overlaps, partners, picture
from model_factory import PREDICT, SIZES
from torch import Tensor, nn

from bcnet.methods import build as build_method
from bcnet.models.conventions import PANET
from bcnet.models.detections import View
from bcnet.models.layers.adaptive_pooling import LevelPooler
from bcnet.models.segmenter import Spec
from bcnet.params import methods
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

GOLDEN = Golden("panet")
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
