"""The verb `import-weights`: models that others trained and released, as model files of this project."""

from pathlib import Path
from typing import Any

import torch
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from bcnet import __version__
from bcnet.data.coco import stream
from bcnet.files import InputError, sha256
from bcnet.models.conventions import DETECTRON2
from bcnet.weights.foreign_file import local_file
from bcnet.weights.model_file import save_model
from bcnet.weights.official import read_official


def import_weights(source: str, out: Path, downloads: Path, annotations: Path | None = None) -> str:
    """Write a released model as a model file that predicts as the original does with its own configuration.

    Args:
        source: a file or an http(s) URL: a released FCOS-BCNet, a Mask R-CNN or PointRend with FPN of detectron2's
            model zoo, or what another method's authors released (`official` of the methods' table).
        out: the model file.
        downloads: where a downloaded file is kept, and found again.
        annotations: a COCO-format file with the model's categories; None: COCO's 80.

    Returns:
        What was written, for people.

    Raises:
        InputError: the file is of none of these kinds, a tensor is missing, left over, of another shape or not finite,
            or the number of categories is another. Or `out` is a file that is read.
    """
    path = local_file(source, downloads)
    if out.resolve() in {read.resolve() for read in (path, annotations) if read}:
        raise InputError(f"--out {out}: expected another file than those that are read")
    model = read_official(path)
    description = {
        "variant": model.spec.variant.model_dump(mode="json", exclude_unset=True),
        "model": model.spec.sizes.model_dump(mode="json"),
        "predict": model.spec.predict.model_dump(mode="json"),
        "categories": _categories(path, model.spec.classes, annotations),
        "provenance": {
            "origin": "imported",
            "kind": model.kind.name,
            "file_sha256": sha256(path),
            "versions": {"bcnet": __version__, "torch": torch.__version__},
        },
    }
    if model.spec.conventions is not DETECTRON2:
        description["conventions"] = model.kind.official.conventions
    save_model(out, model.tensors, description)
    return f"wrote {out}: {model.kind.name} with {model.spec.variant.backbone}, {model.spec.classes} categories"


def _categories(path: Path, classes: int, annotations: Path | None) -> list[dict[str, Any]]:
    """The model's categories in the order of its classes: as detectron2 has them, that of their ids."""
    if annotations:
        categories = sorted(stream.read(annotations).head["categories"], key=lambda category: category["id"])
        if len(categories) != classes:
            raise InputError(f"{annotations}: {len(categories)} categories, the model of {path} has {classes}")
        return categories
    things = [{"id": category["id"], "name": category["name"]} for category in COCO_CATEGORIES if category["isthing"]]
    if len(things) != classes:
        raise InputError(f"{path}: {classes} categories, not COCO's {len(things)}: name them with --categories FILE")
    return things
