"""SipMask computes what its authors' two code bases do. `test_sipmask_parts.py` has its layers and its loss."""

from typing import Any

import numpy as np
import pytest
import sipmask_golden as golden
import torch
from detectron2.structures import Boxes
from golden_factory import overlaps, partners
from torch import Tensor

from bcnet.methods.sipmask import MMDETECTION_NAMES, OFFICIAL_NAMES, SipMaskModel
from bcnet.models.detections import Detected
from bcnet.models.detectors.fcos import STRIDES
from bcnet.models.detectors.fcos_targets import locate
from bcnet.models.masks.sub_regions import assembled, cells_in
from bcnet.params.models import FcosPredict, Model
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import ModelFile, load_model

NAMES = {"benchmark": OFFICIAL_NAMES, "mmdetection": MMDETECTION_NAMES}
CASES = [(edition, case) for edition, theirs in golden.EDITIONS.items() for case in theirs.read("losses")["cases"]]


@pytest.fixture(params=golden.EDITIONS)
def edition(request: pytest.FixtureRequest) -> str:
    return request.param


def near(found: Tensor, expected: np.ndarray) -> float:
    """The largest difference, over the largest value."""
    assert found.shape == expected.shape
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


def with_their_head(edition: str) -> SipMaskModel:
    """The numbers of the authors' checkpoint in the head and the layers of the bases."""
    ours = golden.model(sizes=Model(), edition=edition).eval()
    state = ours.state_dict()
    for name, tensor in golden.EDITIONS[edition].tensors("rpn.head.", "bbox_head.", changed=False).items():
        old = max((old for old in NAMES[edition] if name.startswith(old)), key=len)
        own = NAMES[edition][old] + name.removeprefix(old)
        state[own] = tensor.reshape(state[own].shape)
    ours.load_state_dict(state)
    return ours


def test_the_head_is_theirs(edition: str) -> None:
    ours, expected = with_their_head(edition), golden.EDITIONS[edition].arrays("head")
    features, _ = golden.levels()
    with torch.no_grad():
        outputs, _ = ours.fcos.predict(features)
        far = {"basis": near(ours.basis(outputs), expected["feat_masks"])}
    for level, (output, stride) in enumerate(zip(outputs, STRIDES.values(), strict=True)):
        far[f"logits {level}"] = near(output.logits, expected[f"cls{level}"])
        far[f"boxes {level}"] = near(output.distances * stride, expected[f"bbox{level}"])
        far[f"centerness {level}"] = near(output.centerness, expected[f"ctr{level}"])
        far[f"coefficients {level}"] = near(output.top, expected[f"cof{level}"])
    assert max(far.values()) < 1e-5, far


def test_sub_regions_are_theirs() -> None:
    expected = golden.EDITIONS["mmdetection"].arrays("head")
    maps = torch.rand(4, 20, 24, 6, generator=golden.levels()[1])
    cells = cells_in(torch.from_numpy(expected["crop_boxes"]), (20, 24), 2)
    found = np.zeros_like(expected["crop_out"]).reshape(480, 6)
    for index, places in enumerate(cells.places.split(cells.counts)):
        found[places, index // 4] = maps[index % 4].reshape(480, 6)[places, index // 4]
    np.testing.assert_array_equal(found.reshape(20, 24, 6), expected["crop_out"])


@pytest.mark.parametrize(("edition", "case"), CASES, ids=[f"{edition} {case['name']}" for edition, case in CASES])
def test_the_losses_are_theirs(edition: str, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    learner, given = golden.model(edition=edition), golden.case_of(case, edition)
    sizes = [tuple(size) for size in case["feature_sizes_hw"]]
    places = locate(sizes, list(STRIDES.values()), learner.fcos.ranges, torch.device("cpu"))
    monkeypatch.setattr(learner.fcos, "predict", lambda _: (given.outputs, places))
    monkeypatch.setattr(learner.basis, "forward", lambda _: given.basis)
    losses = learner.losses(given.images, {}, given.targets)
    assert losses.keys() == golden.LOSSES.keys()
    far = golden.losses_apart(losses, case["expected"])
    assert max(far.values()) < 1e-6, far


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFile]:
    """From the authors' files, one of them as it was saved by several processes."""
    folder, models = tmp_path_factory.mktemp("imported"), {}
    for edition, theirs in golden.EDITIONS.items():
        tensors = theirs.tensors()
        file = {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}, "iteration": 270000}
        if edition == "mmdetection":
            file = {"state_dict": tensors, "meta": {"epoch": 48}}
        torch.save(file, folder / "theirs.pth")
        import_weights(str(folder / "theirs.pth"), folder / "ours.safetensors", folder)
        models[edition] = load_model(folder / "ours.safetensors")
    return models


