"""Fetch: a dataset, or predictions that a user brings, made ready below data/ in COCO layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bcnet.data.coco import annotation_file, prediction_file, prediction_format
from bcnet.data.sources import coco2017, cocoa, kins
from bcnet.data.sources.image_folders import link_pictures, own_folder
from bcnet.data.synthetic import shapes
from bcnet.files import InputError, atomic_output, read_json, sha256, write_json
from bcnet.params.data import Coco, Dataset, Files, Part, Shapes
from bcnet.params.results import Brought
from bcnet.progress import in_threads

PARTS = ("train", "val")
READERS = {
    "files": annotation_file.read,
    "kins": kins.read,
    "cocoa": cocoa.read,
}  # source -> what reads a user's annotations


def fetch(dataset: Dataset, name: str, folder: Path) -> None:
    """Make a dataset ready: annotations/instances_{train,val}.json, images/{train,val} and images.tsv.

    Made pictures are generated, COCO is downloaded beside `folder` (downloads/), a user's own files and an existing
    COCO folder are checked and their picture folders linked. Nothing of a user's is changed.

    Args:
        dataset: from params.yaml.
        name: its key there.
        folder: where it goes, data/NAME.

    Raises:
        InputError: the first thing that is wrong with the user's files, or a download that fails.
    """
    match dataset:
        case Files():
            for part in PARTS:
                _link(part, getattr(dataset, part), folder, READERS[dataset.source])
        case Coco(folder=Path() as root):
            for part in PARTS:
                own = Part(annotations=root / f"annotations/instances_{part}2017.json", images=root / f"{part}2017")
                _link(part, own, folder, annotation_file.read)
        case Coco():
            coco2017.download_parts(dataset, folder, PARTS)
        case Shapes():
            for part in PARTS:
                own_folder(folder / "images" / part)
            shapes.generate(dataset, folder)
    _write_images_tsv(name, folder)


def fetch_test(dataset: Dataset, name: str, folder: Path) -> None:
    """Make COCO's test pictures ready: annotations/image_info_test-dev2017.json and images/test.

    Args:
        dataset: from params.yaml.
        name: its key there.
        folder: where it goes, data/NAME.

    Raises:
        InputError: a dataset other than COCO, or as `fetch` does.
    """
    match dataset:
        case Coco(folder=Path() as root):
            coco2017.link_test(root, folder)
        case Coco():
            coco2017.download_parts(dataset, folder, ("test",))
        case _:
            raise InputError(f"params.yaml: datasets.{name}.source: {dataset.source!r}: only 'coco' has test pictures")


def _annotations(folder: Path, part: str) -> Path:
    return folder / "annotations" / f"instances_{part}.json"


def _link(part: str, own: Part, folder: Path, read: Callable[[Path], dict[str, Any]]) -> None:
    """Check one part of a user's data, write its annotations, and link its picture folder."""
    out = _annotations(folder, part)
    if own.annotations.resolve() == out.resolve():
        raise InputError(f"{out}: fetch writes this file, keep your own annotations outside {folder}")
    data = read(own.annotations)
    link_pictures(folder / "images" / part, own.images, data["images"])
    write_json(out, data)


def _write_images_tsv(name: str, folder: Path) -> None:
    """images.tsv: path below images/, bytes and SHA-256 of every picture that the annotations name."""
    names = {
        f"{part}/{image['file_name']}" for part in PARTS for image in read_json(_annotations(folder, part))["images"]
    }

    def line(name: str) -> str:
        path = folder / "images" / name
        digest = sha256(path)
        return f"{name}\t{path.stat().st_size}\t{digest}\n"

    lines = in_threads(line, sorted(names), f"hash the pictures of {name}")
    with atomic_output(folder / "images.tsv") as temporary:
        temporary.write_text("file\tbytes\tsha256\n" + "".join(lines), encoding="utf-8")


def bring(brought: Brought, name: str, folder: Path) -> None:
    """Check predictions from elsewhere and store them as ours are, in predictions/NAME/brought/: all of them.

    Args:
        brought: from params.yaml.
        name: its key there.
        folder: the dataset they are of, data/DATASET, fetched.

    Raises:
        InputError: not COCO's result format, or not of this dataset's val images and categories.
    """
    truth = annotation_file.read(_annotations(folder, "val"))
    found = prediction_file.read(brought.file, truth)
    out = folder / "predictions" / name / "brought"
    about = {"origin": "brought", "name": name, "label": brought.label, "dataset": folder.name}
    write_json(out / "val.provenance.json", {**about, "file_sha256": sha256(brought.file)}, indent=True)
    write_json(out / "val.json", prediction_format.entries(found, truth["images"]))
