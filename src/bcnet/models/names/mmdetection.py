"""Beginnings of the names of tensors in files of mmdetection 1, and of ours in their place."""

from bcnet.models.names.maskrcnn_benchmark import resnet


def fcos(head: str) -> dict[str, str]:
    """Those of FCOS on a ResNet, with P6 and P7 from P5.

    Args:
        head: beginning of our names of the head.
    """
    names = resnet("backbone.", [f"backbone.layer{stage}." for stage in (1, 2, 3, 4)])
    for index, level in enumerate((3, 4, 5)):
        names[f"neck.lateral_convs.{index}.conv."] = f"backbone.fpn_lateral{level}."
        names[f"neck.fpn_convs.{index}.conv."] = f"backbone.fpn_output{level}."
    names |= {f"neck.fpn_convs.{index}.conv.": f"backbone.top_block.p{index + 3}." for index in (3, 4)}
    for theirs, ours in (("cls_convs", "cls_tower"), ("reg_convs", "bbox_tower")):
        for layer in range(4):
            names[f"bbox_head.{theirs}.{layer}.conv."] = f"{head}{ours}.{3 * layer}."
            names[f"bbox_head.{theirs}.{layer}.gn."] = f"{head}{ours}.{3 * layer + 1}."
    for theirs, ours in (("cls", "cls_logits"), ("reg", "bbox_pred"), ("centerness", "centerness")):
        names[f"bbox_head.fcos_{theirs}."] = f"{head}{ours}."
    return names | {f"bbox_head.scales.{level}.scale": f"{head}scales.{level}" for level in range(5)}