class Apart:
    """How far detections are from theirs, each matched by class and box."""

    def __init__(self, found: Detected, edition: str, run: str) -> None:
        expected = golden.EDITIONS[edition].arrays("infer")
        labels = expected[f"{run}labels_1_to_80"] - 1 if edition == "benchmark" else expected[f"{run}labels_0_to_79"]
        boxes = np.minimum(expected[f"{run}boxes"] + golden.LAST_PIXEL, [320, 256, 320, 256])
        order = partners(found.boxes.numpy(), found.classes.numpy(), boxes, labels)
        self.boxes = np.abs(found.boxes[order].numpy() - boxes).max()
        self.scores = np.abs(found.scores[order].numpy() - expected[f"{run}scores"]).max()
        masks = found.masks.of(torch.tensor(order), found.boxes).paste((256, 320)).numpy()
        self.areas = np.abs(masks.sum((1, 2)) - expected[f"{run}mask_area"].astype(int)).max()
        texts = expected[f"{run}mask_rle_counts"]
        self.iou = overlaps(masks, [{"size": [256, 320], "counts": text} for text in texts]).min()

    def assert_none(self) -> None:
        """Rounding alone moves a box of theirs by 1e-3 pixels, a score by 2e-6, and no pixel of a mask."""
        assert self.boxes < 1e-3
        assert self.scores < 1e-5
        assert self.iou >= 0.999
        assert self.areas <= 1


@pytest.mark.parametrize("run", ["", "r_"], ids=["as it is", "enlarged"])
def test_the_whole_model_of_the_benchmark_finds_theirs(run: str, imported: dict[str, ModelFile]) -> None:
    with torch.inference_mode():
        Apart(imported["benchmark"].module.detect([golden.view(run)], (256, 320)), "benchmark", run).assert_none()


def test_the_whole_model_of_mmdetection_finds_theirs(imported: dict[str, ModelFile]) -> None:
    with torch.inference_mode():
        Apart(imported["mmdetection"].module.detect([golden.view("")], (256, 320)), "mmdetection", "").assert_none()


def suppressed(found: Detected, limit: float, count: int) -> Tensor:
    """The best of a category where boxes, in the image's pixels with the last one counted, overlap by more."""
    kept: list[int] = []
    boxes = found.boxes.double().numpy()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for index in found.scores.argsort(descending=True, stable=True).tolist():
        others = [other for other in kept if found.classes[other] == found.classes[index]]
        start = np.maximum(boxes[others, :2], boxes[index, :2])
        common = (np.minimum(boxes[others, 2:], boxes[index, 2:]) - start).clip(0).prod(1)
        if (common / (areas[others] + areas[index] - common) <= limit).all():
            kept.append(index)
        if len(kept) == count:
            break
    return torch.tensor(kept)


def test_mmdetection_suppresses_boxes_in_the_size_of_the_image(
    imported: dict[str, ModelFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There 1 that is added to widths weighs more or less than in what the model sees: a detection of 100 differs."""
    module = imported["mmdetection"].module
    with torch.inference_mode():
        own = module.detect([golden.view("r_")], (256, 320))
        monkeypatch.setattr(module.fcos, "settings", FcosPredict(score_threshold=0.05, nms=1.0))
        monkeypatch.setattr(module.fcos, "detections", 10**6)
        every = module.detect([golden.view("r_")], (256, 320))
    best = suppressed(every, 0.5, 100)
    masks = every.masks.of(best, every.boxes[best])
    Apart(
        Detected(every.classes[best], every.scores[best], every.boxes[best], masks), "mmdetection", "r_"
    ).assert_none()
    theirs = {(int(label), *box) for label, box in zip(every.classes[best], every.boxes[best].tolist(), strict=True)}
    ours = {(int(label), *box) for label, box in zip(own.classes, own.boxes.tolist(), strict=True)}
    assert len(ours - theirs) == 1


def test_the_maps_are_theirs(edition: str, imported: dict[str, ModelFile]) -> None:
    """Those of the first eight detections, before they are resized; theirs are float16."""
    expected = golden.EDITIONS[edition].arrays("infer")
    with torch.inference_mode():
        found = imported[edition].module.detect([golden.view("")], (256, 320))
    masks = found.masks
    theirs = expected["boxes"][:8]
    for box, soft in zip(theirs, expected["soft_masks_stride2_first8"], strict=True):
        apart = np.abs(masks.boxes.numpy() - golden.LAST_PIXEL - box).max(1)
        (same,) = np.flatnonzero(apart < 1e-3)[:1]
        corners = (masks.boxes[same] - torch.from_numpy(golden.LAST_PIXEL)) / 2
        assert np.abs(assembled(masks.basis, masks.coefficients[same], corners).numpy() - soft).max() < 1e-3


def test_the_losses_of_the_whole_model_are_theirs(edition: str, imported: dict[str, ModelFile]) -> None:
    about = golden.EDITIONS[edition].read("losses")["whole_model"]
    targets = golden.objects(about["gt"], (256, 320), edition)
    targets.gt_boxes = Boxes(targets.gt_boxes.tensor + torch.from_numpy(golden.LAST_PIXEL))
    module = imported[edition].module
    with torch.no_grad():
        losses = module.train()([{"image": golden.image(), "instances": targets}])
    module.eval()
    far = golden.losses_apart(losses, about["expected"])
    assert max(far.values()) < 1e-5, far
