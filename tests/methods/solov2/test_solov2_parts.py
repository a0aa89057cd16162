"""SOLOv2's rules, each against a slow reference, and the limits of training and prediction."""

from pathlib import Path
from typing import Any

import numpy as np
import places
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from model_factory import item
from ruamel.yaml import YAML
from solov2_factory import EVERYTHING, model
from torch import nn

from bcnet import params
from bcnet.files import InputError
from bcnet.methods import solov2
from bcnet.methods.solov2 import category_loss, dice_loss, measured, probabilities, quartered
from bcnet.models.masks.grid_head import GridHead, MaskFeatures, with_coordinates
from bcnet.params.models import Predict, SOLOv2Predict

# --- by another route


def test_coordinates_are_x_then_y_of_the_level_itself() -> None:
    maps = with_coordinates(torch.zeros(2, 3, 4, 6))
    assert maps.shape == (2, 5, 4, 6)
    for row, column in np.ndindex(4, 6):
        assert maps[1, 3:, row, column].tolist() == pytest.approx([2 * column / 5 - 1, 2 * row / 3 - 1])


def test_the_masks_of_kernels_by_loops() -> None:
    generator = torch.Generator().manual_seed(1)
    kernels = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    shared = torch.randn(5, 4, 6, generator=generator, dtype=torch.float64)
    drawn = probabilities(kernels, shared)
    areas, certainties = measured(kernels, shared)
    assert drawn.shape == (7, 4, 6)
    for index, kernel in enumerate(kernels.tolist()):
        inside = []
        for row, column in np.ndindex(4, 6):
            logit = sum(weight * value for weight, value in zip(kernel, shared[:, row, column].tolist(), strict=True))
            assert float(drawn[index, row, column]) == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-12)
            inside += [1 / (1 + np.exp(-logit))] if logit > 0 else []
        assert int(areas[index]) == len(inside)
        assert float(certainties[index]) == pytest.approx(sum(inside) / len(inside), rel=1e-12)
    nothing, certainty = measured(torch.zeros(1, 5, dtype=torch.float64), shared)  # 0.5 is not inside
    assert (nothing.tolist(), certainty.tolist()) == ([0], [0])


def test_dice_of_each_mask() -> None:
    generator = torch.Generator().manual_seed(5)
    drawn = torch.rand(3, 6, 5, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 6, 5, generator=generator) < 0.4
    masks[2] = False
    for loss, p, mask in zip(dice_loss(drawn, masks), drawn.numpy(), masks.numpy(), strict=True):
        expected = 1 - 2 * p[mask].sum() / ((p**2).sum() + 0.001 + mask.sum() + 0.001)
        assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_focal_loss_of_each_cell() -> None:
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(9, 3, generator=generator)
    classes = torch.tensor([-1, 2, -1, 0, 0, -1, 1, -1, -1])
    total = 0.0
    for row, category in zip(logits.double().numpy(), classes.tolist(), strict=True):
        for place, logit in enumerate(row):
            p = 1 / (1 + np.exp(-logit))
            total -= 0.25 * (1 - p) ** 2 * np.log(p) if place == category else 0.75 * p**2 * np.log(1 - p)
    assert float(category_loss(logits, classes)) == pytest.approx(total / 5, rel=1e-5)


def test_categories_do_not_see_coordinates_and_kernels_and_p5_do() -> None:
    """A picture whose features are mirrored has mirrored categories, but other kernels and other mask features."""
    torch.manual_seed(0)
    head, shared = GridHead(32, 3, (8, 6, 4, 4, 2)).double(), MaskFeatures(32).double()
    for module in (head, shared):
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):  # mirrored filters see in a mirrored picture what they saw in the first
                with torch.no_grad():
                    layer.weight.copy_(layer.weight + layer.weight.flip(-1))
    generator = torch.Generator().manual_seed(2)
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    levels = {
        f"p{n}": torch.randn(1, 32, *size, generator=generator, dtype=torch.float64) for n, size in enumerate(sizes, 2)
    }
    mirrored = {name: level.flip(-1) for name, level in levels.items()}
    (logits, kernels), (logits_of_mirrored, kernels_of_mirrored) = head(levels), head(mirrored)
    for ours, other in zip(logits, logits_of_mirrored, strict=True):
        torch.testing.assert_close(ours.flip(-1), other)
    for ours, other in zip(kernels, kernels_of_mirrored, strict=True):
        assert (ours.flip(-1) - other).abs().max() > 0.1 * ours.std()
    assert (shared(levels).flip(-1) - shared(mirrored)).abs().max() > 0.01
    without = dict(levels, p5=torch.zeros_like(levels["p5"]))
    assert not torch.equal(shared(levels), shared(without))


# --- training and its limits


