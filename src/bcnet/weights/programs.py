"""Which program wrote a checkpoint that is not imported: told by its keys and by the names of its tensors."""

from collections.abc import Collection

ELSEWHERE = "let it predict and evaluate its predictions: `bcnet evaluate`"
# Keys beside the tensors that only one program writes, and what can be done.
BY_KEYS = (
    ("PyTorch Lightning", {"pytorch-lightning_version"}, "save the state_dict of the model inside it"),
    ("Ultralytics", {"train_args"}, ELSEWHERE),
    ("Ultralytics", {"ema", "updates"}, ELSEWHERE),
    ("DETR", {"model", "lr_scheduler", "args"}, ELSEWHERE),
    ("torchvision's training script", {"model", "optimizer", "lr_scheduler"}, ELSEWHERE),
)
# Beginnings of the names of tensors, all of which a file of the program has.
BY_TENSORS = (
    ("torchvision", ("backbone.body.", "roi_heads."), ELSEWHERE),
    ("torchvision", ("backbone.body.",), ELSEWHERE),
    ("mmdetection", ("backbone.layer1.", "roi_head."), ELSEWHERE),
    ("mmdetection", ("backbone.layer1.", "bbox_head."), ELSEWHERE),
    ("mmdetection", ("backbone.layer1.", "mask_head."), ELSEWHERE),
    ("mmdetection", ("backbone.", "neck."), ELSEWHERE),
    ("detectron2, of a model without FPN", ("backbone.res2.", "roi_heads.res5."), "only models with FPN are imported"),
    ("DETR", ("transformer.encoder.", "class_embed."), ELSEWHERE),
    ("Segment Anything", ("image_encoder.", "mask_decoder."), ELSEWHERE),
    ("Ultralytics", ("model.0.", "model.1."), ELSEWHERE),
    ("Transformers", ("model.backbone.", "model.encoder."), ELSEWHERE),
    ("timm or torchvision, of a classifier", ("layer1.", "fc."), "backbones come with `bcnet weights`"),
)


def program_of_keys(keys: Collection[str]) -> str | None:
    """The program that writes checkpoints with these keys at their top, and what can be done, None if unknown."""
    for program, marks, advice in BY_KEYS:
        if marks <= set(keys):
            return f"a checkpoint of {program}: {advice}"
    return None


def program_of_tensors(names: Collection[str]) -> str | None:
    """The program whose models have tensors of these names, and what can be done, None if unknown."""
    for program, beginnings, advice in BY_TENSORS:
        if all(any(name.startswith(beginning) for name in names) for beginning in beginnings):
            return f"a model of {program}: {advice}"
    return None
