"""SipMask++'s scores of masks, by another route, and what they change in training and in what is found."""

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from model_factory import item, with_boxes
from scipy.signal import correlate
from sipmask_golden import model

from bcnet.models.detections import View
from bcnet.models.masks.mask_scorer import MaskScorer, mask_ious, scoring_loss
from bcnet.models.masks.sub_regions import assembled
from bcnet.params.models import FcosPredict


def by_correlation(scorer: MaskScorer, mask: np.ndarray, category: int) -> float:
    """Six convolutions of which every other row and column is kept, a map of the category, its highest cell."""
    maps = mask[None]
    for layer in scorer.layers[::2]:
        weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        full = [correlate(maps, kernel, mode="valid")[0] + start for kernel, start in zip(weights, bias, strict=True)]
        maps = np.maximum(np.stack(full)[:, ::2, ::2], 0)
    weights, bias = scorer.predict.weight.detach().numpy()[category, :, 0, 0], scorer.predict.bias[category].item()
    return float(np.maximum(np.einsum("c,chw->hw", weights, maps) + bias, 0).max())


@pytest.mark.parametrize(("size", "seen"), [((140, 200), (140, 200)), ((80, 60), (127, 127)), ((60, 150), (127, 150))])
def test_the_layers_by_correlation(size: tuple[int, int], seen: tuple[int, int]) -> None:
    torch.manual_seed(0)
    scorer = MaskScorer(classes=3).double()
    torch.nn.init.normal_(scorer.predict.weight, std=0.3)
    for layer in scorer.layers[::2]:
        torch.nn.init.normal_(layer.bias, std=0.1)
    masks = torch.rand(2, *size, dtype=torch.float64)
    scores = scorer.of_masks(masks, torch.tensor([2, 0]))
    for score, mask, category in zip(scores.tolist(), masks.numpy(), (2, 0), strict=True):
        whole = np.zeros(seen)
        whole[: size[0], : size[1]] = mask
        assert score == pytest.approx(by_correlation(scorer, whole, category), rel=1e-9)


def test_the_layers_have_the_authors_sizes_and_start() -> None:
    """3x3 convolutions of 1, 16, 16, 16, 32, 64, 128 channels: variance 2 / outgoing connections."""
    torch.manual_seed(0)
    scorer = MaskScorer(classes=80)
    shapes = [tuple(layer.weight.shape) for layer in scorer.layers[::2]]
    assert shapes == [(16, 1, 3, 3), *2 * [(16, 16, 3, 3)], (32, 16, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3)]
    assert float(scorer.layers[10].weight.std()) == pytest.approx(np.sqrt(2 / (128 * 9)), rel=0.02)
    assert float(scorer.predict.weight.std()) == pytest.approx(0.001, rel=0.03)
    assert all(layer.bias.abs().max() == 0 for layer in (*scorer.layers[::2], scorer.predict))


def test_targets_are_ious_with_whole_objects() -> None:
    """Also where the object leaves the box; 0.1 more in the divisor."""
    predicted, objects = torch.zeros(3, 20, 20) > 0, torch.zeros(3, 20, 20) > 0
    predicted[0, 2:8, 2:10], objects[0, 4:12, 2:10] = True, True  # 48 and 64 cells, 32 of them common
    predicted[1, 2:8, 2:10], objects[1, 2:8, 2:10] = True, True
    objects[2, 2:8, 2:10] = True
    assert mask_ious(predicted, objects).tolist() == pytest.approx([32 / 80.1, 48 / 48.1, 0])


def test_bad_masks_and_small_objects_teach_nothing() -> None:
    predicted = torch.tensor([0.5, 0.9, 0.3, 0.0], requires_grad=True)
    targets, cells = torch.tensor([0.8, 0.1, 0.6, 0.7]), torch.tensor([100, 500, 99, 2000])
    loss = scoring_loss(predicted, targets, cells)
    assert float(loss) == pytest.approx(10 * (0.3**2 + 0.7**2) / 2.1)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert (gradient == 0).tolist() == [False, True, True, False]
    assert float(scoring_loss(predicted[:0], targets[:0], cells[:0])) == 0


def test_what_an_image_teaches() -> None:
    """Cell by cell: the masks that are predicted, cut out by their boxes, against the whole objects."""
    learner = model(classes=3, mask_iou=True)
    basis = torch.rand(32, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    objects = torch.zeros(2, 32, 32) > 0
    objects[0, 3:20, 3:20], objects[1, 10:30, 10:30] = True, True
    instances = Instances(
        (64, 64),
        boxes=torch.tensor([[4.0, 4, 20, 20], [9.5, 11, 31, 25], [2, 2, 8, 9]]),
        coefficients=torch.randn(3, 4, 32, generator=torch.Generator().manual_seed(2)),
        classes=torch.tensor([0, 2, 1]),
        objects=torch.tensor([0, 1, 0]),
    )
    scores, ious, cells = learner.scorer.learned(basis, instances, objects)
    assert cells.tolist() == [17 * 17, 20 * 20, 17 * 17]
    for index, target in enumerate(ious.tolist()):
        mask = assembled(basis, instances.coefficients[index], instances.boxes[index]).detach().numpy() > 0.4
        truth = objects[instances.objects[index]].numpy()
        assert target == pytest.approx((mask & truth).sum() / ((mask | truth).sum() + 0.1))
    assert torch.autograd.grad(scores.sum(), basis, allow_unused=True) == (None,)


def test_scoring_masks_changes_no_other_loss_and_no_start() -> None:
    plain, scored = (with_boxes(model(classes=3, **keys)).train() for keys in ({}, {"mask_iou": True}))
    of_plain, of_scored = plain([item()]), scored([item()])
    loss = of_scored.pop("loss_mask_iou")
    assert {name: float(value) for name, value in of_scored.items()} == {
        name: float(value) for name, value in of_plain.items()
    }
    loss.backward()
    taught = {name.split(".")[0] for name, parameter in scored.named_parameters() if parameter.grad is not None}
    assert taught == {"scorer"}


def test_masks_are_ranked_by_score_times_iou_and_boxes_as_before() -> None:
    """On the picture that the model sees, whose boxes end before their last pixel."""
    plain, scored = (with_boxes(model(classes=3, **keys)).eval() for keys in ({}, {"mask_iou": True}))
    torch.nn.init.normal_(scored.scorer.predict.weight, mean=0.0, std=2.0)
    view = View(item()["image"], flipped=False)
    with torch.no_grad():
        for detector in (plain, scored):
            detector.fcos.settings = FcosPredict(score_threshold=0)
        before, after = (detector.detect([view], (64, 64)) for detector in (plain, scored))
        parts = zip(before.masks.coefficients, before.masks.boxes / 2, strict=True)
        masks = [assembled(before.masks.basis, coefficients, box) for coefficients, box in parts]
        ious = scored.scorer.of_masks(torch.stack(masks), before.classes)
    expected = (before.scores * ious).clamp(max=1)
    order = expected.argsort(descending=True, stable=True)
    torch.testing.assert_close(after.scores, expected[order])
    torch.testing.assert_close(after.box_scores, before.scores[order])
    torch.testing.assert_close(after.boxes, before.boxes[order])
    assert len(set(after.scores.tolist())) > 5
