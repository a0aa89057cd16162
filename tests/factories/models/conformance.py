"""What every method must do, on each detector it stands on: one check a function, given the method's variant."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks
from model_factory import PREDICT, SIZES, build, item, with_boxes
from torch import Tensor

from bcnet.inference.detect import Detections, detect
from bcnet.inference.predict import results
from bcnet.models.segmenter import Segmenter
from bcnet.params.methods import METHODS
from bcnet.params.models import FcosPredict, Predict, Schedule, SOLOv2Predict
from bcnet.params.variants import Variant
from bcnet.training.loop import step
from bcnet.training.schedule import make_optimizer
from bcnet.weights.model_file import ModelFile, load_model, save_model

CATEGORIES = [{"id": 3, "name": "a"}, {"id": 17, "name": "b"}, {"id": 90, "name": "c"}]
SCHEDULE = Schedule(
    iterations=40, batch=4, optimizer="adamw", lr=1e-3, warmup=0, short_side=(64,), max_side=64, clip_gradients=10
)
EVERYTHING = Predict(
    short_side=64,
    max_side=64,
    score_threshold=0,
    fcos=FcosPredict(score_threshold=0),
    solov2=SOLOv2Predict(score_threshold=0),
)


def model_of(variant: Variant, classes: int = 3) -> Segmenter:
    """Its model with random weights, the same at each call."""
    torch.manual_seed(0)
    return with_boxes(build(variant, SIZES, EVERYTHING, classes))


def file_of(variant: Variant) -> ModelFile:
    return ModelFile(model_of(variant).eval(), variant, EVERYTHING, CATEGORIES, {})


def without_objects() -> dict[str, Any]:
    picture = item()
    picture["instances"] = picture["instances"][torch.zeros(2, dtype=torch.bool)]
    return picture


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def losses_are_finite_and_reach_the_backbone(variant: Variant, folder: Path) -> None:
    model = model_of(variant).train()
    losses = model([item(), item()])
    assert losses
    weights = [weight for weight in model.backbone.bottom_up.parameters() if weight.requires_grad]
    for name, loss in losses.items():
        assert name.startswith("loss_")
        assert loss.shape == ()
        assert torch.isfinite(loss), name
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), name


def a_batch_without_objects_has_finite_losses_and_all_gradients(variant: Variant, folder: Path) -> None:
    """All, since DistributedDataParallel waits for each parameter."""
    model = model_of(variant).train()
    losses = model([without_objects(), without_objects()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    total(losses).backward()
    assert [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None] == []


def a_picture_without_objects_has_no_part_in_a_mask_loss(variant: Variant, folder: Path) -> None:
    model = model_of(variant).train()
    torch.manual_seed(1)
    alone = {name: float(loss.detach()) for name, loss in model([item(), without_objects()]).items()}
    assert all(np.isfinite(value) for value in alone.values())


def shapes_fit(detections: Detections, height: int, width: int) -> None:
    count = len(detections.scores)
    assert detections.scores == sorted(detections.scores, reverse=True)
    assert detections.boxes.shape == (count, 4)
    masks = np.asarray(detections.masks)
    assert (masks.shape, masks.dtype) == ((count, height, width), bool)
    assert all(0 <= score <= 1 for score in detections.scores)
    assert all(0 <= index < len(CATEGORIES) for index in detections.classes)
    for maps in detections.maps.values():
        assert len(maps) == count
        assert (maps >= 0).all()
        assert (maps <= 1).all()


def an_empty_picture(variant: Variant, folder: Path) -> None:
    shapes_fit(detect(file_of(variant), np.zeros((40, 56, 3), np.uint8)), 40, 56)


def a_picture_smaller_than_a_stride(variant: Variant, folder: Path) -> None:
    small = PREDICT.model_copy(update={"short_side": 32, "max_side": 32})
    model = replace(file_of(variant), predict=small)
    picture = np.full((2, 40, 3), 90, np.uint8)  # two pixels high, also for the model
    shapes_fit(detect(model, picture), 2, 40)


def a_saved_model_is_the_same_bytes_when_it_is_saved_again(variant: Variant, folder: Path) -> None:
    about = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": SIZES.model_dump(mode="json"),
        "predict": EVERYTHING.model_dump(mode="json"),
        "categories": CATEGORIES,
        "provenance": {},
    }
    model = model_of(variant)
    save_model(folder / "first.safetensors", model.state_dict(), about)
    loaded = load_model(folder / "first.safetensors")
    assert loaded.variant == variant
    save_model(folder / "second.safetensors", loaded.module.state_dict(), about)
    assert (folder / "first.safetensors").read_bytes() == (folder / "second.safetensors").read_bytes()


def pictures() -> list[dict[str, Any]]:
    """Eight pictures of one or two squares, each category of its own colour."""
    made = []
    for number in range(8):
        picture, instances = item(), item()["instances"]
        image = torch.zeros(3, 64, 64, dtype=torch.uint8)
        shift = 2 * (number % 4)
        masks = torch.roll(instances.gt_masks.tensor, (shift, -shift), (1, 2))
        for channel, mask in enumerate(masks):
            image[2 * channel][mask] = 200
        instances.gt_masks = BitMasks(masks)
        instances.gt_occluder_masks = BitMasks(torch.roll(instances.gt_occluder_masks.tensor, (shift, -shift), (1, 2)))
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        made.append({**picture, "image": image, "instances": instances})
    return made


def trained(variant: Variant, iterations: int, stop_at: int | None = None) -> tuple[Segmenter, list[float]]:
    """The model and its losses; `stop_at`: from a model and an optimizer that were saved then and read again."""
    model, batch = model_of(variant).train(), pictures()
    optimizer, scaler = make_optimizer(model, SCHEDULE), torch.amp.GradScaler(enabled=False)
    losses = []
    for iteration in range(iterations):
        if iteration == stop_at:
            file = io.BytesIO()
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
            torch.manual_seed(99)
            model = build(variant, SIZES, EVERYTHING, 3).train()
            optimizer = make_optimizer(model, SCHEDULE)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        torch.manual_seed(iteration)
        four = [batch[(4 * iteration + place) % 8] for place in range(4)]
        losses.append(float(total(step(model, four, optimizer, scaler, SCHEDULE, iteration))))
    return model, losses


def a_resumed_training_ends_with_the_same_bytes(variant: Variant, folder: Path) -> None:
    undisturbed, losses = trained(variant, 4)
    resumed, again = trained(variant, 4, stop_at=2)
    assert losses == again
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def it_learns_eight_pictures(variant: Variant, folder: Path) -> None:
    slow = getattr(variant, "detector", None) == "faster_rcnn"  # whose losses fall half as fast
    _, losses = trained(variant, SCHEDULE.iterations if slow else SCHEDULE.iterations // 2)
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:4])


def views_are_merged_where_the_table_says_so(variant: Variant, folder: Path) -> None:
    """Otherwise `params.load` refuses them, which `test_params.py` sees."""
    if not METHODS[variant.method].merges_views:
        return
    both = replace(file_of(variant), predict=EVERYTHING.model_copy(update={"flip": True, "extra_short_sides": (48,)}))
    shapes_fit(detect(both, item()["image"].permute(1, 2, 0).numpy()), 64, 64)


def the_masks_are_what_is_learned(variant: Variant, folder: Path) -> None:
    """Visible or amodal ones: whatever stands in `gt_masks` changes a loss."""
    losses = []
    for amodal in (False, True):
        picture = item()
        if amodal:
            whole = picture["instances"].gt_masks.tensor.clone()
            whole[0, 8:40, 8:40] = True
            picture["instances"].gt_masks = BitMasks(whole)
        torch.manual_seed(1)
        losses.append(float(total(model_of(variant).train()([picture])).detach()))
    assert losses[0] != losses[1]


def one_category(variant: Variant, folder: Path) -> None:
    picture = item()
    picture["instances"].gt_classes[:] = 0
    model = model_of(variant, classes=1)
    assert torch.isfinite(total(model.train()([picture])))
    image = picture["image"].permute(1, 2, 0).numpy()
    found = detect(ModelFile(model.eval(), variant, EVERYTHING, CATEGORIES[:1], {}), image)
    assert set(found.classes) <= {0}


def categories_with_gaps(variant: Variant, folder: Path) -> None:
    entries = results(file_of(variant), item()["image"].permute(1, 2, 0).numpy(), 5)
    assert entries
    assert {entry["category_id"] for entry in entries} <= {3, 17, 90}


CHECKS: list[Callable[[Variant, Path], None]] = [
    losses_are_finite_and_reach_the_backbone,
    a_batch_without_objects_has_finite_losses_and_all_gradients,
    a_picture_without_objects_has_no_part_in_a_mask_loss,
    an_empty_picture,
    a_picture_smaller_than_a_stride,
    a_saved_model_is_the_same_bytes_when_it_is_saved_again,
    a_resumed_training_ends_with_the_same_bytes,
    it_learns_eight_pictures,
    views_are_merged_where_the_table_says_so,
    the_masks_are_what_is_learned,
    one_category,
    categories_with_gaps,
]
checks = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
