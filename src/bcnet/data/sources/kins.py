"""KINS: street scenes of KITTI with amodal and in-modal masks (Qi et al., CVPR 2019).

Files: github.com/qqlu/Amodal-Instance-Segmentation-through-KINS-Dataset. They have COCO's sections; per annotation

| release | amodal mask | visible mask | order |
|---|---|---|---|
| 2020, `update_{train,test}_2020.json` | `a_segm`, polygons | `i_segm`, polygons | `oco_id`, `ico_id` |
| 2019, `instances_{train,val}.json` | `segmentation`, polygons | `inmodal_seg`, RLE | none |

`oco_id` is the cluster of overlapping objects, `ico_id` the order in it, the nearest lowest. Boxes and areas
(`a_bbox`, `i_bbox`, `bbox`, `inmodal_bbox`, …) are not read: ours are those of the masks.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from bcnet.data.coco import annotation_file
from bcnet.data.sources.amodal import (
    checked_by_id,
    depths,
    lists_of,
    mask_of,
    reference_problems,
    say_left_out,
    shape_keys,
)
from bcnet.files import InputError, read_json, shown
from bcnet.progress import progress

MASKS = (("a_segm", "i_segm"), ("segmentation", "inmodal_seg"))  # keys of amodal and visible mask in each release
ORDER = ("oco_id", "ico_id")
UNUSED = ("rider", "person-sitting")  # names of category 3, which the authors leave out


def read(path: Path) -> dict[str, Any]:
    """Read an annotation file of KINS in the project's format for amodal data.

    Ids, images and categories stay as they are, without the category that the authors leave out: seven are left.
    Its objects are left out, and those whose amodal mask has no pixel; lines on stderr say how many.

    Args:
        path: of either release.

    Returns:
        A COCO file's content. Each annotation has `segmentation`, `bbox` and `area` of what is seen,
        `amodal_segmentation`, `amodal_bbox`, and `depth` where it has both order fields: consistent with the order in
        each cluster, without a meaning between clusters, which do not overlap.

    Raises:
        InputError: not KINS's format; names annotation, key and what was expected.
    """
    data = read_json(path)
    pictures, kinds, objects = lists_of(path, data, ("images", "categories", "annotations"))
    unused = [kind for kind in kinds if isinstance(kind, dict) and kind.get("name") in UNUSED]
    used, left_out = [kind for kind in kinds if kind not in unused], [kind.get("id") for kind in unused]
    of_used = [it for it in objects if not (isinstance(it, dict) and it.get("category_id") in left_out)]
    images = checked_by_id(path, "image", pictures, annotation_file.image_problems)
    categories = checked_by_id(path, "category", used, annotation_file.category_problems)
    originals = checked_by_id(path, "annotation", of_used, lambda annotation: _problems(annotation, images, categories))

    depth = _depths(originals)
    annotations = []
    for original in progress(originals.values(), f"read {path.name}"):
        amodal, visible = _masks(path, original, images[original["image_id"]])
        if coco_mask.area(amodal):
            ids = {key: original[key] for key in ("id", "image_id", "category_id")}
            annotations.append({**ids, **shape_keys(amodal, visible), **depth.get(original["id"], {})})
    say_left_out(
        path, len(objects) - len(of_used), f"objects of {' and '.join(UNUSED)} are left out, as by the authors"
    )
    say_left_out(path, len(originals) - len(annotations), "objects without a pixel are left out")
    return {**data, "annotations": annotations, "categories": used}


def _masks(path: Path, original: dict, image: dict) -> list[dict[str, Any]]:
    """The amodal and the visible mask of an annotation, by the keys of its release.

    Raises:
        InputError: it has the keys of neither release, or a mask is none.
    """
    where = f"{path}: annotation {original['id']}"
    for keys in MASKS:
        if original.keys() >= set(keys):
            return [mask_of(original[key], image, f"{where}: {key}") for key in keys]
    raise InputError(f"{where}: expected {' or '.join(' and '.join(keys) for keys in MASKS)}")


def _problems(original: dict, images: dict[int, dict], categories: dict[int, dict]) -> Iterator[str]:
    yield from reference_problems(original, images, categories)
    for key in ORDER:
        if key in original and type(original[key]) is not int:
            yield f"{key}: {shown(original[key])}: expected a whole number"


def _depths(originals: dict[int, dict]) -> dict[int, dict[str, int]]:
    """`{"depth": …}` by annotation id, of those that have both order fields."""
    by_image: dict[int, list[dict]] = defaultdict(list)
    for original in originals.values():
        if original.keys() >= set(ORDER):
            by_image[original["image_id"]].append(original)
    depth_of: dict[int, dict[str, int]] = {}
    for ordered in by_image.values():
        depth = (
            depths((annotation["id"] for annotation in ordered), _pairs(ordered)) or {}
        )  # numbers never form a cycle
        depth_of |= {name: {"depth": value} for name, value in depth.items()}
    return depth_of


def _pairs(ordered: list[dict]) -> Iterator[tuple[int, int]]:
    for front, behind in permutations(ordered, 2):
        if front["oco_id"] == behind["oco_id"] and front["ico_id"] < behind["ico_id"]:
            yield front["id"], behind["id"]
