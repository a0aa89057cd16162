"""Whether annotations are converted: whether each says how occluded its object is."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import NUMBERS
from bcnet.data.occlusion.convert import MEASURES
from bcnet.files import InputError, shown

SHARES = ("box_cover", "mask_cover", "max_box_iou")  # the measures from 0 to 1


def check_converted(path: Path, annotations: Iterable[Mapping[str, Any]]) -> None:
    """Every annotation has an `occlusion` as `convert` writes it.

    Args:
        path: of the file that they are from, for the error.

    Raises:
        InputError: one has none; the line names it, and what was expected.
    """
    for annotation in annotations:
        occlusion = annotation.get("occlusion")
        where = f"{path}: annotation {annotation['id']}"
        if not isinstance(occlusion, dict) or not occlusion.keys() >= set(MEASURES):
            command = f"`bcnet convert --annotations {path} --out FILE`"
            raise InputError(f"{where} has no 'occlusion' with {', '.join(MEASURES)}: run {command} first")
        for key in SHARES:
            if type(share := occlusion[key]) not in NUMBERS or not 0 <= share <= 1:
                raise InputError(f"{where}: occlusion.{key}: {shown(share)}: expected 0 to 1")
        if not annotation_file.is_id(occlusion["n_occluders"]) or type(occlusion["same_category"]) is not bool:
            raise InputError(f"{where}: occlusion: expected n_occluders a whole number, same_category true or false")
