"""A training step of FCOS BCNet is the authors': losses, RoIs, targets, gradients, update, and five iterations.

`golden/train_fcos_bcnet` holds what their code gave on a CPU. Bounds are what rounding alone reaches: without oneDNN
or with two threads losses moved by 2.5e-7, gradient norms by 1.3e-4 (query and key of the non-local blocks: 1.7e-3),
parameters after five iterations by 7e-7, and losses on the way by 1.4e-4.
"""

import json
import zlib
from typing import Any, NamedTuple

import numpy as np
import places
import pytest
import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances, PolygonMasks, pairwise_iou
from model_factory import build
from released_files import released_shapes
from safetensors.torch import load_file
from torch import Tensor

from bcnet.files import write_json
from bcnet.models.detectors.fcos import FCOS
from bcnet.models.detectors.fcos_head import LevelOutput
from bcnet.models.detectors.fcos_targets import assign, distances_to, locate
from bcnet.models.detectors.mask_roi_heads import training_rois
from bcnet.models.masks.losses import contour
from bcnet.params import methods
from bcnet.params.models import Model, Predict, Schedule
from bcnet.training.loader import TrainingPictures
from bcnet.training.loop import step
from bcnet.training.schedule import learning_rate, make_optimizer
from bcnet.weights.import_weights import import_weights

GOLDEN = places.GOLDEN / "train_fcos_bcnet"
NUMBERS: dict[str, Any] = json.loads((GOLDEN / "numbers.json").read_text())
ANNOTATIONS: dict[str, Any] = json.loads((GOLDEN / "annotations.json").read_text())
LOSSES = {  # the released code's names, and ours
    "loss_cls": "loss_fcos_cls",
    "loss_reg": "loss_fcos_box",
    "loss_centerness": "loss_fcos_centerness",
    "loss_mask": "loss_target_mask",
    "loss_mask_bo": "loss_occluder_mask",
    "loss_boundary": "loss_target_contour",
    "loss_boundary_bo": "loss_occluder_contour",
}
MAPS = {"mask": "target_mask", "contour": "target_contour"} | {
    f"occluder_{kind}": f"occluder_{kind}" for kind in ("mask", "contour")
}
VARIANT = methods.variant(
    detector="fcos", backbone="resnet50", method="bcnet", mask_rois="ground_truth", mask_targets="polygons"
)
RELEASED = Schedule.model_validate(  # configs/fcos/fcos_imprv_R_50_FPN.yaml; its optimizer decays norms, too
    {"iterations": 90_000, "steps": [60_000, 80_000], "batch": 16, "lr": 0.01, "weight_decay_norm": 1e-4}
    | {"short_side": [600], "max_side": 900}
)


