"""Training that starts from another model: layers that fit are taken as a whole, the others are named."""

from pathlib import Path

import pytest
import torch
from model_factory import SIZES, build
from pydantic import ValidationError
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from torch import Tensor
from training_factory import make_project, run

from bcnet.cli import main
from bcnet.files import InputError
from bcnet.params import methods
from bcnet.training.initial import load_what_fits
from bcnet.weights.model_file import load_model

MASK_RCNN = {"method": "mask_rcnn", "detector": "faster_rcnn", "backbone": "efficientnet_lite0"}
HEADS = ("cls_score", "bbox_pred", "mask_head.predictor")  # what has a row, or more, for each category


def state(seed: int, classes: int = 3, **keys: str) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return build(methods.variant(**{**MASK_RCNN, **keys}), SIZES, classes=classes).state_dict()


def loaded(path: Path, tensors: dict[str, Tensor], classes: int = 3, **keys: str) -> tuple[dict[str, Tensor], str]:
    """What a model, of seed 1, has after starting from these tensors, and what is said of it."""
    save_file(tensors, path)
    torch.manual_seed(1)
    model = build(methods.variant(**{**MASK_RCNN, **keys}), SIZES, classes=classes)
    said = load_what_fits(model, path)
    return model.state_dict(), said


def test_an_equal_model_is_taken_whole(tmp_path: Path) -> None:
    theirs = state(0)
    ours, said = loaded(tmp_path / "w.safetensors", theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    layers = {name.rpartition(".")[0] for name in theirs}
    assert said == f"{len(layers)} of {len(layers)} layers taken"


def test_heads_of_other_categories_start_anew_and_are_named(tmp_path: Path) -> None:
    theirs, start = state(0, classes=5), state(1)
    ours, said = loaded(tmp_path / "w.safetensors", theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, (start if any(head in name for head in HEADS) else theirs)[name]), name
    anew = "roi_heads.box_predictor, roi_heads.mask_head.predictor"
    assert said.endswith(f" layers taken; anew: {anew}; not used: {anew}")


def test_another_method_gives_what_both_have(tmp_path: Path) -> None:
    theirs, start = state(0, method="bcnet"), state(1)
    ours, said = loaded(tmp_path / "w.safetensors", theirs)
    for name, tensor in ours.items():
        source = start if "mask_head" in name and name not in theirs else theirs
        if "mask_head" not in name:
            assert torch.equal(tensor, source[name]), name
    assert "anew: roi_heads.mask_head" in said
    assert "not used: roi_heads.mask_head" in said


def test_half_a_layer_is_not_taken(tmp_path: Path) -> None:
    theirs, start = state(0), state(1)
    del theirs["backbone.fpn_lateral2.bias"]
    ours, said = loaded(tmp_path / "w.safetensors", theirs)
    assert torch.equal(ours["backbone.fpn_lateral2.weight"], start["backbone.fpn_lateral2.weight"])
    assert said.endswith("; anew: backbone.fpn_lateral2; not used: backbone.fpn_lateral2")


def test_a_backbone_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    theirs = state(0)
    theirs["backbone.bottom_up.body.conv_stem.weight"] = torch.zeros(32, 4, 3, 3)
    line = r"w.safetensors: backbone.bottom_up.body.conv_stem: missing or of another shape, expected all of the .*"
    with pytest.raises(InputError, match=line):
        loaded(tmp_path / "w.safetensors", theirs)
    (tmp_path / "w.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"w.safetensors: .*"):
        load_what_fits(torch.nn.Module(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("path", ["coco.pth", "/tmp/coco.pth", "pretrained", "pretrained/../coco.pth", "data/x.pth"])
def test_it_lies_where_both_tools_watch(path: str) -> None:
    with pytest.raises(ValidationError, match=r"expected a file or a link below pretrained/"):
        methods.variant(**MASK_RCNN, init=path)
    assert methods.variant(**MASK_RCNN, init="pretrained/a/coco.pth").init == Path("pretrained/a/coco.pth")


def change_variant(folder: Path, **keys: str) -> None:
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    content["variants"]["mask-rcnn"] |= keys
    yaml.dump(content, folder / "params.yaml")


def test_a_variant_is_trained_from_another_and_its_content_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    out, model = tmp_path / "data/demo/weights/mask-rcnn.safetensors", "data/demo/models/mask-rcnn/0/model.safetensors"
    run(tmp_path, "train mask-rcnn")
    first = load_file(tmp_path / model)
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained/one.safetensors").write_bytes((tmp_path / model).read_bytes())
    change_variant(tmp_path, init="pretrained/one.safetensors", schedule={"iterations": 1, "lr": 1e-12, "steps": []})
    assert main(["weights", "--name", "mask-rcnn"]) == 0
    assert load_file(out).keys() == first.keys()
    said = run(tmp_path, "train mask-rcnn")
    assert "mask-rcnn: starts from pretrained/one.safetensors: " in said
    assert "anew" not in said
    started = load_file(tmp_path / model)
    assert all(torch.allclose(started[name], first[name], atol=1e-6) for name in first)  # one iteration, no rate
    assert load_model(tmp_path / model).provenance["init"] == "pretrained/one.safetensors"

    (tmp_path / "pretrained/two.safetensors").write_bytes((tmp_path / "pretrained/one.safetensors").read_bytes())
    change_variant(tmp_path, init="pretrained/two.safetensors")
    assert main(["weights", "--name", "mask-rcnn"]) == 0
    assert "already trained" in run(tmp_path, "train mask-rcnn")  # equal content
    save_file({name: tensor + 1 for name, tensor in load_file(out).items()}, out)
    assert "already trained" not in run(tmp_path, "train mask-rcnn")
