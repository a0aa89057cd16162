"""Golden numbers of AdelaiDet's methods (tests/golden/README.md): weights, cases, and how close ours come."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import places
import torch
from detectron2.structures import BitMasks, Boxes, ImageList, Instances, PolygonMasks
from PIL import Image
from torch import Tensor

from bcnet.data.masks.segmentation import decode
from bcnet.models.detections import Detected, View
from bcnet.models.detectors.fcos_head import LevelOutput
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

LEVELS = [(32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]  # of the cases of the losses, whose pictures are 256 x 320
LOSSES = {"loss_fcos_cls": "cls", "loss_fcos_box": "loc", "loss_fcos_centerness": "ctr"}  # theirs: loss_fcos_*
PICTURE = np.asarray(Image.open(places.GOLDEN / "adelaidet.png"))  # (256, 320, 3), RGB


def read(method: str, name: str) -> Any:
    return json.loads((places.GOLDEN / method / f"{name}.json").read_text())


def formula(name: str, shape: tuple[int, ...]) -> Tensor:
    """The made-up weight of that name."""
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if name.endswith("running_mean"):
        return 0.05 * normal
    if len(shape) >= 2:
        return normal / normal[0].numel() ** 0.5
    return 1 + 0.05 * normal if name.endswith(("weight", "scale")) else 0.02 * normal


def checkpoint(method: str, more: str | None = None) -> dict[str, Tensor]:
    """All tensors of the authors' checkpoint."""
    shapes = read(method, "state") | (read(method, more) if more else {})
    return {name: formula(name, tuple(shape)) for name, shape in shapes.items()}


def imported(method: str, folder: Path, deviate: bool) -> ModelFile:
    """Their checkpoint as this project reads it; for pictures some of its numbers deviate from the formula."""
    tensors = checkpoint(method)
    for change in read(method, "recipe")["deviations"] if deviate else []:
        tensor = tensors[change["key"]].mul_(change["mul"])
        at = change.get("add_to_index")
        (tensor if at is None else tensor[at]).add_(change["add"])
    torch.save({"model": tensors}, folder / "theirs.pth")
    import_weights(str(folder / "theirs.pth"), folder / "ours.safetensors", folder)
    (folder / "theirs.pth").unlink()
    return load_model(folder / "ours.safetensors")


def levels(generator: torch.Generator) -> dict[str, Tensor]:
    """The features that the head's numbers are of."""
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    return {f"p{n}": torch.randn(1, 256, *size, generator=generator) for n, size in enumerate(sizes, 3)}


def apart(found: Tensor, expected: np.ndarray | Tensor) -> float:
    """The largest difference, over the largest value where that is above one."""
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / max(1.0, float(expected.abs().max())))


def head_apart(found: list[LevelOutput], expected: Any, top: str, part: Callable[[str], slice]) -> dict[str, float]:
    """How far the head's outputs are from theirs, by name.

    Args:
        found: of our head on each level.
        expected: arrays by their names.
        top: their name of the method's own layer.
        part: which channels of it they have, of a level by name.
    """
    far: dict[str, float] = {}
    for number, output in enumerate(found, 3):
        assert output.top is not None
        ours = {"cls": output.logits, "box": output.distances, "ctr": output.centerness}
        for name, values in {**ours, top: output.top[:, part(f"p{number}")]}.items():
            far[name] = max(far.get(name, 0), apart(values, expected[f"{name}_p{number}"]))
    return far


@dataclass
class Case:
    """Outputs of the head, of two pictures or one, that are given, and what is to be learned from them."""

    outputs: list[LevelOutput]
    leaves: dict[str, list[Tensor]]  # by their names: gradients of losses are with respect to these
    images: ImageList
    targets: list[Instances]


def case_of(case: dict[str, Any], top: str, channels: int, generator: torch.Generator, bitmaps: bool = False) -> Case:
    """One of the cases of `losses.json`; the generator goes on to what the method itself needs."""
    count = len(case["images"])

    def drawn(channels: int) -> list[Tensor]:
        return [torch.randn(count, channels, *size, generator=generator) for size in LEVELS]

    leaves = {"cls": [x - 2 for x in drawn(80)], "box": [(x + 2).relu() for x in drawn(4)], "ctr": drawn(1)}
    leaves[top] = [0.5 * x for x in drawn(channels)]
    for maps in leaves.values():
        for each in maps:
            each.requires_grad_()
    outputs = [LevelOutput(*parts[:3], None, parts[3]) for parts in zip(*leaves.values(), strict=True)]
    images = ImageList(torch.zeros(count, 3, 256, 320), [(256, 320)] * count)
    return Case(outputs, leaves, images, [_objects(objects, bitmaps) for objects in case["images"]])