def test_more_objects_than_opencv_takes_at_once() -> None:
    """600 of a picture, whose targets are those of each alone."""
    masks = torch.zeros(600, 64, 96, dtype=torch.bool)
    for index, mask in enumerate(masks):
        row, column = 2 * (index // 40), 2 * (index % 40)
        mask[row : row + 9, column : column + 9 + index % 3] = True
    together = quartered(masks, (16, 24))
    assert torch.equal(together, torch.cat([quartered(mask[None], (16, 24)) for mask in masks]))
    picture = item()
    objects = Instances((64, 96))
    objects.gt_masks, objects.gt_classes = BitMasks(masks), torch.arange(600) % 3
    objects.gt_boxes = objects.gt_masks.get_bounding_boxes()
    learner = model(classes=3, channels=32, grids=(24, 12, 8, 4, 2)).train()
    image = nn.functional.pad(picture["image"], (0, 32))
    losses = learner([{"image": image, "instances": objects}])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_targets_lie_in_the_upper_left_of_the_padded_picture() -> None:
    """A picture of 50 x 70 pixels in a batch of 64 x 96: its own size is resized, to 13 x 18."""
    masks = torch.ones(1, 50, 70, dtype=torch.bool)
    result = quartered(masks, (16, 24))
    expected = torch.zeros(1, 16, 24, dtype=torch.bool)
    expected[:, :13, :18] = True
    assert torch.equal(result, expected)
    assert quartered(torch.ones(1, 1, 1, dtype=torch.bool), (8, 8)).sum() == 1


def test_a_batch_in_which_no_cell_learns_a_mask() -> None:
    """An object that is too small for every level: all cells are background, and every weight has a gradient."""
    learner, picture = model(classes=3, channels=32).train(), item()
    boxes = torch.tensor([[8.0, 8, 8.5, 8.5], [20, 20, 20.5, 20.5]])
    picture["instances"].gt_boxes = Boxes(boxes)
    losses = learner([picture])
    assert float(losses["loss_mask"].detach()) == 0
    assert 0 < float(losses["loss_cls"].detach()) < np.inf
    sum(losses.values()).backward()
    assert [name for name, weight in learner.named_parameters() if weight.requires_grad and weight.grad is None] == []


def test_a_fresh_model_starts_as_theirs() -> None:
    state = model(classes=3).state_dict()
    assert state["head.cate_pred.bias"].tolist() == pytest.approx([-4.59512] * 3)
    assert not state["head.kernel_pred.bias"].any()
    for name in ("head.cate_tower.0.weight", "mask_features.merge.0.weight", "head.kernel_pred.weight"):
        assert float(state[name].std()) == pytest.approx(0.01, rel=0.05)


# --- test time


def detections(predict: Predict, monkeypatch: pytest.MonkeyPatch, together: int = 50) -> Any:
    """What a model whose cells are sure of many things finds in a picture of 64 pixels."""
    monkeypatch.setattr(solov2, "TOGETHER", together)
    detector = model(classes=3, channels=32, predict=predict).eval()
    generator = torch.Generator().manual_seed(3)
    for layer, bias in ((detector.head.cate_pred, -1.0), (detector.head.kernel_pred, -0.05)):
        layer.weight.data = 0.1 * torch.randn(layer.weight.shape, generator=generator)
        nn.init.constant_(layer.bias, bias)
    with torch.inference_mode():
        images = detector._normalised([item()["image"]])
        return detector.find(images, detector.backbone(images.tensor))


def test_masks_are_drawn_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, counts = solov2.probabilities, []
    monkeypatch.setattr(solov2, "probabilities", lambda kernels, _: (counts.append(len(kernels)), drawn(kernels, _))[1])
    few = detections(EVERYTHING, monkeypatch, together=7)
    assert max(counts[:-1]) == 7 < len(few.scores) == counts[-1] == 100
    many = detections(EVERYTHING, monkeypatch, together=10_000)
    torch.testing.assert_close(few.scores, many.scores)
    assert few.classes.tolist() == many.classes.tolist()


def test_each_setting_of_test_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def result(score_threshold: float = 0, limit: int = 100, **own: Any) -> Any:
        settings = SOLOv2Predict(**{"score_threshold": 0.0, **own})
        predict = Predict(
            short_side=64, max_side=64, score_threshold=score_threshold, detections=limit, solov2=settings
        )
        return detections(predict, monkeypatch)

    everything = result()
    scores = everything.scores.tolist()
    assert scores == sorted(scores, reverse=True)
    assert len(result(limit=9).scores) == 9
    threshold = scores[30]
    assert len(result(score_threshold=threshold).scores) == 31  # one that has it is kept
    assert len(result(candidates=12).scores) == 12
    assert result(nms="linear").scores.tolist() != scores
    assert result(sigma=0.5).scores.sum() > everything.scores.sum()
    strict = SOLOv2Predict(score_threshold=1.0)
    nothing = detections(Predict(short_side=64, max_side=64, solov2=strict), monkeypatch)
    assert nothing.masks.paste((64, 64)).shape == (0, 64, 64)


def test_views_are_refused(tmp_path: Path) -> None:
    """Matrix NMS over several views is defined nowhere."""
    content = YAML().load(places.ROOT / "presets/shapes.yaml")
    content["predict"]["flip"] = True
    content["variants"] = {"own": content["variants"]["solov2"]}
    del content["tables"]["compare_to"]
    YAML().dump(content, tmp_path / "params.yaml")
    with pytest.raises(InputError, match=r"variants\.own: method: solov2: sees one view only, see `predict`"):
        params.load(tmp_path / "params.yaml")
