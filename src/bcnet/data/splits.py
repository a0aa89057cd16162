"""Splits: the images of an annotation file that a rule selects.

The authors' COCO-OCC is a list of images made by hand or by a rule that was never published. A split made here
carries its rule in its `info`.
"""

from pathlib import Path

from bcnet.data import coco
from bcnet.files import InputError, write_json
from bcnet.params.data import Split

MEASURE = {"box_iou": "max_box_iou", "box_cover": "box_cover", "mask_cover": "mask_cover"}  # rule -> key of `occlusion`


def split(annotations: Path, out: Path, name: str, rule: Split) -> None:
    """Write the COCO file of the images in which some object reaches the rule's threshold; "all" takes every image.

    A chosen image keeps all its annotations. `info.split` says name, rule, threshold and the ids of those left out.

    Args:
        annotations: a file that `convert` wrote.

    Raises:
        InputError: `annotations` is not right or not converted, or the rule selects no image.
    """
    data = coco.read(annotations)
    for annotation in data["annotations"]:
        occlusion = annotation.get("occlusion")
        if not isinstance(occlusion, dict) or not occlusion.keys() >= set(MEASURE.values()):
            raise InputError(
                f"{annotations}: annotation {annotation['id']} has no 'occlusion', run `bcnet convert` first"
            )
    images = {image["id"] for image in data["images"]}
    chosen = images if rule.threshold is None else _reaching(data["annotations"], MEASURE[rule.rule], rule.threshold)
    if not chosen:
        raise InputError(
            f"{annotations}: split {name!r} ({rule.rule} {rule.threshold}) selects none of {len(images)} images"
        )
    about = {"name": name, "rule": rule.rule, "threshold": rule.threshold, "other_images": sorted(images - chosen)}
    data["info"] = {**(data.get("info") or {}), "split": about}
    data["images"] = [image for image in data["images"] if image["id"] in chosen]
    data["annotations"] = [annotation for annotation in data["annotations"] if annotation["image_id"] in chosen]
    write_json(out, data)


def _reaching(annotations: list[dict], measure: str, threshold: float) -> set[int]:
    return {annotation["image_id"] for annotation in annotations if annotation["occlusion"][measure] >= threshold}