def _objects(objects: list[dict[str, Any]], bitmaps: bool) -> Instances:
    made = Instances((256, 320))
    made.gt_boxes = Boxes(torch.tensor([each["box"] for each in objects], dtype=torch.float32))
    made.gt_classes = torch.tensor([each["class"] for each in objects])
    if bitmaps:
        made.gt_masks = BitMasks(torch.from_numpy(np.stack([decode(e["polygons"], 256, 320) for e in objects])))
    else:
        made.gt_masks = PolygonMasks([[np.array(xy) for xy in each["polygons"]] for each in objects])
    return made


def losses_apart(case: dict[str, Any], losses: dict[str, Tensor], leaves: dict[str, list[Tensor]]) -> dict[str, float]:
    """The relative differences of losses, by their names, and of the norms of their gradients."""
    expected = case["losses"]
    far = {
        name: abs(float(loss.detach()) - expected[name]) / max(expected[name], 1e-9) for name, loss in losses.items()
    }
    for key, norm in case["grad_norms"].items():
        loss, leaf = key.split("/")
        gradients = torch.autograd.grad(losses[loss], leaves[leaf], retain_graph=True, allow_unused=True)
        found = sum(float(each.square().sum()) for each in gradients if each is not None) ** 0.5
        far[key] = abs(found - norm) / max(norm, 1e-9)
    return far


def picture(run: dict[str, Any]) -> Tensor:
    """(3, h, w) uint8, BGR: the upper left part of the picture that a run sees."""
    height, width = run["input_hw"]
    return torch.from_numpy(PICTURE[:height, :width, ::-1].transpose(2, 0, 1).copy())


@dataclass
class Agreement:
    """How far detections are from theirs, each with the one of its category and place."""

    boxes: float  # pixels
    scores: float
    mask_ious: list[float]  # of those that they stored, lowest first
    areas: int  # largest difference of all, in pixels


def detections(model: ModelFile, run: dict[str, Any]) -> Detected:
    """What the model finds in a run's picture, which it sees in its own size."""
    with torch.inference_mode():
        return model.module.detect([View(picture(run), False)], tuple(run["output_hw"]))


def compared(method: str, run: str, found: Detected, undecided: np.ndarray | None = None) -> Agreement:
    """Detections beside theirs, which must be as many, each of them matched once.

    Args:
        method: whose detections.
        run: its name.
        found: ours.
        undecided: (N, H, W) bool, pixels that do not count.
    """
    about, arrays = read(method, "recipe")["runs"][run], np.load(places.GOLDEN / method / "infer.npz")
    expected = {name: arrays[f"{run}_{name}"] for name in ("boxes", "scores", "classes", "areas")}
    size = tuple(about["output_hw"])
    masks = found.masks.paste(size).numpy()
    unsure = np.zeros_like(masks) if undecided is None else undecided
    distances = np.abs(found.boxes.numpy()[:, None] - expected["boxes"]).max(-1)
    distances[found.classes.numpy()[:, None] != expected["classes"]] = np.inf
    theirs = distances.argmin(1)
    assert sorted(theirs) == list(range(len(expected["boxes"])))
    areas = np.abs(masks.sum((1, 2)) - expected["areas"][theirs]) - unsure.sum((1, 2))
    ious = []
    for ours, place in enumerate(theirs):
        if place < len(about["masks"]):
            mask, own = decode(about["masks"][place], *size) & ~unsure[ours], masks[ours] & ~unsure[ours]
            union = (mask | own).sum()
            ious.append(float((mask & own).sum() / union) if union else 1.0)
    scores = np.abs(found.scores.numpy() - expected["scores"][theirs])
    return Agreement(float(distances.min(1).max()), float(scores.max()), sorted(ious), max(0, int(areas.max())))
