"""Imported models are recognised and compute what the originals do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from file_server import FileServer
from places import ROOT
from released_files import BLOCKS, random_tensors, released_shapes, stand_ins, write_zoo_file
from released_reference import MAPPED, released_model
from torch import Tensor, nn
from zoo_factory import zoo_model

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.weights import import_weights as imported
from bcnet.weights.import_weights import import_weights
from bcnet.weights.model_file import load_model


def picture() -> Tensor:
    """(3, 150, 210) uint8: smooth patches of many colours."""
    patches = 255 * torch.rand((1, 3, 20, 28), generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(patches, (150, 210), mode="bicubic")[0].clamp(0, 255).byte()


def write_categories(path: Path, count: int) -> Path:
    categories = [{"id": 10 * count - 10 * index, "name": f"thing {index}"} for index in range(count)]
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    return path


# --- the released FCOS-BCNet


def released_tensors(classes: int = 80) -> dict[str, Tensor]:
    """Random, but such that boxes of all sizes are found, many of them suppressed."""
    scales = {"fpn_output": 0.003, "cls_logits": 1.5, "bbox_pred": 0.5, "predictor": 2.0, "value_transform": 2.0}
    tensors = random_tensors(released_shapes(BLOCKS["resnet50"], classes), scales)
    tensors["head.cls_logits.bias"] -= 6
    tensors["head.bbox_pred.bias"] += 2
    for level, scale in enumerate((7.0, 2.5, 3.0, 4.0, 4.0)):
        tensors[f"head.scales.{level}.scale"] = torch.tensor([scale])
    return tensors


def test_the_released_model_computes_the_same_as_its_formulas(tmp_path: Path) -> None:
    tensors = released_tensors()
    expected = released_model(tensors, picture())
    assert len(expected.boxes) == 100
    assert len(set(expected.levels)) >= 4
    assert len(set(expected.pooled_from)) >= 3
    assert len(expected.classes.unique()) > 10
    assert expected.suppressed > 100
    assert expected.most_candidates > 1000
    torch.save({"model": tensors, "optimizer": {"state": {}}, "scheduler": {}, "iteration": 89999}, tmp_path / "r.pth")
    import_weights(str(tmp_path / "r.pth"), tmp_path / "m.safetensors", tmp_path)
    model = load_model(tmp_path / "m.safetensors")
    assert (model.predict.short_side, model.predict.max_side) == (600, 900)
    with torch.inference_mode():
        found = model.module.inference([{"image": picture()}], do_postprocess=False)[0]
    assert found.pred_classes.tolist() == expected.classes.tolist()
    torch.testing.assert_close(found.scores.double(), expected.scores, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.pred_boxes.tensor.double(), expected.boxes, rtol=0, atol=1e-4 * 150)
    for name, maps in expected.maps.items():
        assert maps.std() > 0.1
        torch.testing.assert_close(found.get(name)[MAPPED, 0].double(), maps, rtol=0, atol=1e-4)
    assert torch.equal(found.pred_masks, found.target_mask)


# --- the model zoo's files


@pytest.mark.parametrize("pointrend", [False, True])
def test_a_model_of_the_zoo_computes_the_same_as_in_detectron2(pointrend: bool, tmp_path: Path) -> None:
    theirs = zoo_model(pointrend).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    spread = {"fpn_output": 0.003, "anchor_deltas": 0.2, "bbox_pred": 0.5, "cls_score": 3.0}
    tensors = random_tensors(shapes, spread)
    if pointrend:  # it takes its time over each detection: more background
        tensors["roi_heads.box_predictor.cls_score.bias"][-1] += 6
    theirs.load_state_dict(tensors)
    write_zoo_file(tmp_path / "zoo.pkl", tensors)
    import_weights(str(tmp_path / "zoo.pkl"), tmp_path / "m.safetensors", tmp_path)
    model = load_model(tmp_path / "m.safetensors")
    assert model.variant.method == ("pointrend" if pointrend else "mask_rcnn")
    assert (model.predict.short_side, model.predict.max_side) == (800, 1333)
    model.module.to(memory_format=torch.contiguous_format)  # as theirs: another order of sums swaps close scores
    batch = [{"image": picture(), "height": 100, "width": 140}]
    with torch.inference_mode():
        expected, found = (one(batch)[0]["instances"] for one in (theirs, model.module))
    assert 5 < len(expected) < 40 if pointrend else len(expected) > 90
    assert len(expected.pred_classes.unique()) >= 4
    assert expected.pred_masks.any((1, 2)).float().mean() > 0.5
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=0, atol=1e-4 * 100)
    assert torch.equal(found.pred_classes, expected.pred_classes)
    assert (found.pred_masks != expected.pred_masks).float().mean() < 1e-5


def zoo_shapes(backbone: str, method: str) -> dict[str, tuple[int, ...]]:
    name = {"resnet50": "R_50", "resnet101": "R_101", "resnext101": "X_101_32x8d"}[backbone]
    cfg = model_zoo.get_config(f"COCO-InstanceSegmentation/mask_rcnn_{name}_FPN_3x.yaml")
    cfg.MODEL.DEVICE = "meta"
    shapes = {name: tuple(tensor.shape) for name, tensor in build_model(cfg).state_dict().items()}
    if method == "mask_rcnn":
        return shapes
    head = "roi_heads.mask_head."
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(head)}
    layers = {"reduce_spatial_dim_conv": (256, 256, 2, 2), "fc1": (1024, 12544), "fc2": (1024, 1024)}
    layers = {f"coarse_head.{name}": shape for name, shape in (layers | {"prediction": (3920, 1024)}).items()}
    points = {"fc1": (256, 336, 1), "fc2": (256, 336, 1), "fc3": (256, 336, 1), "predictor": (80, 336, 1)}
    for layer, shape in (layers | {f"point_head.{name}": shape for name, shape in points.items()}).items():
        shapes |= {f"{head}{layer}.weight": shape, f"{head}{layer}.bias": shape[:1]}
    return shapes


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What would have been written."""
    written: dict = {}
    monkeypatch.setattr(imported, "save_model", lambda _, tensors, about: written.update(tensors=tensors, about=about))
    return written


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101", "resnext101"])
@pytest.mark.parametrize("method", ["mask_rcnn", "pointrend"])
def test_every_model_of_the_zoo_is_recognised(backbone: str, method: str, tmp_path: Path, saved: dict) -> None:
    torch.save(stand_ins(zoo_shapes(backbone, method)), tmp_path / "zoo.pth")
    import_weights(str(tmp_path / "zoo.pth"), tmp_path / "m", tmp_path)
    assert saved["about"]["variant"] == {"detector": "faster_rcnn", "backbone": backbone, "method": method}


