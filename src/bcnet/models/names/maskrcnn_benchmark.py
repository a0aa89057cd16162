"""Beginnings of the names of tensors in files of maskrcnn-benchmark, and of ours in their place."""

from collections.abc import Sequence

BLOCKS = (3, 4, 23, 3)  # of the deepest ResNet, by stage


def resnet(stem: str, stages: Sequence[str]) -> dict[str, str]:
    """Those of a ResNet that names its blocks as torchvision's does.

    Args:
        stem: beginning of the stem's names.
        stages: of the four stages' names.
    """
    ours = "backbone.bottom_up."
    names = {f"{stem}conv1.": f"{ours}stem.conv1.", f"{stem}bn1.": f"{ours}stem.conv1.norm."}
    for stage, (theirs, count) in enumerate(zip(stages, BLOCKS, strict=True), start=2):
        for block in range(count):
            of_theirs, of_ours = f"{theirs}{block}.", f"{ours}res{stage}.{block}."
            for number in (1, 2, 3):
                names[f"{of_theirs}conv{number}."] = f"{of_ours}conv{number}."
                names[f"{of_theirs}bn{number}."] = f"{of_ours}conv{number}.norm."
            names[f"{of_theirs}downsample.0."] = f"{of_ours}shortcut."
            names[f"{of_theirs}downsample.1."] = f"{of_ours}shortcut.norm."
    return names


def _pyramid() -> dict[str, str]:
    body = "backbone.body."
    names = resnet(f"{body}stem.", [f"{body}layer{stage}." for stage in (1, 2, 3, 4)])
    for stage in (1, 2, 3, 4):
        names[f"backbone.fpn.fpn_inner{stage}."] = f"backbone.fpn_lateral{stage + 1}."
        names[f"backbone.fpn.fpn_layer{stage}."] = f"backbone.fpn_output{stage + 1}."
    return names


def _faster_rcnn() -> dict[str, str]:
    head = "proposal_generator.rpn_head."
    return _pyramid() | {
        "rpn.anchor_generator.": "proposal_generator.anchor_generator.",
        "rpn.head.conv.": f"{head}conv.",
        "rpn.head.cls_logits.": f"{head}objectness_logits.",
        "rpn.head.bbox_pred.": f"{head}anchor_deltas.",
        "roi_heads.box.feature_extractor.fc6.": "roi_heads.box_head.fc1.",
        "roi_heads.box.feature_extractor.fc7.": "roi_heads.box_head.fc2.",
        "roi_heads.box.predictor.": "roi_heads.box_predictor.",
    }


def fcos(head: str) -> dict[str, str]:
    """FCOS with a feature pyramid on a ResNet.

    Args:
        head: what is before the names of our head's tensors.
    """
    scales = {f"rpn.head.scales.{level}.scale": f"{head}scales.{level}" for level in range(5)}
    return _pyramid() | scales | {"backbone.fpn.top_blocks.": "backbone.top_block.", "rpn.head.": head}


FASTER_RCNN = _faster_rcnn()  # with a feature pyramid on a ResNet