def formula(name: str, shape: tuple[int, ...]) -> Tensor:
    """The made-up weight of that name (`weights` in the golden numbers' recipe)."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    normal = torch.randn(shape, generator=generator)
    if name == "head.bbox_pred.bias":
        return 3 + 0.5 * normal
    if name == "head.cls_logits.bias":
        return 0.02 * normal - 4
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if name.endswith("running_mean"):
        return 0.05 * normal
    if len(shape) > 1:
        return normal / np.sqrt(normal[0].numel())
    return 1 + 0.05 * normal if name.endswith(("weight", "scale")) else 0.02 * normal


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Those weights, taken over from a checkpoint as the authors' code writes it."""
    folder = tmp_path_factory.mktemp("released")
    shapes = released_shapes((3, 4, 6, 3))
    torch.save({name: formula(name, shape) for name, shape in shapes.items()}, folder / "released.pth")
    import_weights(str(folder / "released.pth"), folder / "model.safetensors", folder)
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def ours(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Our name of each tensor of theirs: that of the tensor which takes over its numbers."""
    by_content = {tensor.numpy().tobytes(): name for name, tensor in weights.items() if tensor.ndim}
    shapes = {name: shape for name, shape in released_shapes((3, 4, 6, 3)).items() if shape}
    return {name: by_content[formula(name, shape).numpy().tobytes()] for name, shape in shapes.items()}


def released_model(weights: dict[str, Tensor]) -> GeneralizedRCNN:
    model = build(VARIANT, Model(), Predict(short_side=600, max_side=900), 80)
    model.load_state_dict(weights)
    return model.train()


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The two pictures as this project's loader gives them, unscaled, with the authors' own occluder polygons."""
    folder = tmp_path_factory.mktemp("golden")
    annotations = [{**a, "occluder": None} for a in ANNOTATIONS["annotations"]]
    write_json(folder / "train.json", ANNOTATIONS | {"annotations": annotations})
    items = []
    for index, image in enumerate(ANNOTATIONS["images"]):
        size = {"short_side": [min(image["height"], image["width"])], "max_side": 256, "flip": 0.0}
        schedule = Schedule.model_validate(RELEASED.model_dump() | size)
        pictures = TrainingPictures(
            folder / "train.json", GOLDEN, schedule, 0, "BGR", VARIANT.masks, VARIANT.mask_targets
        )
        item = pictures[(0, 0, index)]
        assert item["image"].shape == (3, image["height"], image["width"])
        outlines = [a["bg_object_segmentation"] for a in annotations if a["image_id"] == image["id"]]
        item["instances"].gt_occluder_masks = PolygonMasks([[np.array(p) for p in polygons] for polygons in outlines])
        items.append(item)
    return items


class Step(NamedTuple):
    """Losses by name, the gradient of each trained parameter, and the model's tensors after the forward pass."""

    losses: dict[str, float]
    gradients: dict[str, Tensor]
    tensors: dict[str, Tensor]


@pytest.fixture(scope="module")
def first(weights: dict[str, Tensor], batch: list[dict[str, Any]]) -> Step:
    """Forward and backward, without an update."""
    model = released_model(weights)
    losses = model(batch)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return Step({name: float(loss.detach()) for name, loss in losses.items()}, gradients, model.state_dict())


def assert_begins(tensors: dict[str, Tensor], ours: dict[str, str], theirs: dict[str, list[float]]) -> None:
    """The first four numbers of each tensor, but of counters, are theirs."""
    for name, values in theirs.items():
        if not name.endswith("num_batches_tracked"):
            assert tensors[ours[name]].flatten()[:4].tolist() == pytest.approx(values, rel=1e-4, abs=1e-5), name


def renamed(theirs: dict[str, float]) -> dict[str, float]:
    return {LOSSES[name]: value for name, value in theirs.items()}


def test_losses(first: Step) -> None:
    assert first.losses == pytest.approx(renamed(NUMBERS["losses"]), rel=1e-5)


def test_gradients(first: Step, ours: dict[str, str]) -> None:
    assert len(first.gradients) == NUMBERS["gradients"]["trainable"]
    total = torch.stack([gradient.double().norm() for gradient in first.gradients.values()]).norm()
    assert float(total) == pytest.approx(NUMBERS["gradients"]["total_norm"], rel=1e-3)
    for name, norm in NUMBERS["gradients"]["norms"].items():
        tolerance = 1e-2 if "query" in name or "key" in name else 1e-3
        assert float(first.gradients[ours[name]].double().norm()) == pytest.approx(norm, rel=tolerance), name


def test_every_roi_learns_its_object(batch: list[dict[str, Any]]) -> None:
    """Only true boxes train the mask head there, in the order of the pictures' objects."""
    nothing = Boxes(torch.empty(0, 4))
    rois = []
    for picture, item in enumerate(batch):
        objects = item["instances"]
        chosen = training_rois(Instances(objects.image_size, pred_boxes=nothing), objects, 128)
        assert len(chosen) == len(objects)
        boxes = chosen.proposal_boxes.tensor.tolist()
        rois += [{"picture": picture, "object": index, "box": box} for index, box in enumerate(boxes)]
    assert [{**roi, "box": pytest.approx(roi["box"], abs=1e-3)} for roi in NUMBERS["rois"]] == rois


def test_every_location_learns_as_theirs(batch: list[dict[str, Any]]) -> None:
    strides, ranges = [8, 16, 32, 64, 128], [(0.0, 64), (64, 128), (128, 256), (256, 512), (512, float("inf"))]
    places = locate([(256 // stride, 256 // stride) for stride in strides], strides, ranges, torch.device("cpu"))
    positive = torch.stack([assign(item["instances"].gt_boxes.tensor, places) >= 0 for item in batch]).sum(0)
    counts = [int(level.sum()) for level in positive.split(places.counts)]
    assert counts == NUMBERS["positive_locations_per_level"]


def test_targets_of_every_roi(batch: list[dict[str, Any]]) -> None:
    """Polygons are drawn inside the RoI: not a pixel of 28,224 is another."""
    masks = {
        layer: torch.cat([i["instances"].get(field).crop_and_resize(i["instances"].gt_boxes.tensor, 28) for i in batch])
        for layer, field in (("target", "gt_masks"), ("occluder", "gt_occluder_masks"))
    }
    for theirs, name in MAPS.items():
        layer, kind = name.split("_")
        found = contour(masks[layer]) if kind == "contour" else masks[layer]
        rows = [np.packbits(roi.numpy()).tobytes().hex() for roi in found]
        assert rows == NUMBERS["targets"][theirs], name


def test_the_optimizer_changes_the_weights_as_theirs(
    first: Step, weights: dict[str, Tensor], ours: dict[str, str]
) -> None:
    """One step at a rate of 0.01: everything decays, norms as well."""
    model = released_model(weights)
    for name, gradient in first.gradients.items():
        model.get_parameter(name).grad = gradient.clone()
    optimizer = make_optimizer(model, RELEASED)
    (theirs,) = NUMBERS["step"]["groups"]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == theirs["count"]
    for group in optimizer.param_groups:
        assert all(group[key] == theirs[key] for key in ("lr", "weight_decay", "momentum"))
    optimizer.step()
    assert_begins(model.state_dict(), ours, NUMBERS["step"]["after"])
    assert_begins(first.tensors, ours, NUMBERS["step"]["buffers"])


def test_five_iterations(weights: dict[str, Tensor], batch: list[dict[str, Any]], ours: dict[str, str]) -> None:
    """From the first of the warm-up on, by `step`, which training takes."""
    model = released_model(weights)
    optimizer = make_optimizer(model, RELEASED)
    scaler = torch.amp.GradScaler(enabled=False)
    for theirs in NUMBERS["trajectory"]["iterations"]:
        losses = step(model, batch, optimizer, scaler, RELEASED, theirs["iteration"])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(theirs["lr"], rel=1e-9)
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        assert found == pytest.approx(renamed(theirs["losses"]), rel=5e-4)
    assert_begins(model.state_dict(), ours, NUMBERS["trajectory"]["after"])


@pytest.mark.parametrize("picture", [0, 1])
def test_a_picture_alone(picture: int, weights: dict[str, Tensor], batch: list[dict[str, Any]]) -> None:
    """With a padding and batch statistics of its own."""
    losses = released_model(weights)([batch[picture]])
    found = {name: float(loss.detach()) for name, loss in losses.items()}
    assert found == pytest.approx(renamed(NUMBERS["single_pictures"][picture]), rel=1e-5)


def test_rates_of_the_released_schedule() -> None:
    expected = {int(iteration): rate for iteration, rate in NUMBERS["learning_rates"].items()}
    assert {i: learning_rate(RELEASED, i) for i in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("by_stride", "key"), [(False, "perfect_as_released"), (True, "perfect_multiplied_by_stride")])
def test_no_proposal_trains_the_mask_head_there(batch: list[dict[str, Any]], by_stride: bool, key: str) -> None:
    """Thread 43 of the tracker: with perfect outputs, but for the stride, no proposal overlaps an object by half.

    This project multiplies by the stride (`mask_rois: proposals`), or takes the true boxes alone (`ground_truth`).
    """
    strides = {f"p{level}": 2**level for level in range(3, 8)}
    detector = FCOS(32, 80, strides, (64, 128, 256, 512), Predict(short_side=600, max_side=900).fcos, 100, True)
    sizes = [(256 // stride, 256 // stride) for stride in strides.values()]
    places = locate(sizes, list(strides.values()), detector.ranges, torch.device("cpu"))
    for picture, item in enumerate(batch):
        boxes = item["instances"].gt_boxes.tensor
        index = assign(boxes, places)
        learnt = (index >= 0)[:, None]
        distances = distances_to(boxes[index.clamp(min=0)], places.points).clamp(min=0) / places.strides * learnt
        if not by_stride:
            distances = distances / places.strides
        logits = torch.full((len(index), 80), -9.0)
        logits[learnt[:, 0], item["instances"].gt_classes[index[learnt[:, 0]]]] = 9.0
        outputs = []
        for size, reach, scores in zip(sizes, distances.split(places.counts), logits.split(places.counts), strict=True):
            maps = [part.T.reshape(1, -1, *size) for part in (scores, reach, torch.zeros(len(reach), 1))]
            outputs.append(LevelOutput(*maps, torch.empty(0)))
        (found,) = detector.train().detect(outputs, places, [item["instances"].image_size])
        best = pairwise_iou(found.pred_boxes, Boxes(boxes)).max(1).values if len(found) else torch.zeros(1)
        assert int((best >= 0.5).sum()) == NUMBERS["thread43"][key]["iou_at_least_0.5"][picture]