OLD_NAMES = {  # of PointRend's first files
    "mask_head.coarse_head.fc": "mask_coarse_head.coarse_mask_fc",
    "mask_head.coarse_head.": "mask_coarse_head.",
    "mask_head.point_head.": "mask_point_head.",
}


def test_names_of_old_pointrend_files_are_known(tmp_path: Path, saved: dict) -> None:
    tensors = stand_ins(zoo_shapes("resnet50", "pointrend"))
    expected = set(tensors)
    for new, old in OLD_NAMES.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    assert len(tensors.keys() - expected) == 16
    torch.save(tensors, tmp_path / "zoo.pth")
    import_weights(str(tmp_path / "zoo.pth"), tmp_path / "m", tmp_path)
    assert saved["tensors"].keys() == expected


@pytest.mark.parametrize(("backbone", "count", "size"), [("resnet50", 374, 600), ("resnet101", 629, 800)])
def test_both_released_models_are_recognised(backbone: str, count: int, size: int, tmp_path: Path, saved: dict) -> None:
    tensors = stand_ins(released_shapes(BLOCKS[backbone]))
    assert len(tensors) == count
    torch.save({"model": tensors}, tmp_path / "r.pth")
    import_weights(str(tmp_path / "r.pth"), tmp_path / "m", tmp_path)
    assert saved["about"]["variant"] == {"detector": "fcos", "backbone": backbone, "method": "bcnet"}
    assert saved["about"]["predict"]["short_side"] == size
    assert len(saved["tensors"]) == count
    things = saved["about"]["categories"]
    assert [things[place] for place in (0, 11, 79)] == [
        {"id": 1, "name": "person"},
        {"id": 13, "name": "stop sign"},
        {"id": 90, "name": "toothbrush"},
    ]


def test_other_categories_are_those_of_a_file_in_the_order_of_their_ids(tmp_path: Path, saved: dict) -> None:
    torch.save(stand_ins(released_shapes(BLOCKS["resnet50"], classes=7)), tmp_path / "kins.pth")
    with pytest.raises(InputError, match=r"kins.pth: 7 categories, not COCO's 80: name them with --categories FILE"):
        import_weights(str(tmp_path / "kins.pth"), tmp_path / "m", tmp_path)
    with pytest.raises(InputError, match=r"c.json: 8 categories, the model of .*kins.pth has 7"):
        import_weights(str(tmp_path / "kins.pth"), tmp_path / "m", tmp_path, write_categories(tmp_path / "c.json", 8))
    import_weights(str(tmp_path / "kins.pth"), tmp_path / "m", tmp_path, write_categories(tmp_path / "c.json", 7))
    assert [each["id"] for each in saved["about"]["categories"]] == [10, 20, 30, 40, 50, 60, 70]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_become_float32(dtype: torch.dtype, tmp_path: Path, saved: dict) -> None:
    tensors = stand_ins(released_shapes(BLOCKS["resnet50"]))
    torch.save({name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}, tmp_path / "r.pth")
    import_weights(str(tmp_path / "r.pth"), tmp_path / "m", tmp_path)
    assert {tensor.dtype for tensor in saved["tensors"].values()} == {torch.float32, torch.int64}


# --- through the program


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    server = FileServer(tmp_path / "served")
    yield server
    server.close()


def test_files_of_one_name_on_two_sites_are_two_downloads(server: FileServer, tmp_path: Path, saved: dict) -> None:
    for site, classes in (("a", 80), ("b", 7)):
        (tmp_path / "served" / site).mkdir()
        torch.save(stand_ins(released_shapes(BLOCKS["resnet50"], classes)), tmp_path / f"served/{site}/model_final.pth")
    import_weights(f"{server.url}/a/model_final.pth?download=1", tmp_path / "m", tmp_path / "downloads")
    import_weights(f"{server.url}/a/model_final.pth?download=1", tmp_path / "m", tmp_path / "downloads")
    with pytest.raises(InputError, match="7 categories, not COCO's 80"):
        import_weights(f"{server.url}/b/model_final.pth", tmp_path / "m", tmp_path / "downloads")
    assert [path for path, *_ in server.asked] == ["/a/model_final.pth", "/b/model_final.pth"]


def test_an_imported_model_is_predicted_and_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = (ROOT / "presets/demo.yaml").read_text()
    demo = demo.replace("imported: {}", "imported: {fcos: {file: own/kins.pth, label: Released}}")
    (tmp_path / "params.yaml").write_text(demo.replace("size: 160, train: 600, val: 150", "size: 64, train: 1, val: 1"))
    assert main(["fetch", "demo"]) == 0
    (tmp_path / "own").mkdir()
    torch.save(released_tensors(classes=8), tmp_path / "own/kins.pth")
    assert main(["import-weights", "--name", "fcos"]) == 0
    assert main(["predict", "fcos"]) == 0
    folder = tmp_path / "data/demo/predictions/fcos/imported"
    about = json.loads((folder / "val.provenance.json").read_text())
    expected = {"origin": "imported", "name": "fcos", "label": "Released", "kind": "released FCOS-BCNet"}
    expected |= {"detector": "fcos", "backbone": "resnet50", "method": "BCNet"}
    assert expected.items() <= about.items()
    assert about["predict"]["short_side"] == 600
    assert "schedule" not in about
    val = json.loads((tmp_path / "data/demo/annotations/instances_val.json").read_text())
    found = json.loads((folder / "val.json").read_text())
    assert {each["category_id"] for each in found} <= {category["id"] for category in val["categories"]}
    assert len(found) > 20
